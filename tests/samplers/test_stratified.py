"""Fixed numbers of rows per coalition size."""

import numpy as np
import pytest

from tests.laws import SamplerLaws
from xai_ext.samplers import Stratified


class TestStratified(SamplerLaws):
    make = Stratified

    def test_every_stratum_is_visited_equally(self):
        coalitions = Stratified().ask(5, 60, np.random.default_rng(0))
        np.testing.assert_array_equal(np.bincount(coalitions.sum(1)), [10] * 6)

    @pytest.mark.parametrize(("n", "size"), [(3, 10), (9, 25), (50, 37), (50, 500)])
    def test_allocation_is_within_one_of_its_share(self, n, size):
        for seed in range(5):
            counts = np.bincount(Stratified().ask(n, size, np.random.default_rng(seed)).sum(1), minlength=n + 1)
            assert np.abs(counts - size / (n + 1)).max() < 1

    def test_subsets_of_a_size_are_equally_probable(self):
        coalitions = Stratified().ask(3, 40_000, np.random.default_rng(1))
        pairs = coalitions[coalitions.sum(1) == 2]
        codes = np.bincount(pairs @ [1, 2, 4], minlength=8)
        np.testing.assert_allclose(codes[[3, 5, 6]] / len(pairs), 1 / 3, atol=0.02)  # 4 sigma = 0.019

    def test_one_row_has_any_size(self):
        sizes = [Stratified().ask(4, 1, np.random.default_rng(seed)).sum() for seed in range(1000)]
        np.testing.assert_allclose(np.bincount(sizes, minlength=5) / 1000, 0.2, atol=0.05)  # 4 sigma
