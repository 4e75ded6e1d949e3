"""Pairs of complements."""

import numpy as np
import pytest

from tests.laws import SamplerLaws, StreamLaws
from xai_ext.samplers import Antithetic, Bernoulli


class TestAntithetic(SamplerLaws, StreamLaws):
    make = Antithetic

    @pytest.mark.parametrize("size", [1, 2, 9, 10])
    def test_rows_come_in_complements_and_an_odd_one_is_single(self, size):
        coalitions = Antithetic().ask(7, size, np.random.default_rng(0))
        pairs = size // 2
        np.testing.assert_array_equal(coalitions[0 : 2 * pairs : 2], ~coalitions[1 : 2 * pairs : 2])

    def test_an_asymmetric_base_is_refused(self):
        with pytest.raises(ValueError, match=r"P\(s\) = P\(n-s\)"):
            Antithetic(Bernoulli(0.3)).ask(5, 10, np.random.default_rng(0))
