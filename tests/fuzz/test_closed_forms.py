"""LIME, RISE, IASSA and Owen on random games beside their closed forms."""

import numpy as np
import pytest
import torch
from captum.attr import Occlusion
from hypothesis import given
from hypothesis import strategies as st

from tests.strategies import BUDGETS, SEEDS, merges, tables
from xai_ext import Game, MaskedModel
from xai_ext._checks import InputError
from xai_ext.hierarchies import Hierarchy
from xai_ext.methods.iassa import Level, Schedule, iassa
from xai_ext.methods.lime import Linear, lime
from xai_ext.methods.owen import owen
from xai_ext.methods.rise import RegionMasks, rise
from xai_ext.samplers import Bernoulli
from xai_ext.testing import oracles
from xai_ext.testing._fixtures import GameModel, game_input

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # of budgets that say little, as they should
BATCHES = st.sampled_from([1, 3, 7, 50])
RTOL = 1e-8  # of the largest score: least squares over 64 coalitions keeps half of the digits


def game_of(table, batch=50):
    n = len(table).bit_length() - 1
    x, labels = game_input(n)
    return Game(MaskedModel(GameModel(table), x, batch_size=batch), labels)


def shapley(table, budget=1000, batch=50, rng=0):
    return lime(game_of(table, batch), budget=budget, weighting="kernelshap", rng=rng)


def least_squares(table, budget=1000, batch=50, rng=0, weighting="kernel"):
    return lime(game_of(table, batch), Bernoulli(), budget=budget, surrogate=Linear(), weighting=weighting, rng=rng)


def banzhaf(table, budget=1000, batch=50, rng=0):
    game = game_of(table, batch)
    return rise(game.masked_model, RegionMasks(game.labels[0]), budget=budget, estimator="centered", rng=rng)


def ablation(table, budget=1000, batch=50, rng=0):
    game = game_of(table, batch)
    return iassa(game.masked_model, labels=game.labels[0], budget=budget, rng=rng)


METHODS = {"shapley": shapley, "least squares": least_squares, "banzhaf": banzhaf, "ablation": ablation}


def without(table, player):
    """The same game with a player that says nothing."""
    numbers = np.arange(len(table))
    return table[numbers & ~(1 << player)]


def relabelled(table, order):
    """The game in which player ``order[i]`` plays what player i played."""
    numbers = np.arange(len(table))
    moved = sum((numbers >> order[i] & 1) << i for i in range(len(order)))
    return table[moved]


def oracle(name, table):
    n = len(table).bit_length() - 1
    value = oracles.value_of(table)
    return {
        "shapley": lambda: oracles.shapley_by_subsets(value, n),
        "least squares": lambda: oracles.cosine_surrogate(table, n),
        "banzhaf": lambda: oracles.banzhaf(value, n),
        "ablation": lambda: np.array([table[-1] - table[-1 - (1 << i)] for i in range(n)]),
    }[name]()


def close(found, expected, table):
    np.testing.assert_allclose(found, expected, rtol=0, atol=RTOL * (np.abs(table).max() + 1e-300))


GAMES = st.integers(2, 6).flatmap(tables)


@given(GAMES, st.sampled_from(list(METHODS)), BATCHES)
def test_a_budget_for_all_coalitions_gives_the_closed_form(table, name, batch):
    found = METHODS[name](table, batch=batch)
    close(found.values, oracle(name, table), table)
    assert found.n_evals <= len(table)
    assert not found.std_error.any()
    assert (found.base_value, found.full_value) == (table[0], table[-1])


@given(GAMES, st.sampled_from(list(METHODS)), st.data())
def test_players_that_change_their_names_keep_their_values(table, name, data):
    n = len(table).bit_length() - 1
    order = data.draw(st.permutations(range(n)))
    close(METHODS[name](relabelled(table, order)).values[list(order)], METHODS[name](table).values, table)


@given(GAMES, st.sampled_from(["shapley", "banzhaf", "ablation"]), st.data())
def test_a_player_that_says_nothing_gets_nothing(table, name, data):
    player = data.draw(st.integers(0, len(table).bit_length() - 2))
    close(METHODS[name](without(table, player)).values[player], 0, table)


@given(
    st.integers(2, 6).flatmap(lambda n: st.tuples(tables(n), tables(n))),
    st.sampled_from(list(METHODS)),
    st.floats(-3, 3),
)
def test_values_are_linear_in_the_game(games, name, factor):
    one, other = games
    both = one + factor * other
    apart = METHODS[name](one).values + factor * METHODS[name](other).values
    close(METHODS[name](both).values, apart, np.abs(one) + 3 * np.abs(other))


@given(st.integers(2, 8).flatmap(tables), st.sampled_from(list(METHODS)), BUDGETS, SEEDS, st.data())
def test_any_budget_is_kept_and_the_batch_size_changes_no_bit(table, name, budget, seed, data):
    batches = data.draw(BATCHES), data.draw(BATCHES)
    try:
        found, again = (METHODS[name](table, budget, batch, seed) for batch in batches)
    except InputError as error:
        assert "budget" in str(error)
        assert budget < max(4, len(table).bit_length() + 1)
        return
    assert found.n_evals <= budget
    assert np.isfinite(found.values).all()
    assert (found.std_error >= 0).all()
    np.testing.assert_array_equal(found.values, again.values)
    np.testing.assert_array_equal(found.std_error, again.std_error)
    if name == "shapley":
        close(found.values.sum(), table[-1] - table[0], table)


@given(st.data())
def test_owen_values_move_with_the_names_and_dummies_get_nothing(data):
    n = data.draw(st.integers(2, 6))
    table, linkage = data.draw(tables(n)), data.draw(merges(n))
    order, dummy = np.array(data.draw(st.permutations(range(n)))), data.draw(st.integers(0, n - 1))
    moved = linkage.copy()
    moved[:, :2] = np.concatenate([order, np.arange(n, 2 * n)])[linkage[:, :2].astype(int)]
    estimator = data.draw(st.sampled_from(["best_first", "designed", "exact"]))
    trees = Hierarchy.from_merges(linkage), Hierarchy.from_merges(moved)
    game = without(table, dummy)
    budget = max(tree.exact_cost for tree in trees)
    one, other = (
        owen(game_of(t), tree, budget=budget, estimator=estimator).values
        for t, tree in ((game, trees[0]), (relabelled(game, order), trees[1]))
    )
    close(one, oracles.owen(oracles.value_of(game), linkage), table)
    close(other[order], one, table)
    close(one[dummy], 0, table)


@given(st.data())
def test_one_level_of_iassa_is_occlusion(data):
    sides = data.draw(st.tuples(st.integers(1, 9), st.integers(1, 9)))
    channels = data.draw(st.integers(1, 3))
    window = tuple(data.draw(st.integers(1, side)) for side in sides)
    stride = tuple(data.draw(st.integers(1, w)) for w in window)
    rng = np.random.default_rng(data.draw(SEEDS))
    x, weight = (torch.from_numpy(rng.normal(size=(1, channels, *sides))) for _ in range(2))
    baseline = float(rng.normal())

    def score(images):
        return torch.tanh((images * weight).flatten(1).sum(1)) + (images * weight).flatten(1).amax(1)

    found = iassa(MaskedModel(score, x, baseline, batch_size=50), Schedule((Level(window, stride),)), budget=1000)
    expected = Occlusion(score).attribute(
        x, sliding_window_shapes=(channels, *window), strides=(channels, *stride), baselines=baseline
    )
    np.testing.assert_allclose(found.region_map(), expected[0, 0], rtol=1e-5, atol=1e-5)  # Captum answers in float32
