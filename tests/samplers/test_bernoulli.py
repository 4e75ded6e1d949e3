"""Independent players."""

import numpy as np
import pytest
from scipy.stats import binom

from tests.laws import SamplerLaws, StreamLaws
from xai_ext.samplers import Bernoulli
from xai_ext.samplers.bernoulli import log_binomial


class TestBernoulli(SamplerLaws, StreamLaws):
    make = Bernoulli

    @pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
    def test_the_law_is_binomial(self, p):
        np.testing.assert_allclose(np.exp(Bernoulli(p).log_law(20)), binom.pmf(np.arange(21), 20, p), rtol=1e-10)

    @pytest.mark.parametrize("p", [0.0, 1.0, -1.0, 2.0])
    def test_a_probability_outside_the_open_interval_is_an_error(self, p):
        with pytest.raises(ValueError, match="strictly between 0 and 1"):
            Bernoulli(p)

    def test_many_players_are_drawn_in_chunks_of_the_same_stream(self):
        rng = np.random.default_rng(0)
        expected = rng.random((3, 600_000)) < 0.5
        np.testing.assert_array_equal(Bernoulli().ask(600_000, 3, np.random.default_rng(0)), expected)


def test_log_binomial_counts_subsets():
    np.testing.assert_allclose(np.exp(log_binomial(5)), [1, 5, 10, 10, 5, 1], rtol=1e-12)
