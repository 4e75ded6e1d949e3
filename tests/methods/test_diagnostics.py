"""What LIME reports beside its coefficients, against definitions written out by hand."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LinearRegression
from sklearn.metrics import r2_score

from tests.games import additive, bent, game_of, xor_and
from xai_ext.methods._diagnostics import of_scores
from xai_ext.methods._report import Report, extended
from xai_ext.methods.lime import Cosine, Linear, Ridge, Select, Top, lime
from xai_ext.samplers import Antithetic, Bernoulli, Stratified

N, BUDGET = 12, 300


def three(z):
    return torch.stack([bent(N)(z), xor_and(z) - 5, 2 * bent(N, seed=1)(z)], 1)


@pytest.fixture(scope="module")
def explained():
    return lime(game_of(three, N), Bernoulli(), budget=BUDGET, rng=3)


@pytest.fixture(scope="module")
def rows():
    return Bernoulli().ask(N, BUDGET - 2, np.random.default_rng(3))


def scores_of(rows):
    return three(torch.from_numpy(rows.astype(float))).numpy()


def test_the_draws_are_kept(explained, rows):
    d = explained.diagnostics
    np.testing.assert_array_equal(np.unpackbits(d["coalitions"], axis=1, count=N), rows)
    np.testing.assert_allclose(d["scores"], scores_of(rows), atol=1e-12)
    np.testing.assert_allclose(d["weights"], Cosine()(rows), atol=1e-12)
    predicted = rows @ explained.values + d["intercept"]
    np.testing.assert_allclose(d["losses"], (d["scores"] - predicted) ** 2, atol=1e-12)


def test_they_are_enough_to_fit_another_surrogate(explained):
    d, n = explained.diagnostics, N
    anchors = np.concatenate([np.ones((1, n)), np.zeros((1, n))]).astype(bool)
    x = np.concatenate([anchors, np.unpackbits(d["coalitions"], axis=1, count=n).astype(bool)])
    y = np.concatenate([[explained.full_value, explained.base_value], d["scores"]])
    w = np.concatenate([Cosine()(anchors), d["weights"]])
    again = lime(game_of(three, n), Bernoulli(), budget=BUDGET, surrogate=Linear(), rng=3)
    np.testing.assert_allclose(LinearRegression().fit(x, y, sample_weight=w).coef_.T, again.values, atol=1e-10)


def test_the_scores_of_the_fit_are_scikit_learns(explained, rows):
    x = np.concatenate([np.ones((1, N), bool), np.zeros((1, N), bool), rows])
    y, w, d = scores_of(x), Cosine()(x), explained.diagnostics
    for i in range(3):
        predicted = x @ explained.values[:, i] + d["intercept"][i]
        assert d["score"][i] == pytest.approx(r2_score(y[:, i], predicted, sample_weight=w))
        assert d["score_unweighted"][i] == pytest.approx(r2_score(y[:, i], predicted))
    np.testing.assert_allclose(d["local_pred"], explained.values.sum(0) + d["intercept"])
    np.testing.assert_allclose(d["gap"], d["local_pred"] - explained.full_value)


def test_held_out_draws_are_predicted_worse_than_fitted_ones_and_noise_not_at_all(explained):
    d = explained.diagnostics
    assert (d["score_cv"] < d["score"]).all()
    assert (d["score_cv"] > d["score"] - 0.1).all()
    noise = np.random.default_rng(0)
    chaos = lime(game_of(lambda z: torch.from_numpy(noise.normal(size=len(z))), 30), budget=100, rng=0)
    assert chaos.diagnostics["score"][0] > 0.15  # 30 coefficients follow 98 random numbers
    assert chaos.diagnostics["score_cv"][0] < 0


def test_an_additive_game_is_predicted_perfectly_and_pairs_stay_together():
    for sampler in (Antithetic(), Stratified(pairs=True)):
        explanation = lime(game_of(additive(np.arange(12.0)), 12), sampler, budget=101, surrogate=Linear(), rng=0)
        assert explanation.diagnostics["score_cv"][0] == pytest.approx(1)


def test_pairs_are_never_split_between_folds():
    class Spy:
        def fit(self, rows):
            drawn = {tuple(r) for r in rows.coalitions[rows.n_fixed :].tolist()}
            assert {tuple(not i for i in row) for row in drawn} == drawn
            fit = Ridge().fit(rows)
            return type(fit)(fit.coefficients, fit.intercept)

    lime(game_of(bent(20), 20), budget=102, surrogate=Spy(), rng=0)


def test_an_enumeration_holds_nothing_out():
    explanation = lime(game_of(xor_and, 5))
    assert np.isnan(explanation.diagnostics["score_cv"]).all()
    assert explanation.diagnostics["scores"].shape == (32, 1)


def test_response_coverage_is_the_range_of_the_draws(explained, rows):
    y = scores_of(rows)
    spread = np.quantile(y, 0.99, axis=0) - np.quantile(y, 0.01, axis=0)
    full, base = explained.full_value, explained.base_value
    np.testing.assert_allclose(explained.diagnostics["response_coverage"], spread / full)
    np.testing.assert_allclose(explained.diagnostics["response_coverage_range"], spread / np.abs(full - base))


def test_the_coefficient_of_variation_is_the_published_one(explained):
    d = explained.diagnostics
    np.testing.assert_allclose(d["cv"], np.std(explained.values, 0) / np.mean(explained.values, 0))
    absolute = np.abs(explained.values)
    np.testing.assert_allclose(d["cv_abs"], np.std(absolute, 0) / np.mean(absolute, 0))
    np.testing.assert_array_equal(d["confused"], (d["cv"] >= 0) & (d["cv"] <= 1))


@pytest.mark.parametrize(
    ("weights", "cv", "confused"),
    [([1, 1, 1, 1], 0, True), ([1, -1, 1, -1], np.nan, False), ([-1, -3, 0, 0], -1.2247, False)],
)
def test_equal_players_are_confused_and_opposite_ones_have_no_cv(weights, cv, confused):
    d = lime(game_of(additive(np.array(weights, float)), 4), weighting="none", surrogate=Linear()).diagnostics
    assert d["cv"][0] == pytest.approx(cv, abs=1e-4, nan_ok=True)
    assert d["confused"][0] == confused


def test_shrinkage_is_the_ridges_share(rows):
    w = Cosine()(rows)
    p = np.average(rows, axis=0, weights=w)
    expected = np.median(1 / (1 + w.sum() * p * (1 - p)))
    assert lime(game_of(bent(N), N), Bernoulli(), budget=BUDGET, rng=3).diagnostics["shrinkage"] == pytest.approx(
        expected, rel=0.02  # the two anchors
    )  # fmt: skip
    few = lime(game_of(additive(np.ones(50)), 50), budget=25, rng=0)
    assert few.diagnostics["shrinkage"] == pytest.approx(0.24, abs=0.02)
    assert lime(game_of(bent(N), N), surrogate=Linear(), budget=100).diagnostics["shrinkage"] == 0
    assert np.isnan(lime(game_of(bent(N), N), surrogate=Select(2), budget=100).diagnostics["shrinkage"])


def test_it_says_how_it_was_made():
    d = lime(game_of(bent(N), N), Bernoulli(), budget=100, rng=0).diagnostics
    assert (d["law"], d["weighting"], d["estimand"]) == ("Bernoulli(p=0.5)", "kernel", "LIME")
    assert (d["complete"], d["enumerated"], d["stopped_by"], d["n_drawn"]) == (False, False, "budget", 98)


class TestOutputs:
    def test_three_classes_share_one_set_of_forwards_and_each_is_what_it_is_alone(self):
        rows = []

        def spy(z):
            rows.append(len(z))
            return three(z)

        together = lime(game_of(spy, N, batch_size=64), budget=BUDGET, outputs=Top(3), rng=5)
        assert sum(rows) == together.n_evals <= BUDGET
        order = np.argsort(-three(torch.ones(1, N, dtype=torch.float64)).numpy()[0])
        np.testing.assert_array_equal(together.diagnostics["outputs"], order)
        for column, output in enumerate(order):
            alone = lime(game_of(three, N), budget=BUDGET, outputs=int(output), rng=5)
            assert alone.values.shape == (N,)
            np.testing.assert_array_equal(together.values[:, column], alone.values)

    @pytest.mark.parametrize("outputs", [[2, 0], np.array([2, 0])], ids=["list", "array"])
    def test_a_sequence_names_outputs_in_its_order(self, outputs):
        chosen, all_ = (lime(game_of(three, N), budget=100, outputs=o, rng=5) for o in (outputs, None))
        np.testing.assert_array_equal(chosen.values, all_.values[:, [2, 0]])
        np.testing.assert_array_equal(chosen.full_value, all_.full_value[[2, 0]])
        assert chosen.diagnostics["scores"].shape[1] == 2

    def test_ties_go_to_the_smaller_index(self):
        game = game_of(lambda z: torch.stack([z[:, 0], z.sum(1), z.sum(1), 0 * z[:, 0]], 1), 5)
        np.testing.assert_array_equal(lime(game, outputs=Top(2)).diagnostics["outputs"], [1, 2])

    @pytest.mark.parametrize("outputs", [3, -1, [0, 3], [0.5], [], [[0]]])
    def test_outputs_that_do_not_exist(self, outputs):
        with pytest.raises(ValueError, match="integers from 0 to 2"):
            lime(game_of(three, N), outputs=outputs)

    def test_too_many_top_outputs(self):
        with pytest.raises(ValueError, match="top 4 of 3 outputs"):
            lime(game_of(three, N), outputs=Top(4))
        with pytest.raises(ValueError, match="k must be at least 1"):
            Top(0)


def test_a_ridge_on_a_constant_score_says_nothing():
    d = lime(game_of(lambda z: torch.ones(len(z)), N), budget=50, rng=0).diagnostics
    for key in ("score", "score_cv", "cv", "response_coverage_range"):
        assert np.isnan(d[key]).all()


def test_a_late_entry_is_computed_once_and_nothing_can_be_set():
    calls = []
    report = Report({"known": 1}, late=lambda: calls.append(1) or 2)
    assert list(report) == ["known", "late"]
    assert len(report) == 2
    assert not calls
    assert dict(report) == {"known": 1, "late": 2} == {**report}
    assert len(calls) == 1
    with pytest.raises(TypeError, match="item assignment"):
        report["known"] = 3
    with pytest.raises(KeyError):
        report["other"]


def test_further_entries_leave_late_ones_late():
    calls = []
    report = extended(Report({"known": 1}, late=lambda: calls.append(1) or 2, other=lambda: 5), known=3, other=4)
    assert not calls
    assert dict(report) == {"known": 3, "late": 2, "other": 4}
    assert len(calls) == 1
    assert dict(extended({"plain": 1}, more=2)) == {"plain": 1, "more": 2}


@pytest.mark.filterwarnings("ignore:the penalty of the ridge takes 100%", "ignore:the weights leave 0 effective")
def test_draws_without_any_weight_predict_nothing():
    explanation = lime(game_of(bent(N), N), Bernoulli(), budget=50, kernel=lambda z: z.all(1) * 1.0, rng=0)
    assert np.isnan(explanation.diagnostics["score_cv"]).all()


def test_a_range_over_a_score_that_is_nearly_nothing_is_infinite():
    found = of_scores(np.array([[0.0], [1.0]]), np.array([5e-310]), np.array([0.0]))
    assert found["response_coverage"] == np.inf
