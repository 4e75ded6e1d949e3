"""Surrogates, against scikit-learn and lime."""

import numpy as np
import pytest
import torch
from lime.lime_base import LimeBase
from sklearn.base import clone
from sklearn.linear_model import ElasticNet, HuberRegressor, LinearRegression
from sklearn.linear_model import Lasso as SkLasso
from sklearn.linear_model import Ridge as SkRidge
from sklearn.neighbors import KNeighborsRegressor
from sklearn.svm import SVR

from tests.games import additive, all_coalitions, bent, game_of, xor_and
from xai_ext.methods._rows import Rows
from xai_ext.methods._select import select
from xai_ext.methods.lime import Cosine, Lasso, Linear, Ridge, Select, lime
from xai_ext.samplers import Antithetic, Bernoulli


def rows_of(n, m, seed=0, outputs=1):
    rng = np.random.default_rng(seed)
    coalitions = np.concatenate([np.ones((1, n), bool), Bernoulli().ask(n, m - 1, rng)])
    scores = coalitions @ rng.normal(size=(n, outputs)) + 0.5 * rng.normal(size=(m, outputs))
    return Rows(coalitions, scores, Cosine()(coalitions), 1)


def enumerated(surrogate, n=6, budget=1000):
    explanation = lime(game_of(bent(n), n), Bernoulli(), budget=budget, surrogate=surrogate)
    coalitions = all_coalitions(n)
    y = bent(n)(torch.from_numpy(coalitions.astype(float))).numpy()
    return explanation, coalitions.astype(float), y, (budget - 2) / 2**n * Cosine()(coalitions)


class TestLasso:
    @pytest.mark.parametrize("alpha", [0.001, 0.01])
    def test_raw_is_scikit_learns(self, alpha):
        explanation, x, y, w = enumerated(Lasso(alpha, scale="raw"))
        expected = SkLasso(alpha, tol=1e-12, max_iter=100_000).fit(x, y, sample_weight=w)
        np.testing.assert_allclose(explanation.values, expected.coef_, atol=1e-8)
        np.testing.assert_allclose(explanation.diagnostics["intercept"], expected.intercept_, atol=1e-8)

    def test_score_is_scikit_learns_of_the_standardised_score(self):
        explanation, x, y, w = enumerated(Lasso(0.05))
        mean = np.average(y, weights=w)
        sd = np.sqrt(np.average((y - mean) ** 2, weights=w))
        expected = SkLasso(0.05, tol=1e-12, max_iter=100_000).fit(x, (y - mean) / sd, sample_weight=w)
        np.testing.assert_allclose(explanation.values, sd * expected.coef_, atol=1e-8)
        assert (explanation.values == 0).any()

    def test_the_scale_of_the_score_does_not_matter(self):
        small, large = (
            lime(game_of(lambda z, c=c: c * bent(12)(z), 12), budget=200, surrogate=Lasso(), rng=0).values
            for c in (1e-4, 1.0)
        )
        np.testing.assert_allclose(small, 1e-4 * large, rtol=1e-6)

    @pytest.mark.parametrize("scale", ["score", "raw"])
    def test_a_constant_score_gives_zeros(self, scale):
        explanation = lime(game_of(lambda z: torch.full((len(z),), 0.3), 12), budget=50, surrogate=Lasso(scale=scale))
        assert not explanation.values.any()
        assert np.isnan(explanation.diagnostics["score"]).all()

    def test_impossible_settings(self):
        with pytest.raises(ValueError, match="alpha must be a positive"):
            Lasso(0)
        with pytest.raises(ValueError, match="scale must be one of"):
            Lasso(scale="scores")


class TestRidge:
    def test_a_prior_is_what_the_penalty_pulls_towards(self):
        rows, prior = rows_of(5, 40, outputs=2), np.arange(5.0)
        strong = Ridge(1e9, prior=prior).fit(rows)
        np.testing.assert_allclose(strong.coefficients, np.stack([prior, prior], 1), atol=1e-5)
        fit = Ridge(2.0, prior=prior).fit(rows)
        y = rows.scores[:, 1] - rows.coalitions @ prior
        expected = SkRidge(2.0).fit(rows.coalitions, y, sample_weight=rows.weights)
        np.testing.assert_allclose(fit.coefficients[:, 1], expected.coef_ + prior, atol=1e-10)
        np.testing.assert_allclose(fit.intercept[1], expected.intercept_, atol=1e-10)

    def test_a_prior_of_another_shape_is_refused(self):
        with pytest.raises(ValueError, match=r"prior must have shape \(5,\) or \(5, 1\)"):
            Ridge(prior=np.zeros(4)).fit(rows_of(5, 20))


class TestLinear:
    def test_it_is_least_squares(self):
        explanation, x, y, w = enumerated(Linear())
        expected = LinearRegression().fit(x, y, sample_weight=w)
        np.testing.assert_allclose(explanation.values, expected.coef_, atol=1e-10)

    def test_too_few_rows_are_warned_of_and_give_the_minimum_norm(self):
        with pytest.warns(UserWarning, match="determine 9 of 20 coefficients"):
            explanation = lime(game_of(bent(20), 20), Bernoulli(), budget=10, surrogate=Linear(), rng=0)
        drawn = Bernoulli().ask(20, 8, np.random.default_rng(0))
        x = np.concatenate([np.ones((1, 20), bool), np.zeros((1, 20), bool), drawn])
        y = bent(20)(torch.from_numpy(x.astype(float))).numpy()
        expected = LinearRegression().fit(x, y, sample_weight=Cosine()(x))
        np.testing.assert_allclose(explanation.values, expected.coef_, atol=1e-6)


