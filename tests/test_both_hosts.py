"""One method, one seed: the same numbers through Captum and through SHAP."""

import numpy as np
import pytest
import torch

from tests.explainers.conformance import IMAGES, LABELS, NETWORK, model
from xai_ext import attr, explainers
from xai_ext.hierarchies import Hierarchy, bpt
from xai_ext.maskers import BPT
from xai_ext.methods.owen import Feedback

X = torch.from_numpy(IMAGES).movedim(-1, 1)
SETTINGS = [{}, {"estimator": "designed"}, {"feedback": Feedback()}, {"trees": 3}]


def in_rgb(image, labels, extra=None):
    return bpt(image, labels, color="rgb", extra=extra)


CASES = [(settings, hierarchy) for settings in SETTINGS for hierarchy in ("bpt", in_rgb)]
CASES += [(settings, "axis_aligned") for settings in SETTINGS[:2]]  # the others need a tree that follows the image


def both(settings, hierarchy, labels=None, target=3):
    """SHAP's explanation and Captum's keyword arguments for the same run."""
    masker = BPT(IMAGES[0], 0.2, labels, hierarchy)
    shaps = explainers.BPTOwen(model, masker, seed=7, **settings)(IMAGES, max_evals=200, outputs=[target], silent=True)
    captums = attr.BPTOwen(NETWORK, hierarchy=hierarchy, **settings)
    return shaps, lambda **kwargs: captums.attribute(X, 0.2, target=target, n_samples=200, seed=7, **kwargs).numpy()


@pytest.mark.parametrize(("settings", "hierarchy"), CASES)
class TestBPTOwen:
    def test_pixels_sum_over_channels_to_shaps(self, settings, hierarchy):
        shaps, captums = both(settings, hierarchy)
        values = shaps.values[..., 0, 0]
        np.testing.assert_allclose(captums().sum(1), values, rtol=1e-6, atol=1e-12)
        assert np.abs(values).max() > 1e-6

    def test_regions_have_the_sums_of_shaps_pixels(self, settings, hierarchy):
        shaps, captums = both(settings, hierarchy, LABELS)
        sums = [np.bincount(LABELS.ravel(), values.ravel()) for values in shaps.values[..., 0, 0]]
        got = captums(feature_mask=torch.from_numpy(LABELS), return_input_shape=False)
        np.testing.assert_allclose(got, sums, rtol=1e-6, atol=1e-12)


def test_pixels_count_in_a_tree_that_knows_no_areas():
    """In both hosts undivided regions share by area, so a linkage without areas gives what the tree itself gives."""
    labels = np.maximum(LABELS - 5, 0)  # the first region is six times as large as the others
    bare = Hierarchy.from_merges(bpt(IMAGES[0], labels).merges)
    results = []
    for hierarchy in (bare, "bpt"):
        masker = BPT(IMAGES[0], 0.2, labels, hierarchy)
        shaps = explainers.BPTOwen(model, masker)(IMAGES[:1], max_evals=6, outputs=[3], silent=True)
        results.append(np.bincount(labels.ravel(), shaps.values.ravel()))
        method = attr.BPTOwen(NETWORK, hierarchy=hierarchy)
        masks = {"feature_mask": torch.from_numpy(labels), "return_input_shape": False}
        results.append(method.attribute(X[:1], 0.2, target=3, n_samples=6, **masks)[0].numpy())
    for other in results[1:]:
        np.testing.assert_allclose(other, results[0], rtol=1e-6, atol=1e-12)


PIXEL_METHODS = [
    (attr.RISE, explainers.RISE, {}, {}),
    (attr.RISE, explainers.RISE, {}, {"estimator": "rise", "cells": 3, "keep_probability": 0.3, "tol": 0.01}),
    (attr.IASSA, explainers.IASSA, {}, {}),
    (attr.IASSA, explainers.IASSA, {"attention": "image"}, {"levels": 2, "region": 0.5}),
    (attr.IASSA, explainers.IASSA, {}, {"sliding_window_shapes": (3, 4, 4), "strides": (3, 2, 3), "shrink": 0.5}),
]


@pytest.mark.parametrize(("captums", "shaps", "settings", "knobs"), PIXEL_METHODS)
def test_positions_have_shaps_values_without_the_channels(captums, shaps, settings, knobs):
    explainer = shaps(model, BPT(IMAGES[0], 0.2), seed=7, **settings)
    values = explainer(IMAGES, max_evals=200, outputs=[3], silent=True, **knobs).values[..., 0, 0]
    got = captums(NETWORK, **settings).attribute(
        X, 0.2, target=3, n_samples=200, seed=7, return_input_shape=False, **knobs
    )
    assert got.shape == (2, 1, 12, 15)
    np.testing.assert_allclose(got[:, 0].numpy(), values, rtol=1e-6, atol=1e-12)
    assert np.abs(values).max() > 1e-6
