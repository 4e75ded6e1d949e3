"""LIME, against enumeration, scikit-learn and repeated runs."""

import tracemalloc

import numpy as np
import pytest
import torch
from sklearn.linear_model import LinearRegression
from sklearn.linear_model import Ridge as SkRidge

from tests.games import additive, all_coalitions, bent, game_of, xor_and
from tests.laws import BudgetLaws, MethodLaws
from xai_ext.methods.lime import Cosine, Euclidean, Ridge, lime
from xai_ext.samplers import Antithetic, Bernoulli, Foldover, Stratified
from xai_ext.samplers.bernoulli import log_binomial

SAMPLERS = [Bernoulli(), Antithetic(), Foldover(), Stratified()]


def cosine_weights(coalitions, width=0.25):
    return np.exp(-((1 - np.sqrt(coalitions.mean(1))) ** 2) / (2 * width**2))


def target(value, n, sampler, weighting, budget, alpha):
    """The fit to all 2^n coalitions, by scikit-learn, with every weight written out."""
    coalitions = all_coalitions(n)
    sizes = coalitions.sum(1)
    share = np.exp(sampler.log_law(n) - log_binomial(n))[sizes]
    weights = {"kernel": cosine_weights(coalitions) * share, "importance": cosine_weights(coalitions) / 2**n}[weighting]
    y = value(torch.from_numpy(coalitions.astype(float))).numpy()
    model = SkRidge(alpha) if alpha else LinearRegression()
    return model.fit(coalitions, y, sample_weight=(budget - 2) * weights)


@pytest.mark.filterwarnings("ignore:the penalty of the ridge")  # one player
class TestLaws(MethodLaws, BudgetLaws):
    """Exact for least squares on fair coins without a kernel."""

    def explain(self, game, rng=0):
        return lime(game, Bernoulli(), budget=64, weighting="none", surrogate=Ridge(0.0), rng=rng)

    def spend(self, game, budget):
        return lime(game, budget=budget, rng=0)


@pytest.mark.parametrize("alpha", [0.0, 1.0])
@pytest.mark.parametrize("weighting", ["kernel", "importance"])
@pytest.mark.parametrize("sampler", SAMPLERS, ids=lambda s: type(s).__name__)
@pytest.mark.parametrize("n", range(2, 11))
def test_enumeration_is_weighted_least_squares_over_all_coalitions(n, sampler, weighting, alpha):
    value, budget = bent(n), 2**n + 40
    explanation = lime(game_of(value, n), sampler, budget=budget, weighting=weighting, surrogate=Ridge(alpha), rng=0)
    expected = target(value, n, sampler, weighting, budget, alpha)
    np.testing.assert_allclose(explanation.values, expected.coef_, atol=1e-10)
    np.testing.assert_allclose(explanation.diagnostics["intercept"], expected.intercept_, atol=1e-10)
    assert explanation.n_evals == 2**n
    assert explanation.diagnostics["enumerated"]
    assert not explanation.std_error.any()


@pytest.mark.parametrize("sampler", SAMPLERS, ids=lambda s: type(s).__name__)
@pytest.mark.parametrize(("n", "budget"), [(12, 500), (300, 200)])
def test_a_sampled_fit_is_scikit_learns_ridge_on_the_same_rows(sampler, n, budget):
    value = bent(n)
    explanation = lime(game_of(value, n), sampler, budget=budget, rng=7)
    drawn = sampler.ask(n, budget - 2, np.random.default_rng(7))
    rows = np.concatenate([np.ones((1, n), bool), np.zeros((1, n), bool), drawn])
    y = value(torch.from_numpy(rows.astype(float))).numpy()
    expected = SkRidge(1.0).fit(rows, y, sample_weight=cosine_weights(rows))
    np.testing.assert_allclose(explanation.values, expected.coef_, atol=1e-9)
    score = expected.score(rows, y, sample_weight=cosine_weights(rows))
    np.testing.assert_allclose(explanation.diagnostics["score"], score, atol=1e-9)


