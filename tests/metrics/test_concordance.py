"""Agreement of several maps, against Friedman's test."""

from itertools import combinations

import numpy as np
import pytest
import torch
from scipy.stats import friedmanchisquare, spearmanr

from xai_ext.metrics import Status, area_over_k, kendall_w


class TestKendallW:
    def test_it_is_friedmans_statistic_scaled(self):
        rng = np.random.default_rng(0)
        for _ in range(50):
            maps = rng.integers(0, 5, (4, 9)).astype(float)  # with ties
            chi2 = friedmanchisquare(*maps.T).statistic
            found = kendall_w([row[None] for row in maps], "signed").item()
            assert found == pytest.approx(chi2 / (4 * 8), abs=1e-12)

    def test_without_ties_it_is_the_mean_correlation_of_pairs(self):
        maps = np.random.default_rng(1).normal(size=(5, 1, 12))
        pairs = [spearmanr(a[0], b[0]).statistic for a, b in combinations(maps, 2)]
        w = kendall_w(list(maps), "signed").item()
        assert (5 * w - 1) / 4 == pytest.approx(np.mean(pairs), abs=1e-12)

    def test_random_maps_have_one_over_m(self):
        maps = np.random.default_rng(2).normal(size=(3, 400, 10))
        assert kendall_w(list(maps)).mean().item() == pytest.approx(1 / 3, abs=4 * 0.15 / 400**0.5)

    def test_constant_maps_are_left_out_and_counted(self):
        a, b = np.random.default_rng(3).normal(size=(2, 2, 6))
        flat = np.ones((2, 6))
        found = kendall_w({"a": a, "b": b, "flat": flat}, "signed", return_details=True)
        assert torch.equal(found.value, kendall_w([a, b], "signed"))
        assert found.n_excluded.tolist() == [1, 1]
        alone = kendall_w([a, flat], return_details=True)
        assert alone.value.isnan().all()
        assert alone.status.tolist() == [Status.CONSTANT] * 2

    def test_a_map_that_is_not_finite_costs_its_own_example(self):
        a, b = np.random.default_rng(4).normal(size=(2, 2, 6))
        a[0, 0] = np.inf
        found = kendall_w([a, b], return_details=True)
        assert found.value.isnan().tolist() == [True, False]
        assert found.status.tolist() == [Status.NON_FINITE, Status.OK]

    def test_magnitudes_are_ranked_unless_told_otherwise(self):
        a, b = np.array([[-3.0, 1, 2]]), np.array([[3.0, 1, 2]])
        assert kendall_w([a, b]).item() == 1
        assert kendall_w([a, b], "signed").item() < 1

    def test_one_map_agrees_with_nothing(self):
        with pytest.raises(ValueError, match="at least two maps"):
            kendall_w([np.ones((1, 3))])
        with pytest.raises(ValueError, match="same shapes"):
            kendall_w([np.arange(3.0)[None], np.arange(4.0)[None]])


class TestAreaOverK:
    def test_a_line_has_its_middle(self):
        ks = [0.01, 0.05, 0.25]
        found = area_over_k(np.array([ks, [1.0, 1, 1]]), ks)
        np.testing.assert_allclose(found, [0.13, 1], atol=1e-15)
        np.testing.assert_allclose(area_over_k(np.array([[1.0, 2, 6]]), ks, rule="mean"), [3])

    @pytest.mark.parametrize("ks", [[0.1], [0.2, 0.1], [0.1, 0.2, 0.3]])
    def test_ks_must_ascend_and_fit(self, ks):
        with pytest.raises(ValueError, match="one entry per k, k ascending"):
            area_over_k(np.ones((2, 2)), ks)
