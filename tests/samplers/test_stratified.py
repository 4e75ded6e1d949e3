"""Numbers of rows per coalition size, after a law."""

import numpy as np
import pytest
from scipy.stats import binom

from tests.laws import SamplerLaws
from xai_ext.methods.lime import Cosine
from xai_ext.samplers import Stratified


class TestStratified(SamplerLaws):
    make = Stratified

    def test_every_stratum_is_visited_equally(self):
        coalitions = Stratified().ask(5, 60, np.random.default_rng(0))
        np.testing.assert_array_equal(np.bincount(coalitions.sum(1)), [10] * 6)

    def test_subsets_of_a_size_are_equally_probable(self):
        coalitions = Stratified().ask(3, 40_000, np.random.default_rng(1))
        pairs = coalitions[coalitions.sum(1) == 2]
        codes = np.bincount(pairs @ [1, 2, 4], minlength=8)
        np.testing.assert_allclose(codes[[3, 5, 6]] / len(pairs), 1 / 3, atol=0.02)  # 4 sigma = 0.019

    def test_one_row_has_any_size(self):
        sizes = [Stratified().ask(4, 1, np.random.default_rng(seed)).sum() for seed in range(1000)]
        np.testing.assert_allclose(np.bincount(sizes, minlength=5) / 1000, 0.2, atol=0.05)  # 4 sigma


class TestBinomial(SamplerLaws):
    def sampler(self):
        return Stratified("binomial")

    def test_the_law_is_that_of_fair_coins(self):
        np.testing.assert_allclose(np.exp(Stratified("binomial").log_law(9)), binom.pmf(np.arange(10), 9, 0.5))


class TestShapley(SamplerLaws):
    def sampler(self):
        return Stratified("shapley")

    def test_the_law_is_kernelshaps(self):
        weight = np.array([0, 1 / 4, 1 / 6, 1 / 6, 1 / 4, 0])
        np.testing.assert_allclose(np.exp(Stratified("shapley").log_law(5)), weight / weight.sum(), atol=1e-15)


class TestKernel(SamplerLaws):
    def sampler(self):
        return Stratified("kernel", kernel=Cosine(0.25))

    def test_an_exponential_kernel_gives_independent_players(self):
        def kernel(coalitions, sigma=1.3):
            return np.exp((coalitions.sum(1) - coalitions.shape[1]) / sigma**2)

        p = 1 / (1 + np.exp(-1 / 1.3**2))
        law = np.exp(Stratified("kernel", kernel=kernel).log_law(20))
        np.testing.assert_allclose(law, binom.pmf(np.arange(21), 20, p), rtol=1e-9)

    def test_a_kernel_that_tells_equal_sizes_apart_is_refused(self):
        with pytest.raises(ValueError, match="kernel of the coalition's size alone"):
            Stratified("kernel", kernel=lambda z: 1.0 + z[:, 0]).ask(5, 4, np.random.default_rng(0))

    @pytest.mark.parametrize("arguments", [{"law": "kernel"}, {"kernel": Cosine()}])
    def test_law_and_kernel_go_together(self, arguments):
        with pytest.raises(ValueError, match="go together"):
            Stratified(**arguments)

    def test_pairs_are_refused(self):
        with pytest.raises(ValueError, match=r"P\(s\) = P\(n-s\)"):
            Stratified("kernel", kernel=Cosine(), pairs=True)


class TestPublished(SamplerLaws):
    def sampler(self):
        return Stratified(allocation="iid")

    def test_sizes_are_not_allocated(self):
        counts = np.bincount(self.sampler().ask(5, 60, np.random.default_rng(0)).sum(1), minlength=6)
        assert (counts != 10).any()
        assert self.sampler().group == "row"


class Complements(SamplerLaws):
    @pytest.mark.parametrize("size", [1, 2, 9, 10])
    def test_rows_come_in_complements_and_an_odd_one_is_single(self, size):
        coalitions = self.sampler().ask(7, size, np.random.default_rng(0))
        pairs = size // 2
        np.testing.assert_array_equal(coalitions[0 : 2 * pairs : 2], ~coalitions[1 : 2 * pairs : 2])


class TestPairs(Complements):
    def sampler(self):
        return Stratified(pairs=True)

    def test_strata_are_visited_equally_if_no_complement_shares_its_size(self):
        coalitions = self.sampler().ask(5, 60, np.random.default_rng(0))
        np.testing.assert_array_equal(np.bincount(coalitions.sum(1)), [10] * 6)

    def test_an_asymmetric_law_is_refused(self):
        with pytest.raises(ValueError, match=r"P\(s\) = P\(n-s\)"):
            Stratified([0.5, 0.3, 0.2], pairs=True).ask(2, 4, np.random.default_rng(0))


class TestPairsOfSizesDrawn(Complements):
    def sampler(self):
        return Stratified("shapley", pairs=True, allocation="iid")


class TestALawWrittenDown:
    law = np.array([0.1, 0.0, 0.6, 0.3])

    def test_it_is_followed(self):
        sampler = Stratified(self.law)
        np.testing.assert_allclose(np.exp(sampler.log_law(3)), self.law)
        sizes = sampler.ask(3, 1000, np.random.default_rng(0)).sum(1)
        np.testing.assert_array_equal(np.bincount(sizes), [100, 0, 600, 300])
        assert sampler == Stratified(list(self.law))

    def test_another_number_of_players_is_an_error(self):
        with pytest.raises(ValueError, match=r"one probability per size 0\.\.4"):
            Stratified(self.law).ask(4, 4, np.random.default_rng(0))

    @pytest.mark.parametrize("law", [[0.5, 0.6], [-0.5, 1.5], [[1.0]]])
    def test_other_numbers_are_not_probabilities(self, law):
        with pytest.raises(ValueError, match=r"probabilities .* that sum to 1"):
            Stratified(law)

    @pytest.mark.parametrize("arguments", [{"law": "unifrom"}, {"allocation": "fix"}])
    def test_an_unknown_name_is_an_error(self, arguments):
        with pytest.raises(ValueError, match="did you mean"):
            Stratified(**arguments)


@pytest.mark.parametrize("law", ["uniform", "binomial", "shapley"])
@pytest.mark.parametrize(("n", "size"), [(3, 10), (9, 25), (50, 37), (50, 500)])
def test_allocation_is_within_one_of_its_share(law, n, size):
    share = size * np.exp(Stratified(law).log_law(n))
    for seed in range(5):
        counts = np.bincount(Stratified(law).ask(n, size, np.random.default_rng(seed)).sum(1), minlength=n + 1)
        assert np.abs(counts - share).max() < 1 + 1e-9
