"""Which outputs are explained."""

import pytest
import torch

from tests.tiny_models import conv, scalar
from xai_ext.study.targets import resolve_targets, top_classes

SCORES = torch.tensor([[0.0, 3.0, 1.0, 2.0]])


@pytest.mark.parametrize(
    ("wanted", "found"),
    [("top1", [1]), ("top3", [1, 3, 2]), ("0,cow", [0, 2]), ("top2, dog,bee", [1, 3]), ("Ant", [0])],
)
def test_lists_name_outputs_once_and_in_order(wanted, found):
    assert resolve_targets(wanted, SCORES, conv()) == found


def test_one_score_per_image_needs_none():
    assert resolve_targets("top3", torch.tensor([1.0]), scalar()) == [None]
    assert top_classes(torch.tensor([1.0]), scalar()) == [("score", 1.0)]


def test_a_class_name_may_hold_a_comma():
    classifier = conv()
    classifier = type(classifier)(classifier.module, classifier.preprocess, ["a", "b, c", "c", "d"])
    assert resolve_targets("b, c", SCORES, classifier) == [1]


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ("none", "say which"),
        ("top5", "top1 to top4"),
        ("top0", "top1 to top4"),
        ("ant,horse", "class name"),
        ("", "class"),
    ],
)
def test_what_is_wrong_is_said(wanted, message):
    with pytest.raises(ValueError, match=message):
        resolve_targets(wanted, SCORES, conv())


def test_the_largest_outputs_are_named():
    found = top_classes(SCORES, conv(), 2)
    assert found == [("bee", 3.0), ("dog", 2.0)]
