"""Weights of coalitions, against formulas written out by hand."""

from math import comb, exp, sqrt

import numpy as np
import pytest
import torch

from tests.games import additive, bent, game_of, xor_and
from xai_ext.methods._weightings import PublishedCode, expected_ess, weights
from xai_ext.methods.lime import Cosine, Euclidean, PixelCosine, lime
from xai_ext.samplers import Antithetic, Bernoulli, Stratified
from xai_ext.samplers._laws import binomial, log_shapley_weight


def of_sizes(n, sizes):
    return np.arange(n)[None] < np.asarray(sizes)[:, None]


def game(n):
    return game_of(xor_and, n)


class TestPublishedCode:
    def weigh(self, n, sizes, repeats=1):
        return PublishedCode(repeats).weigh(Cosine(0.25), of_sizes(n, sizes))

    def test_half_of_the_players_weigh_nothing_and_few_weigh_as_much_as_all(self):
        got = self.weigh(50, [0, 12, 25, 45])
        np.testing.assert_allclose(got, [1.0, 1.0, 1.7e-10, 1.0], rtol=0.05)

    @pytest.mark.parametrize("repeats", [1, 2, 5])
    @pytest.mark.parametrize("n", [3, 50, 100])
    def test_it_is_the_naive_formula_where_that_does_not_overflow(self, n, repeats):
        def naive(s):
            d = (1 - sqrt(s / n)) * ((n + 1) * comb(n, s) / 2**n) ** repeats
            return exp(-(d**2) / (2 * 0.25**2)) if d < 1e6 else 0.0

        got = self.weigh(n, range(n + 1), repeats)
        np.testing.assert_allclose(got, [naive(s) for s in range(n + 1)], rtol=1e-9, atol=1e-300)

    def test_it_is_finite_for_1500_players_and_five_repeats(self):
        got = self.weigh(1500, range(0, 1501, 50), 5)
        assert np.isfinite(got).all()
        assert got[-1] == 1

    def test_counting_labels_is_for_limes_explainer(self):
        with pytest.raises(ValueError, match="fix: repeats=1 or more"):
            lime(game_of(bent(12), 12), weighting=PublishedCode(None), budget=50)

    def test_it_says_so_and_needs_a_distance(self):
        assert lime(game(5), Stratified(allocation="iid"), weighting=PublishedCode()).estimand == "published code"
        with pytest.raises(ValueError, match="needs a kernel with a distance"):
            lime(game(5), weighting=PublishedCode(), kernel=PixelCosine())
        with pytest.raises(ValueError, match="repeats must be at least 1"):
            PublishedCode(0)


class TestImportance:
    def test_uniform_strata_get_the_adjustment_of_the_paper(self):
        n = 9
        w = weights(Cosine(), "importance", Stratified(), game(n)).drawn(of_sizes(n, range(n + 1)))
        a = [(n + 1) * comb(n, s) / 2**n for s in range(n + 1)]
        np.testing.assert_allclose(w, Cosine()(of_sizes(n, range(n + 1))) * a, rtol=1e-12)

    def test_fair_coins_keep_the_kernel_and_the_kernels_own_law_weighs_all_alike(self):
        sizes = of_sizes(9, range(10))
        w = weights(Cosine(), "importance", Antithetic(), game(9)).drawn(sizes)
        np.testing.assert_allclose(w, Cosine()(sizes), rtol=1e-12)
        w = weights(Cosine(), "importance", Stratified("kernel", kernel=Cosine()), game(9)).drawn(sizes)
        np.testing.assert_allclose(w, w[0], rtol=1e-12)

    def test_the_input_and_the_baseline_are_not_draws(self):
        w = weights(Cosine(), "importance", Stratified(), game(9)).anchors(of_sizes(9, [9, 0]))
        np.testing.assert_allclose(w, [1, np.exp(-8)])

    def test_a_law_without_the_sizes_that_matter_is_refused(self):
        law = np.array([1, 1, 1, 0, 0, 1, 1, 1, 1, 1, 1, 1]) / 10
        with pytest.raises(ValueError, match="never draws coalitions of size 3, 4,"):
            lime(game(11), Stratified(law), budget=50, weighting="importance")

    def test_a_law_far_from_fair_coins_is_refused(self):
        with pytest.raises(ValueError, match=r"effective sample size of .* of their number"):
            lime(game(60), Bernoulli(0.9), weighting="importance")

    def test_a_kernel_of_pixels_or_of_the_user_is_corrected_too(self):
        for kernel in (PixelCosine(), lambda z: 1.0 + z[:, 0]):
            explanation = lime(game(12), Stratified(), kernel=kernel, weighting="importance", budget=500, rng=0)
            assert explanation.estimand == "LIME"


class NoLaw:
    group = "row"

    def ask(self, n, size, rng):
        return rng.random((size, n)) < 0.5


class TestSamplersWithoutALaw:
    @pytest.mark.parametrize("weighting", ["kernel", "none"])
    def test_they_serve_weightings_that_need_none(self, weighting):
        got, expected = (lime(game(12), s, budget=200, weighting=weighting, rng=0) for s in (NoLaw(), Bernoulli()))
        np.testing.assert_array_equal(got.values, expected.values)

    @pytest.mark.parametrize("weighting", ["importance", "kernelshap"])
    def test_others_are_refused(self, weighting):
        with pytest.raises(ValueError, match="needs the sampler's log_law"):
            lime(game(12), NoLaw(), weighting=weighting)

    def test_an_enumeration_needs_it(self):
        with pytest.raises(ValueError, match="all coalitions fit into the budget"):
            lime(game(5), NoLaw())


# section 4 of Kish's effective sample size: (sum P w)^2 / sum P w^2
@pytest.mark.parametrize(
    ("sampler", "weighting", "expected"),
    [
        (Bernoulli(), "kernel", [0.894, 0.951, 0.974, 0.987, 0.998]),
        (Stratified(), "importance", [0.356, 0.240, 0.173, 0.124, 0.046]),
        (Stratified(), "kernel", [0.651, 0.657, 0.659, 0.660, 0.661]),
        (Stratified(), "kernelshap", [0.615, 0.436, 0.305, 0.202, 0.050]),
    ],
)
def test_effective_sample_sizes_are_their_closed_forms(sampler, weighting, expected):
    for n, value in zip((20, 50, 100, 200, 1500), expected, strict=True):
        sizes = of_sizes(n, range(n + 1))
        law, w = (
            np.exp(sampler.log_law(n)),
            weights(Cosine(), weighting, sampler, game_of(additive(np.ones(n)), n)).drawn(sizes),
        )
        assert (law @ w) ** 2 / (law @ w**2) == pytest.approx(value, abs=6e-4)


def test_kernelshaps_weights_on_fair_coins_are_refused():
    assert expected_ess(binomial(50), log_shapley_weight(50)) == pytest.approx(1.7e-12, rel=0.05)
    with pytest.raises(ValueError, match=r"fix: sampler=Stratified\('shapley'\)"):
        lime(game(50), Bernoulli(), weighting="kernelshap")


def test_few_effective_draws_are_warned_of():
    with pytest.warns(UserWarning, match="effective of 998 draws"):
        lime(game_of(bent(200), 200), Stratified(), weighting="importance", rng=0)


def test_euclidean_kernels_work_with_every_weighting():
    for weighting in ("kernel", "importance", "none", PublishedCode()):
        values = lime(game_of(bent(12), 12), kernel=Euclidean(), weighting=weighting, budget=300, rng=0).values
        assert torch.isfinite(torch.from_numpy(values)).all()
