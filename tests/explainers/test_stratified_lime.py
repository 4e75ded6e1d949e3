"""StratifiedLime as a shap.Explainer."""

from typing import ClassVar

import numpy as np
import pytest
import shap
import torch

from tests.explainers.conformance import IMAGES, LABELS, NETWORK, Behaviour, ShapContract, model
from xai_ext import attr
from xai_ext.explainers import StratifiedLime
from xai_ext.maskers import Segments


def masker(baseline=0.2):
    return Segments(IMAGES[0], baseline, LABELS)


def region_sums(values, output):
    return np.array([values[..., 0, output][LABELS == k].sum() for k in range(LABELS.max() + 1)])


class TestShapContract(ShapContract):
    explainer = StratifiedLime

    def masker(self, baseline=0.2):
        return masker(baseline)

    def test_the_outputs_explained_do_not_change_each_other(self):
        explainer = StratifiedLime(model, masker(), seed=0)
        both = explainer(IMAGES[:1], max_evals=60, outputs=[1, 2], silent=True)
        single = explainer(IMAGES[:1], max_evals=60, outputs=[2], silent=True)
        np.testing.assert_allclose(both.values[..., 1], single.values[..., 0], atol=1e-12)

    def test_the_estimand_is_named(self):
        assert self.make()(IMAGES, max_evals=40, silent=True).details[0].estimand == "LIME"


class TestBatchSize:
    @staticmethod
    def rows(batch_size):
        seen = []

        def spied(images):
            seen.append(len(images))
            return model(images)

        StratifiedLime(spied, masker(), seed=0)(IMAGES[:1], max_evals=60, batch_size=batch_size, silent=True)
        return sum(seen)

    def test_auto_is_measured_outside_the_budget(self):
        assert self.rows("auto") > self.rows(8)
        assert self.rows(8) <= 60


class TestOtherSettings(Behaviour):
    explainer = StratifiedLime
    settings: ClassVar = {
        "sampler": "stratified",
        "weighting": "importance",
        "kernel": "euclidean",
        "kernel_width": 3.0,
    }


class TestRandomness:
    def test_without_a_seed_the_entropy_is_recorded(self):
        result = StratifiedLime(model, masker())(IMAGES[:1], max_evals=60, silent=True)
        seed = result.details[0].diagnostics["seed"]
        again = StratifiedLime(model, masker(), seed=seed)(IMAGES[:1], max_evals=60, silent=True)
        np.testing.assert_array_equal(again.values, result.values)


class TestHosts:
    @pytest.mark.parametrize("sampler", ["mc", "antithetic", "foldover", "stratified"])
    @pytest.mark.parametrize("weighting", ["kernel", "importance"])
    def test_both_hosts_give_the_same_numbers(self, sampler, weighting):
        kwargs = {"sampler": sampler, "weighting": weighting}
        ours = StratifiedLime(model, masker(), seed=3, **kwargs)(IMAGES, max_evals=150, outputs=[4], silent=True)
        captums = attr.StratifiedLime(NETWORK, **kwargs)
        x = torch.from_numpy(IMAGES).movedim(-1, 1)
        flat = captums.attribute(
            x, baselines=0.2, target=4, feature_mask=torch.from_numpy(LABELS), n_samples=150, seed=3,
            return_input_shape=False,
        )  # fmt: skip
        for i in range(2):
            np.testing.assert_allclose(region_sums(ours.values[i], 0), flat[i], rtol=1e-6, atol=1e-12)

    @pytest.mark.parametrize("background", [1, 3])
    def test_a_masker_of_shaps_own_is_played_by_columns(self, background):
        rows = np.random.default_rng(1).random((4, 6))
        weights = np.arange(6.0)
        tabular = shap.maskers.Independent(np.random.default_rng(2).random((background, 6)))
        explainer = StratifiedLime(lambda x: x @ weights, tabular, surrogate=None, seed=0)
        result = explainer(rows, max_evals=100, silent=True)
        assert result.values.shape == rows.shape
        expected = (rows - tabular.data.mean(0)) * weights
        np.testing.assert_allclose(result.values, expected, atol=0.2)  # the ridge shrinks


def test_kernelshap_gives_shapley_values_and_says_so():
    result = StratifiedLime(model, masker(), seed=0, weighting="kernelshap")(IMAGES[:1], max_evals=80, silent=True)
    assert result.details[0].estimand == "Shapley"
    total = result.values.sum((1, 2, 3)) + result.base_values
    np.testing.assert_allclose(total, model(IMAGES[:1]), atol=1e-9)
