"""Tags from signatures, from declarations, from text."""

from typing import ClassVar

import captum.attr
import pytest
import shap
from lime.lime_image import LimeImageExplainer

from xai_ext.methods.lime import lime
from xai_ext.testing import Tags, infer_tags
from xai_ext.testing.tags import parse_tags


@pytest.mark.parametrize(
    ("method", "host"),
    [
        (captum.attr.Lime, "captum"), (shap.explainers.Permutation, "shap"), (LimeImageExplainer, "lime"),
        (lime, "core"), (lambda forward, inputs, target: inputs, "function"),
    ],
)  # fmt: skip
def test_the_host_is_told_from_the_class(method, host):
    assert infer_tags(method).host == host


def test_keywords_are_read_from_the_signature():
    tags = infer_tags(captum.attr.Lime)
    assert (tags.budget, tags.batch, tags.feature_mask) == ("n_samples", "perturbations_per_eval", True)
    assert tags.seed is None
    assert "std_error" in tags.not_claimed


def test_a_declaration_completes_the_inference():
    class Mine(captum.attr.Lime):
        __attribution_tags__: ClassVar[dict] = {"draws": False}

    assert infer_tags(Mine).draws is False
    assert infer_tags(Mine).budget == "n_samples"


def test_what_is_no_method_is_refused():
    with pytest.raises(TypeError, match=r"a class with attribute\(\)"):
        infer_tags(dict)
    with pytest.raises(ValueError, match="a tag must be one of"):
        infer_tags(type("Bad", (captum.attr.Lime,), {"__attribution_tags__": {"drawz": True}}))
    with pytest.raises(ValueError, match="host must be one of"):
        Tags("keras")


def test_tags_are_read_from_text():
    assert parse_tags("draws=false,budget=n,typical=9,seed=none") == {
        "draws": False, "budget": "n", "typical": 9, "seed": None,
    }  # fmt: skip
    with pytest.raises(ValueError, match="name=value pairs"):
        parse_tags("draws")