@pytest.mark.parametrize("weighting", ["kernel", "importance", "none"])
@pytest.mark.parametrize("sampler", SAMPLERS, ids=lambda s: type(s).__name__)
def test_an_additive_game_is_exact_under_every_sampler_and_weighting(sampler, weighting):
    weights = np.linspace(-2, 2, 15)
    game = game_of(additive(weights, constant=3.0), 15)
    explanation = lime(game, sampler, budget=80, weighting=weighting, surrogate=Ridge(0.0), rng=0)
    np.testing.assert_allclose(explanation.values, weights, atol=1e-9)
    assert explanation.std_error.max() < 1e-9


@pytest.mark.slow
@pytest.mark.parametrize("weighting", ["kernel", "importance"])
@pytest.mark.parametrize("sampler", SAMPLERS, ids=lambda s: type(s).__name__)
class TestSampling:
    n, repeats = 10, 400

    def runs(self, sampler, weighting, budget):
        value = bent(self.n)
        made = [
            lime(
                game_of(value, self.n, batch_size=1024), sampler,
                budget=budget, weighting=weighting, surrogate=Ridge(0.0), rng=seed,
            )
            for seed in range(self.repeats)
        ]  # fmt: skip
        truth = target(value, self.n, sampler, weighting, budget, 0.0).coef_
        return np.stack([e.values for e in made]) - truth, np.stack([e.std_error for e in made])

    def test_standard_errors_cover_the_truth_in_93_to_97_percent(self, sampler, weighting):
        errors, std_error = self.runs(sampler, weighting, 500)
        coverage = (np.abs(errors) <= 1.96 * std_error).mean()
        assert 0.93 <= coverage <= 0.97

    def test_errors_shrink_with_the_root_of_the_budget(self, sampler, weighting):
        spread = [np.sqrt((self.runs(sampler, weighting, b)[0] ** 2).mean()) for b in (122, 482)]
        # four times the draws halve the error; 400 runs of ten correlated players know it to about 5 %
        if isinstance(sampler, Foldover):  # and let triples cancel better
            assert spread[0] / spread[1] > 2.3
        else:
            assert spread[0] / spread[1] == pytest.approx(2.0, rel=0.15)


def test_pairs_are_more_accurate_than_independent_rows_and_orthogonal_ones_than_random_ones():
    value, n, budget = bent(30, seed=1), 30, 300
    spread = {
        type(s).__name__: np.stack([
            lime(game_of(value, n, batch_size=4096), s, budget=budget, rng=i).values for i in range(60)
        ]).std(0).mean()
        for s in (Bernoulli(), Antithetic(), Foldover())
    }  # fmt: skip
    assert spread["Antithetic"] < 0.8 * spread["Bernoulli"]
    assert spread["Foldover"] < 0.9 * spread["Antithetic"]


class TestTolerance:
    def test_it_stops_once_every_standard_error_is_small_enough(self):
        game = game_of(bent(20), 20)
        explanation = lime(game, budget=4000, tol=0.02, rng=0)
        assert explanation.diagnostics["stopped_by"] == "tol"
        assert explanation.std_error.max() <= 0.02 * abs(explanation.full_value - explanation.base_value)
        assert explanation.n_evals < 4000

    @pytest.mark.parametrize("sampler", [Bernoulli(), Antithetic(), Foldover()], ids=lambda s: type(s).__name__)
    def test_one_that_is_never_reached_changes_no_bit(self, sampler):
        plain, never = (
            lime(game_of(bent(20), 20, batch_size=1), sampler, budget=500, tol=t, rng=0) for t in (None, 1e-12)
        )
        np.testing.assert_array_equal(never.values, plain.values)
        np.testing.assert_array_equal(never.std_error, plain.std_error)
        assert never.diagnostics["stopped_by"] == "budget"

    def test_it_is_relative_to_each_output(self):
        def value(z):
            return torch.stack([bent(20)(z), 1000 * bent(20)(z)], 1)

        both, one = (lime(game_of(v, 20), budget=4000, tol=0.02, rng=0) for v in (value, bent(20)))
        assert both.n_evals == one.n_evals

    @pytest.mark.parametrize("tol", [0.0, -1.0, float("nan")])
    def test_it_must_be_positive(self, tol):
        with pytest.raises(ValueError, match="tol must be a positive finite number"):
            lime(game_of(xor_and, 5), tol=tol)


