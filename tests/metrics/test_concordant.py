"""Weighted rank correlation, counted item by item."""

import numpy as np
import pytest
from scipy.stats import weightedtau

from xai_ext.metrics._concordant import net_concordance, weighted_tau


def dense(values):
    return np.unique(values, return_inverse=True)[1]


@pytest.mark.parametrize("levels", [2, 3, 8, 1000])
def test_each_item_counts_its_pairs_in_the_same_order(levels):
    rng = np.random.default_rng(levels)
    x, y = rng.integers(0, levels, (2, 60))
    pairs = np.sign(x[:, None] - x) * np.sign(y[:, None] - y)
    np.testing.assert_array_equal(net_concordance(dense(x), dense(y)), pairs.sum(1))


@pytest.mark.parametrize("levels", [2, 3, 8, 1000])
@pytest.mark.parametrize("n", [2, 5, 31, 200])
def test_it_is_scipys(levels, n):
    rng = np.random.default_rng([levels, n])
    for _ in range(20):
        x, y = rng.integers(0, levels, (2, n))
        if np.ptp(x) and np.ptp(y):
            expected = weightedtau(x.astype(float), y.astype(float)).statistic
            assert weighted_tau(dense(x), dense(y)) == pytest.approx(expected, abs=1e-12)


def test_of_a_ranking_and_itself_is_one_and_of_its_reverse_minus_one():
    x = np.random.default_rng(0).permutation(50)
    assert weighted_tau(x, x) == pytest.approx(1.0, abs=1e-12)
    assert weighted_tau(x, 49 - x) == pytest.approx(-1.0, abs=1e-12)
