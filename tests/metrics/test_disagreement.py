"""Correlations of maps, against SciPy."""

from typing import ClassVar

import numpy as np
import pytest
import torch
from scipy.stats import pearsonr, spearmanr

from tests.metrics.laws import VECTORS, MetricLaws
from xai_ext import Explanation
from xai_ext.metrics import Status, agreement


class TestPearson(MetricLaws):
    function = staticmethod(agreement)
    options: ClassVar = {"metric": "pearson"}


class TestAgreement:
    @pytest.mark.parametrize(("metric", "oracle"), [("spearman", spearmanr), ("pearson", pearsonr)])
    def test_scipy_finds_the_same(self, metric, oracle):
        rng = np.random.default_rng(0)
        a, b = rng.integers(-3, 4, (200, 7, 5)), rng.normal(size=(200, 7, 5)).round(1)  # both with ties
        expected = [oracle(x.ravel(), y.ravel()).statistic for x, y in zip(a, b, strict=True)]
        np.testing.assert_allclose(agreement(a, b, metric), expected, rtol=0, atol=1e-12)

    @pytest.mark.parametrize("key", ["dis-rc-ties", "dis-maps-1"])
    def test_vectors(self, key):
        vector = VECTORS[key]
        a, b = (np.array([vector["inputs"][name]]) for name in "ab")
        for name, expected in vector["expected"].items():
            metric, _, average = name.partition("_")
            found = agreement(a, b, metric, ranking="abs" if average else "signed").item()
            assert found == pytest.approx(expected, abs=vector["tol"])

    @pytest.mark.parametrize("metric", ["spearman", "pearson"])
    def test_a_constant_map_correlates_with_nothing(self, metric):
        a, b = (np.array([VECTORS["dis-rc-const"]["inputs"][name]]) for name in "ab")
        for x, y in ((a, b), (b, a), (a, a)):
            found = agreement(x, y, metric, return_details=True)
            assert found.value.isnan().all()
            assert found.status.tolist() == [Status.CONSTANT]

    def test_a_map_that_is_not_finite_is_named(self):
        a, b = np.array([[1.0, 2], [3, 4]]), np.array([[1.0, 2], [np.inf, 4]])
        for x, y in ((a, b), (b, a)):
            found = agreement(x, y, return_details=True)
            assert found.status.tolist() == [Status.OK, Status.NON_FINITE]
            assert found.value.isnan().tolist() == [False, True]

    def test_magnitudes_may_be_ranked(self):
        a, b = np.array([[-3.0, 1, 2]]), np.array([[9.0, 1, 4]])
        assert agreement(a, b).item() == pytest.approx(-0.5)
        assert agreement(a, b, ranking="abs").item() == 1

    @pytest.mark.parametrize("scale", [1e-200, 1.0, 1e200])
    def test_extreme_units_do_not_overflow(self, scale):
        a = np.array([[1.0, 2, 4]]) * scale
        assert agreement(a, a, "pearson").item() == pytest.approx(1, abs=1e-15)

    def test_several_inputs_are_compared_together(self):
        rng = np.random.default_rng(0)
        a, b = rng.normal(size=(2, 3, 10))
        parts = [(x[:, :6].reshape(3, 2, 3), x[:, 6:]) for x in (a, b)]
        assert torch.equal(agreement(*parts), agreement(a, b))

    def test_an_explanation_is_compared_as_its_density(self):
        labels = np.array([[0, 0, 1], [2, 2, 2]])
        values = np.array([4.0, 3.0, 3.0])
        explanation = Explanation(values, values * 0, (labels,), 0.0, 0.0, 0, "LIME")
        other = np.random.default_rng(0).normal(size=(1, 2, 3))
        density = np.array([[[2.0, 2, 3], [1, 1, 1]]])
        assert torch.equal(agreement(explanation, other), agreement(density, other))

    @pytest.mark.parametrize(
        ("b", "metric", "message"),
        [
            (np.ones((2, 3)), "spearmann", "did you mean 'spearman'"),
            (np.ones((2, 4)), "spearman", r"same shapes, got \[\(3,\)\] and \[\(4,\)\]"),
            (np.ones((3, 3)), "spearman", "as many examples, got 2 and 3"),
        ],
    )
    def test_what_cannot_be_compared_is_refused(self, b, metric, message):
        with pytest.raises(ValueError, match=message):
            agreement(np.ones((2, 3)), b, metric)
