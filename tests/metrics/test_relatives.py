"""Small relatives, by hand and by enumeration."""

from itertools import combinations
from typing import ClassVar

import numpy as np
import pytest
import torch
from scipy.stats import pearsonr

from tests.metrics.examples import Spy, curved, examples, linear
from tests.metrics.laws import MetricLaws
from xai_ext.metrics import adcc, average_drop, average_gain, average_increase, sensitivity_n


class TestDrops:
    def test_each_side_of_the_score(self):
        original, masked = [0.5, 0.5, 0.0, 1.0], torch.tensor([0.25, 0.75, 0.5, 0.5])
        np.testing.assert_allclose(average_drop(original, masked), [0.5, 0, np.nan, 0.5])
        np.testing.assert_allclose(average_increase(original, masked), [0, 1, 1, 0])
        np.testing.assert_allclose(average_gain(original, masked), [0, 0.5, 0.5, np.nan])

    def test_nan_stays(self):
        for metric in (average_drop, average_increase, average_gain):
            assert metric([np.nan], [0.5]).isnan().all()

    def test_as_many_of_both(self):
        with pytest.raises(ValueError, match="as many scores"):
            average_drop([0.5], [0.5, 0.4])

    def test_adcc_is_a_harmonic_mean(self):
        assert adcc([0.5], [0.5], [0.5]).item() == pytest.approx(0.5)
        assert adcc([0.9], [0.2], [0.4]).item() == pytest.approx(3 / (1 / 0.9 + 1 / 0.8 + 1 / 0.6))
        assert adcc([0.9], [1.0], [0.4]).item() == 0


class TestSensitivityN(MetricLaws):
    function = staticmethod(sensitivity_n)
    options: ClassVar[dict] = {"n": 1}  # 20 subsets are all of them: no draw depends on the numbering

    def test_all_subsets_are_taken_when_they_are_few(self):
        x, a = examples(1, 6), examples(1, 6, seed=1)
        subsets = list(combinations(range(6), 3))
        falls = []
        for s in subsets:
            moved = x.clone()
            moved[0, list(s)] = 0
            falls.append(float(curved(x) - curved(moved)))
        sums = [float(a[0, list(s)].sum()) for s in subsets]
        model = Spy(curved)
        found = sensitivity_n(model, x, a, n=3, max_examples_per_batch=4)
        assert found.item() == pytest.approx(pearsonr(sums, falls).statistic, abs=1e-12)
        assert len(model.rows) == 2 + len(subsets)

    def test_the_contributions_of_an_additive_model_are_perfect(self):
        x, w = examples(2, 1, 5, 6), examples(5, 6, seed=1)
        for n in (1, 0.3, 20):
            np.testing.assert_allclose(sensitivity_n(linear(w), x, (x * w)[:, 0], n=n), 1, atol=1e-9)

    def test_several_maps_share_their_subsets(self):
        x, w = examples(1, 1, 5, 6), examples(5, 6, seed=1)
        model = Spy(linear(w))
        sensitivity_n(model, x, {"a": x * w, "b": -x * w}, n=10, n_samples=30, max_examples_per_batch=8)
        assert len(model.rows) == 2 + 30

    def test_another_generator_draws_other_subsets(self):
        x, a = examples(1, 1, 5, 6), examples(1, 5, 6, seed=1)
        first, again, other = (
            sensitivity_n(curved, x, a, n=10, rng=np.random.default_rng(seed)).item() for seed in (1, 1, 2)
        )
        assert first == again != other

    def test_what_does_not_vary_correlates_with_nothing(self):
        x = examples(1, 6)
        assert sensitivity_n(curved, x, torch.ones(1, 6), n=2).isnan().all()
        assert sensitivity_n(lambda images: images[:, 0] * 0, x, x, n=2).isnan().all()