def test_a_coalition_drawn_twice_is_evaluated_once_and_counts_twice():
    seen = []

    def value(z):
        seen.extend(map(tuple, z.tolist()))
        return xor_and(z)

    explanation = lime(game_of(value, 9, batch_size=16), Bernoulli(), budget=500, rng=0)
    assert len(seen) == len(set(seen)) == explanation.n_evals
    assert explanation.n_evals < 500
    assert explanation.diagnostics["n_drawn"] == 498


class TestSurrogatesWithoutAClosedForm:
    class Wrapped:
        def fit(self, rows):
            fit = Ridge(1.0).fit(rows)
            return type(fit)(fit.coefficients, fit.intercept)

    @pytest.mark.parametrize("sampler", SAMPLERS[:2], ids=lambda s: type(s).__name__)
    def test_the_jackknife_agrees_with_the_sandwich(self, sampler):
        value, n = bent(10), 10
        jack, sandwich = (
            np.mean([
                lime(game_of(value, n, batch_size=1024), sampler, budget=500, surrogate=s, rng=i).std_error
                for i in range(20)
            ], 0)
            for s in (self.Wrapped(), Ridge(1.0))
        )  # fmt: skip
        np.testing.assert_allclose(jack, sandwich, rtol=0.15)


def test_a_constant_score_has_no_r2():
    explanation = lime(game_of(lambda z: torch.ones(len(z)), 12), budget=50, rng=0)
    assert np.isnan(explanation.diagnostics["score"]).all()
    assert not explanation.values.any()


def test_the_effective_sample_size_is_its_closed_form():
    n, sampler = 50, Stratified()
    law, kappa = np.exp(sampler.log_law(n)), np.exp(-((1 - np.sqrt(np.arange(n + 1) / n)) ** 2) / (2 * 0.25**2))
    ratio = np.exp(log_binomial(n) - n * np.log(2) - sampler.log_law(n))
    for weighting, weights in (("kernel", kappa), ("importance", kappa * ratio)):
        expected = (law @ weights) ** 2 / (law @ weights**2)
        got = lime(game_of(bent(n), n), sampler, weighting=weighting, budget=20_000, rng=0).diagnostics["ess_ratio"]
        assert got == pytest.approx(expected, abs=0.01)


def test_the_estimand_says_what_is_estimated():
    def estimand(sampler, weighting):
        return lime(game_of(xor_and, 5), sampler, weighting=weighting).estimand

    assert estimand(Antithetic(), "kernel") == estimand(Stratified(), "importance") == "LIME"
    assert estimand(Stratified(), "kernel") == "uniform-strata LIME"
    assert "Stratified" in estimand(Stratified("shapley"), "kernel")


class TestErrors:
    def test_a_kernel_of_zeros(self):
        with pytest.raises(ValueError, match="weight 0"):
            lime(game_of(xor_and, 12), kernel=lambda z: np.zeros(len(z)))

    @pytest.mark.parametrize("bad", [-1.0, np.nan, np.inf])
    def test_a_kernel_with_impossible_weights(self, bad):
        with pytest.raises(ValueError, match="must return finite weights >= 0"):
            lime(game_of(xor_and, 12), kernel=lambda z: np.full(len(z), bad))

    def test_an_unknown_weighting(self):
        with pytest.raises(ValueError, match="did you mean 'importance'"):
            lime(game_of(xor_and, 12), weighting="importanc")

    def test_a_negative_penalty(self):
        with pytest.raises(ValueError, match="alpha must be a finite number >= 0"):
            Ridge(-1.0)

    @pytest.mark.parametrize("kernel", [Cosine, Euclidean])
    def test_a_width_of_zero(self, kernel):
        with pytest.raises(ValueError, match="width must be a positive finite number"):
            kernel(0.0)


def test_progress_is_shown_for_slow_models(capsys, monkeypatch):
    monkeypatch.setattr("xai_ext._progress._DELAY", 0.0)
    lime(game_of(xor_and, 12), budget=50, rng=0, show_progress=True)
    assert "LIME: 100%" in capsys.readouterr().err


def test_a_run_holds_no_row_of_floats_per_evaluation():
    def peak(budget):
        tracemalloc.start()
        lime(game_of(additive(np.arange(100.0)), 100, batch_size=64), budget=budget, rng=0)
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    peak(300)
    assert peak(6300) - peak(1300) < 5000 * 100 * 8  # bytes of one float64 copy of the rows; several were held
