"""RISE as a shap.Explainer."""

import numpy as np
import pytest
import shap
import torch

from tests.explainers.conformance import IMAGES, NETWORK, Behaviour, ShapContract, model
from xai_ext import MaskedModel
from xai_ext.explainers import RISE
from xai_ext.maskers import BPT, Segments
from xai_ext.methods.rise import GridMasks, rise


class TestShapContract(ShapContract):
    explainer = RISE

    def test_the_outputs_explained_do_not_change_each_other(self):
        explainer = self.make(seed=0)
        both = explainer(IMAGES[:1], max_evals=60, outputs=[1, 2], silent=True)
        single = explainer(IMAGES[:1], max_evals=60, outputs=[2], silent=True)
        np.testing.assert_allclose(both.values[..., 1], single.values[..., 0], atol=1e-12)

    def test_the_estimand_is_named(self):
        assert "not Shapley values" in self.make()(IMAGES, max_evals=40, silent=True).details[0].estimand


class TestOtherSettings(Behaviour):
    explainer = RISE

    def make(self, *args, **kwargs):
        return super().make(*args, **{"estimator": "beta", "cells": 3, "keep_probability": 0.3, **kwargs})


def test_every_knob_of_the_call_arrives():
    knobs = {"cells": (2, 3), "keep_probability": 0.3, "estimator": "beta"}
    explainer = RISE(model, BPT(IMAGES[0], 0.2), seed=4)
    result = explainer(IMAGES[:1], max_evals=500, outputs=[1], tol=9.0, silent=True, **knobs)
    diagnostics = result.details[0].diagnostics
    assert {name: diagnostics[name] for name in knobs} == knobs
    assert diagnostics["stop"] == "tol"
    x = torch.from_numpy(IMAGES[:1]).movedim(-1, 1)
    masked = MaskedModel(lambda i: NETWORK(i)[:, 1], x, 0.2, batch_size=8)
    expected = rise(masked, GridMasks((2, 3), 0.3), budget=500, rng=4, estimator="beta", tol=9.0)
    np.testing.assert_allclose(result.values[0, ..., 0, 0], expected.region_map(), rtol=1e-9)
    np.testing.assert_allclose(result.error_std[0, ..., 0, 0], expected.std_error.reshape(12, 15), rtol=1e-9)


def test_regions_of_the_masker_are_not_used():
    maskers = BPT(IMAGES[0], 0.2), Segments(IMAGES[0], 0.2, np.zeros((12, 15), int))
    first, second = (RISE(model, m, seed=1)(IMAGES[:1], max_evals=40, silent=True).values for m in maskers)
    np.testing.assert_array_equal(first, second)


def test_a_masker_needs_only_an_image_and_its_baseline():
    class Grey(shap.maskers.Masker):
        image_shape = (12, 15, 3)
        shape = (1, 180)

        def __call__(self, mask, x):
            raise NotImplementedError

        def baseline_of(self, x):
            return np.full_like(x, 0.2)

    ours, theirs = (
        RISE(model, m, seed=1)(IMAGES, max_evals=40, outputs=[3], silent=True).values
        for m in (BPT(IMAGES[0], 0.2), Grey())
    )
    np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("masker", [shap.maskers.Image(np.zeros((12, 15, 3)), (12, 15, 3)), np.zeros((4, 6))])
def test_other_maskers_are_refused(masker):
    with pytest.raises(TypeError, match="RISE masks pixels and needs a masker with image_shape and baseline_of"):
        RISE(model, masker)


def test_the_docstring_says_what_the_values_are_not():
    assert "not Shapley values" in RISE.__doc__
