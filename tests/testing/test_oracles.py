"""The oracles agree with each other and with published closed forms."""

import ast
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from xai_ext.testing import oracles

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("n", [1, 2, 3, 5])
def test_two_formulas_of_the_shapley_value_agree(n):
    value = oracles.value_of(RNG.normal(size=2**n))
    a, b = oracles.shapley_by_permutations(value, n), oracles.shapley_by_subsets(value, n)
    np.testing.assert_allclose(a, b, atol=1e-12)


def test_the_glove_game_of_two_lefts_and_one_right():
    value = oracles.value_of(np.minimum(oracles.all_coalitions(3)[:, :2].sum(1), oracles.all_coalitions(3)[:, 2]))
    np.testing.assert_allclose(oracles.shapley_by_subsets(value, 3), [1 / 6, 1 / 6, 4 / 6], atol=1e-12)


def test_majority_shares_equally():
    value = oracles.value_of((oracles.all_coalitions(5).sum(1) > 2).astype(float))
    np.testing.assert_allclose(oracles.shapley_by_subsets(value, 5), [0.2] * 5, atol=1e-12)


def test_the_airport_game_shares_each_piece_of_the_runway_among_its_users():
    costs = np.array([1.0, 2.0, 4.0, 7.0])
    value = oracles.value_of(np.array([(costs * z).max() for z in oracles.all_coalitions(4)]))
    pieces = np.diff([0, *costs]) / np.arange(4, 0, -1)
    np.testing.assert_allclose(oracles.shapley_by_subsets(value, 4), np.cumsum(pieces), atol=1e-12)


def test_unanimity_games_share_among_their_members():
    for size in (1, 2, 4):
        for members in combinations(range(4), size):
            value = oracles.value_of(oracles.all_coalitions(4)[:, list(members)].all(1).astype(float))
            expected = np.zeros(4)
            expected[list(members)] = 1 / size
            np.testing.assert_allclose(oracles.shapley_by_subsets(value, 4), expected, atol=1e-12)


def test_owen_values_of_a_tree_over_two_players_are_shapley_values():
    value = oracles.value_of(RNG.normal(size=4))
    merges = np.array([[0, 1, 0, 2]])
    np.testing.assert_allclose(oracles.owen(value, merges), oracles.shapley_by_subsets(value, 2), atol=1e-12)


def test_owen_values_of_unanimity_by_hand():
    merges = np.array([[0, 1, 0, 2], [3, 2, 1, 3]])  # ((0, 1), 2)
    value = oracles.value_of(oracles.all_coalitions(3).all(1).astype(float))
    np.testing.assert_allclose(oracles.owen(value, merges), [0.25, 0.25, 0.5], atol=1e-12)


def test_banzhaf_values_of_majority_by_hand():
    value = oracles.value_of((oracles.all_coalitions(3).sum(1) > 1).astype(float))
    np.testing.assert_allclose(oracles.banzhaf(value, 3), [0.5] * 3, atol=1e-12)


def test_an_additive_game_is_its_own_surrogate():
    weights = np.array([1.0, -2.0, 3.0])
    np.testing.assert_allclose(oracles.cosine_surrogate(oracles.all_coalitions(3) @ weights, 3), weights, atol=1e-12)


def imports_of(source):
    tree = ast.walk(ast.parse(source))
    return {n.module for n in tree if isinstance(n, ast.ImportFrom)} | {"" for _ in ()}


def test_oracles_share_no_code_with_the_methods():
    allowed = {"collections.abc", "itertools", "math", "xai_ext._types"}
    assert imports_of(Path(oracles.__file__).read_text()) <= allowed
    assert not imports_of("from xai_ext.methods.owen import owen") <= allowed
