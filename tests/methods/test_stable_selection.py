"""A selection that says which of its steps the draws decide, and draws more where they do not."""

import numpy as np
import pytest
import torch
from scipy.stats import norm

from tests.games import additive, all_coalitions, bent, game_of
from xai_ext.methods._rows import Rows
from xai_ext.methods._select import open_steps
from xai_ext.methods.lime import Select, lime
from xai_ext.samplers import Antithetic, Bernoulli

N = 20


def noisy(weights, noise):
    """An additive game and a hash of the coalition that looks like noise."""
    total, hidden = additive(weights), torch.from_numpy(np.random.default_rng(5).normal(size=N))
    return lambda z: total(z) + noise * torch.sin(1000 * (z @ hidden))


def stable(k=3, level=0.05):
    return Select(k, "lasso_path", stable=level)


def explained(weights, budget, noise=0.3, **settings):
    game = game_of(noisy(np.pad(weights, (0, N - len(weights))), noise), N)
    return lime(game, **{"surrogate": stable(len(weights)), "rng": 0, "budget": budget} | settings)


def test_clear_players_are_chosen_after_few_draws():
    explanation = explained([8.0, 4.0], 3000)
    d = explanation.diagnostics
    assert d["stopped_by"] == "stable"
    assert d["unresolved"] == ((),)
    assert explanation.n_evals == 2 + 80  # 4 n draws, the first look
    np.testing.assert_array_equal(np.flatnonzero(explanation.values), [0, 1])


def test_the_closer_two_players_are_the_more_draws_it_takes():
    far, close = (
        np.mean([explained([2.0, second], 4000, noise=1.0, rng=seed).n_evals for seed in range(5)])
        for second in (1.4, 1.8)
    )
    assert 82 <= far < 0.5 * close


def test_equal_players_use_the_budget_and_the_step_is_reported():
    explanation = explained([2.0, 2.0], 500, noise=1.0)
    assert explanation.diagnostics["stopped_by"] == "budget"
    assert explanation.diagnostics["unresolved"] == ((0,),)
    assert explanation.n_evals <= 500


def test_each_output_is_tested():
    def value(z):
        return torch.stack([noisy([8.0, 4.0] + [0.0] * 18, 0.3)(z), noisy([2.0, 2.0] + [0.0] * 18, 1.0)(z)], 1)

    explanation = lime(game_of(value, N), surrogate=stable(1), budget=500, rng=0)
    assert explanation.diagnostics["unresolved"] == ((), (0,))


def rows_of(together):
    rng = np.random.default_rng(3)
    drawn = (Antithetic() if together == 2 else Bernoulli()).ask(6, 61, rng)
    coalitions = np.concatenate([np.ones((1, 6), bool), np.zeros((1, 6), bool), drawn])
    scores = coalitions @ [1.0, 0.8, 0.5, 0, 0, 0] + rng.normal(size=63)
    return Rows(coalitions, scores[:, None], rng.random(63), 2, together)


@pytest.mark.parametrize("together", [1, 2])
def test_the_first_step_is_a_test_of_the_two_largest_covariances(together):
    rows = rows_of(together)
    w = rows.weights / rows.weights.sum()
    x, y = rows.coalitions - w @ rows.coalitions, rows.scores[:, 0] - w @ rows.scores[:, 0]
    products = (rows.weights * y)[:, None] * x
    products *= np.sign(products.sum(0))
    first, second = np.argsort(-products.sum(0))[:2]
    lead = products[:, first] - products[:, second]
    clusters = [lead[2 + i : 2 + i + together].sum() for i in range(0, 61, together)]
    t = lead.sum() / (np.std(clusters, ddof=1) * np.sqrt(len(clusters)))
    for level, is_open in ((norm.sf(t) * 1.001, False), (norm.sf(t) * 0.999, True)):
        unresolved, wanted = open_steps(rows, 1, level)
        assert unresolved == ((0,) if is_open else ())
        assert wanted == (int(61 * (norm.isf(level) / t) ** 2) if is_open else 0)


def test_later_steps_look_at_what_is_left_of_the_score():
    rows = rows_of(1)
    strong = Rows(rows.coalitions, 100 * rows.coalitions[:, [0]] + rows.scores, rows.weights, 2)
    assert open_steps(strong, 2, 0.05)[0] == (1,)
    assert open_steps(strong, 2, 0.4999)[0] == ()


def test_an_enumeration_leaves_nothing_open():
    coalitions = all_coalitions(6)
    rows = Rows(coalitions, coalitions @ np.array([[1.0], [1], [1], [0], [0], [0]]), np.ones(64), 64)
    assert open_steps(rows, 3, 0.05) == ((), 0)
    assert lime(game_of(bent(6), 6), surrogate=stable(2)).diagnostics["unresolved"] == ((),)


def test_the_wrong_player_is_chosen_less_often():
    game = noisy(np.pad([1.0, 0.8], (0, N - 2)), 1.0)

    def wrong(surrogate, budget):
        runs = (lime(game_of(game, N), Bernoulli(), budget=budget, surrogate=surrogate, rng=i) for i in range(12))
        return sum(not run.values[0] for run in runs)

    assert wrong(Select(1, "lasso_path"), 82) >= 3
    assert wrong(stable(1, 0.02), 2000) == 0


def test_a_tolerance_waits_for_the_selection():
    loose = explained([2.0, 1.9], 4000, noise=1.0, tol=10.0)
    assert loose.diagnostics["stopped_by"] == "tol"
    assert loose.diagnostics["unresolved"] == ((),)
    assert loose.n_evals > 82


@pytest.mark.parametrize("arguments", [{"how": "forward", "stable": 0.05}, {"how": "lasso_path", "stable": 0.5}])
def test_impossible_settings(arguments):
    with pytest.raises(ValueError, match="stable"):
        Select(3, **arguments)