class TestSelect:
    @pytest.mark.parametrize("seed", range(20))
    def test_it_picks_the_players_that_lime_picks(self, seed):
        rows = rows_of(12, 60, seed)
        base = LimeBase(None, random_state=0)

        def limes(k, how):
            data, y = rows.coalitions.astype(float), rows.scores[:, 0]
            return sorted(base.feature_selection(data, y, rows.weights, k, how))

        for k in range(1, 7):
            assert list(select(rows, k, "auto")) == limes(k, "auto") == list(select(rows, k, "forward"))
            assert list(select(rows, k, "lasso_path")) == limes(k, "lasso_path")
        assert list(select(rows, 10, "auto")) == limes(10, "auto") == list(select(rows, 10, "highest_weights"))

    def test_the_chosen_get_the_final_surrogate_and_the_others_nothing(self):
        rows = rows_of(12, 60, outputs=2)
        fit = Select(3).fit(rows)
        for i in range(2):
            chosen = select(rows.output(i), 3, "forward")
            assert list(np.flatnonzero(fit.coefficients[:, i])) == list(chosen)
            expected = SkRidge(1.0).fit(rows.coalitions[:, chosen], rows.scores[:, i], sample_weight=rows.weights)
            np.testing.assert_allclose(fit.coefficients[chosen, i], expected.coef_, atol=1e-10)

    def test_players_that_come_and_go_together_count_once_and_the_second_comes_last(self):
        rows = rows_of(6, 60)
        twins = np.concatenate([rows.coalitions, rows.coalitions[:, :1]], 1)
        rows = Rows(twins, twins[:, :1] * 5.0 + rows.scores, rows.weights, rows.n_fixed)
        assert 6 not in select(rows, 6, "forward")
        np.testing.assert_array_equal(select(rows, 7, "forward"), np.arange(7))

    @pytest.mark.parametrize("how", ["forward", "highest_weights", "lasso_path"])
    def test_a_constant_score_gives_zeros(self, how):
        explanation = lime(game_of(lambda z: torch.ones(len(z)), 12), budget=50, surrogate=Select(3, how), rng=0)
        assert not explanation.values.any()

    @pytest.mark.parametrize("how", ["forward", "highest_weights"])
    def test_ties_go_to_the_smaller_player(self, how):
        coalitions = all_coalitions(4)
        rows = Rows(coalitions, coalitions.sum(1, keepdims=True).astype(float), np.ones(16), 16)
        assert list(select(rows, 2, how)) == [0, 1]

    def test_the_standard_error_includes_the_selection(self):
        def explain(seed):
            surrogate = Select(2, final=Linear())
            return lime(game_of(bent(10), 10, batch_size=1024), Antithetic(), budget=300, surrogate=surrogate, rng=seed)

        runs = [explain(seed) for seed in range(40)]
        spread = np.stack([e.values for e in runs]).std(0)
        claimed = np.mean([e.std_error for e in runs], 0)
        wavering = spread > 0.02  # players that are chosen in some runs only, or always
        assert wavering.any()
        assert np.median(claimed[wavering] / spread[wavering]) > 0.5

    def test_impossible_settings(self):
        with pytest.raises(ValueError, match="k must be at least 1"):
            Select(0)
        with pytest.raises(ValueError, match="did you mean 'forward'"):
            Select(3, "forwards")


class TestScikitLearn:
    @pytest.mark.parametrize("model", [ElasticNet(alpha=0.001), HuberRegressor(), LinearRegression()], ids=str)
    def test_any_linear_regressor_serves_and_is_not_touched(self, model):
        explanation, x, y, w = enumerated(model)
        expected = clone(model).fit(x, y, sample_weight=w)
        np.testing.assert_allclose(explanation.values, expected.coef_, atol=1e-6)
        assert not hasattr(model, "coef_")

    @pytest.mark.parametrize("model", [KNeighborsRegressor(), SVR(kernel="rbf"), "ridge"], ids=str)
    def test_others_are_a_type_error(self, model):
        with pytest.raises(TypeError, match=r"fit\(X, y, sample_weight=\) and coef_"):
            lime(game_of(xor_and, 5), surrogate=model)


@pytest.mark.parametrize("surrogate", [Linear(), Ridge(0.0), Lasso(1e-9), Select(15, "forward", Linear())], ids=str)
def test_an_additive_game_is_exact(surrogate):
    weights = np.linspace(-2, 2, 15)
    explanation = lime(game_of(additive(weights, 3.0), 15), Antithetic(), budget=80, surrogate=surrogate, rng=0)
    np.testing.assert_allclose(explanation.values, weights, atol=1e-6)
    assert explanation.std_error.max() < 1e-6
