"""Standard errors and effects, against the jackknife and a hand-computed table."""

import numpy as np
import pytest

from xai_ext.study._effects import effects
from xai_ext.study._inference import cluster_se


def test_unequal_images_have_the_error_of_the_jackknife():
    rng = np.random.default_rng(0)
    counts = rng.integers(1, 12, 300).astype(float)
    sums = counts * (0.4 + 0.05 * counts + 0.2 * rng.normal(size=300))  # large images score differently
    left_out = (sums.sum() - sums) / (counts.sum() - counts)
    jackknife = np.sqrt(299 / 300 * ((left_out - left_out.mean()) ** 2).sum())
    assert cluster_se(sums, counts) == pytest.approx(jackknife, rel=0.02)  # they differ by the order of 1 / 300


def test_omega_squared_of_a_table_by_hand():
    """Images (0, 2), (1, 5): sums of squares 9 of the factor, 4 of images, 1 of the rest, 14 in all."""
    (found,) = effects(
        np.array([[0.0, 2.0], [1.0, 5.0]]), ("model",), np.zeros(2), n_permutations=9, rng=np.random.default_rng(0)
    )
    assert (found.ss, found.df) == (9.0, 1)
    assert found.omega2 == pytest.approx((9 - 1 * 1) / (14 + 1))
