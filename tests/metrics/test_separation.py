"""Scores without a threshold and of one region, against scikit-learn."""

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score, fbeta_score, precision_score, recall_score, roc_auc_score

from tests.metrics.examples import scenes
from xai_ext.metrics import (
    Absolute,
    FractionOfMax,
    Status,
    TopK,
    average_precision,
    chance,
    f_score,
    iou,
    precision,
    rank_accuracy,
    recall,
    roc_auc,
)

MAPS, MASKS = scenes(1000)


def each(score):
    return [score(m.ravel(), a.ravel()) for m, a in zip(MASKS, MAPS, strict=True)]


@pytest.mark.parametrize(("ours", "theirs"), [(roc_auc, roc_auc_score), (average_precision, average_precision_score)])
def test_rankings_are_scored_as_scikit_learn_does(ours, theirs):
    np.testing.assert_allclose(ours(MAPS, MASKS), each(theirs), rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("ours", "theirs", "options"),
    [
        (precision, precision_score, {}),
        (recall, recall_score, {}),
        (f_score, lambda m, p: fbeta_score(m, p, beta=1), {}),
        (f_score, lambda m, p: fbeta_score(m, p, beta=0.3**0.5), {"beta2": 0.3}),
    ],
)
def test_regions_are_scored_as_scikit_learn_does(ours, theirs, options):
    found = ours(MAPS[:200], MASKS[:200], threshold=Absolute(0.25), **options)
    expected = [theirs(m.ravel(), a.ravel() >= 0.25) for m, a in zip(MASKS[:200], MAPS[:200], strict=True)]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)


def test_nothing_predicted_has_no_precision():
    found = precision(MAPS[:3], MASKS[:3], threshold=Absolute(9.0), return_details=True)
    assert found.value.isnan().all()
    assert found.status.tolist() == [Status.EMPTY_PREDICTION] * 3
    for metric in (iou, f_score, recall):
        assert (metric(MAPS[:3], MASKS[:3], threshold=Absolute(9.0)) == 0).all()


@pytest.mark.parametrize("metric", [roc_auc, average_precision, rank_accuracy])
def test_a_constant_map_has_its_chance_level(metric):
    found = metric(np.ones((5, 5, 6)), MASKS[:5], return_details=True)
    torch.testing.assert_close(found.value, found.chance, rtol=1e-12, atol=0)
    torch.testing.assert_close(found.chance, chance(metric.__name__, MASKS[:5]), rtol=1e-12, atol=0)
    assert found.status.tolist() == [Status.CONSTANT] * 5


def test_an_object_that_is_everything_cannot_be_separated():
    full = np.ones((1, 5, 6), bool)
    found = roc_auc(MAPS[:1], full, return_details=True)
    assert found.value.isnan().all()
    assert found.status.tolist() == [Status.FULL_MASK]
    assert rank_accuracy(MAPS[:1], full).item() == 1


def test_rank_accuracy_is_precision_at_the_size_of_the_object():
    for i in range(20):
        k = int(MASKS[i].sum())
        expected = precision(MAPS[i : i + 1], MASKS[i : i + 1], threshold=TopK(k))
        torch.testing.assert_close(rank_accuracy(MAPS[i : i + 1], MASKS[i : i + 1]), expected, rtol=1e-13, atol=0)


@pytest.mark.parametrize("metric", [iou, f_score, precision, recall])
def test_chance_is_the_value_of_a_map_without_information(metric):
    for k in (1, 7, 30):
        flat = metric(np.ones((4, 5, 6)), MASKS[:4], threshold=TopK(k), return_details=True)
        torch.testing.assert_close(flat.value, chance(metric.__name__, MASKS[:4], k=k), rtol=1e-12, atol=0)
        torch.testing.assert_close(flat.value, flat.chance, rtol=1e-12, atol=0)


def test_boxes_are_masks():
    boxes = [[[1, 1, 4, 3]], [[0, 0, 2, 2], [4, 3, 6, 5]]]
    mask = np.zeros((2, 5, 6), bool)
    mask[0, 1:3, 1:4], mask[1, :2, :2], mask[1, 3:, 4:] = True, True, True
    expected = iou(MAPS[:2], mask, threshold=FractionOfMax(0.5))
    assert torch.equal(iou(MAPS[:2], boxes=boxes, threshold=FractionOfMax(0.5)), expected)
    last = np.stack([MAPS[:2]] * 3, -1)
    assert torch.equal(iou(last, boxes=boxes, threshold=FractionOfMax(0.5), layout="channels_last"), expected)
    for options in ({}, {"masks": mask, "boxes": boxes}):
        with pytest.raises(ValueError, match="exactly one of masks and boxes"):
            iou(MAPS[:2], threshold=FractionOfMax(0.5), **options)


def test_a_misspelt_argument_is_refused_with_a_hint():
    with pytest.raises(TypeError, match=r"iou\(\) has no argument 'ignored'; did you mean 'ignore'"):
        iou(MAPS, MASKS, threshold=FractionOfMax(0.5), ignored=None)


class TestChanceLevels:
    def test_shares_take_the_place_of_masks(self):
        mask = MASKS[:1]
        rho = float(mask.mean())
        for name in ("iou", "f_score", "recall", "precision", "roc_auc", "mass_accuracy", "au_iou"):
            expected = chance(name, mask, k=7)
            assert chance(name, rho=rho, n=30, k=7).item() == pytest.approx(expected.item(), abs=1e-12)

    @pytest.mark.parametrize(
        ("name", "given", "expected"),
        [
            ("feature_agreement", {"n": 20, "k": 5}, 0.25),
            ("rank_agreement", {"n": 20}, 0.05),
            ("topq_iou", {"n": 20, "k": 10}, 1 / 3),
            ("pairwise_rank_agreement", {}, 0.5),
            ("spearman", {}, 0.0),
        ],
    )
    def test_levels_of_agreement(self, name, given, expected):
        assert chance(name, **given).item() == pytest.approx(expected)

    @pytest.mark.parametrize(
        ("name", "given", "message"),
        [
            ("iou", {}, "needs k"),
            ("roc_auc", {}, "needs masks, or rho and n"),
            ("pointing_game", {"rho": 0.1, "n": 9}, "needs masks"),
            ("feature_agreement", {"n": 3}, "needs n and k"),
        ],
    )
    def test_what_is_missing_is_named(self, name, given, message):
        with pytest.raises(ValueError, match=message):
            chance(name, **given)
