"""Best-first splitting, against a plain recursion and SHAP's partition explainer on the same tree."""

import numpy as np
import pytest
import shap
import torch

from tests.games import bent, game_of, xor_and
from tests.trees import random_tree, z_order_tree
from xai_ext import Game, MaskedModel
from xai_ext.hierarchies import Hierarchy, balanced
from xai_ext.methods.owen import BestFirst, owen


def plain_best_first(value, tree, budget, wave, priority):
    """Sets of players, a sorted list, no shared state: the recursion as the paper draws it."""
    n = tree.n_players
    players = [tree.order[a:b] for a, b in zip(tree.start, tree.stop, strict=True)]

    def at(*parts):
        z = np.zeros((1, n))
        for part in parts:
            z[0, part] = 1
        return value(torch.from_numpy(z)).numpy()[0]

    everyone = players[tree.root]
    items = [(tree.root, [], at(), at(everyone), 1.0)]
    evals = 2
    while evals + 2 <= budget:
        items.sort(key=lambda item: -priority(item[3] - item[2], item[4], tree.areas[players[item[0]]].sum()))
        taken = [item for item in items if item[0] >= n][: min(wave, (budget - evals) // 2)]
        if not taken:
            break
        items = [item for item in items if not any(item is t for t in taken)]
        for v, context, low, high, weight in taken:
            a, b = tree.children[v - n].tolist()
            one, two = at(*context, players[a]), at(*context, players[b])
            items += [
                (a, context, low, one, weight / 2), (b, context, low, two, weight / 2),
                (b, [*context, players[a]], one, high, weight / 2), (a, [*context, players[b]], two, high, weight / 2),
            ]  # fmt: skip
            evals += 2
    values = np.zeros(n)
    for v, _, low, high, weight in items:
        values[players[v]] += weight * (high - low) * tree.areas[players[v]] / tree.areas[players[v]].sum()
    return values


@pytest.mark.parametrize("budget", [2, 3, 4, 9, 60, 61, 300])
@pytest.mark.parametrize(
    ("estimator", "priority"),
    [
        (BestFirst(wave=1), lambda d, w, a: w * abs(d)),
        (BestFirst(wave=8), lambda d, w, a: w * abs(d)),
        (BestFirst(wave=8, by_area=True), lambda d, w, a: w * abs(d) * a),
        (BestFirst(wave=8, floor=0.03), lambda d, w, a: w * (abs(d) + 0.03 * bent_difference())),
    ],
    ids=["wave 1", "wave 8", "by area", "floor"],
)
def test_they_are_those_of_a_plain_recursion(estimator, priority, budget):
    tree = random_tree(30, 3, np.random.default_rng(0).integers(1, 9, 30))
    got = owen(game_of(bent(30), 30), tree, budget=budget, estimator=estimator)
    expected = plain_best_first(bent(30), tree, budget, estimator.wave, priority)
    np.testing.assert_allclose(got.values, expected, atol=1e-12)


def bent_difference():
    z = torch.ones(1, 30, dtype=torch.float64)
    return abs(float(bent(30)(z) - bent(30)(0 * z)))


class Pixels(shap.maskers.Masker):
    """A presence vector per row: SHAP's model is the game itself."""

    def __init__(self, clustering):
        self.clustering, self.shape = clustering, (1, len(clustering) + 1)

    def __call__(self, mask, x):
        return (mask[None].astype(float),)


def shap_partition(value, merges, budget, wave):
    """SHAP counts f(x) and f(baseline) in max_evals; ties are broken by NumPy's global generator."""
    np.random.seed(0)

    def model(rows):
        return value(torch.from_numpy(rows)).numpy()

    explainer = shap.explainers.PartitionExplainer(model, Pixels(merges))
    x = np.ones((1, len(merges) + 1))
    return explainer(x, max_evals=budget, batch_size=2 * wave, silent=True).values[0]


def smooth(side, seed=0):
    """A tanh plus a product of sums of pixels: no two regions tie."""
    weights = torch.from_numpy(np.random.default_rng(seed).normal(size=(3, side * side)) / side)
    return lambda z: torch.tanh(z @ weights[0]) + (z @ weights[1]) * (z @ weights[2])


@pytest.mark.slow
@pytest.mark.parametrize("budget", [52, 202, 802])
@pytest.mark.parametrize("tree", [random_tree(48 * 48, 1), balanced(48 * 48)], ids=["random", "balanced"])
def test_they_are_shaps_on_the_same_linkage_of_pixels(tree, budget):
    ours = owen(game_of(smooth(48), 48 * 48, batch_size=64), tree, budget=budget).values
    theirs = shap_partition(smooth(48), tree.merges, budget, 32)
    np.testing.assert_allclose(ours, theirs, atol=1e-12 * np.abs(theirs).max())


def test_they_are_shaps_on_atoms_that_negative_distances_protect():
    pixels = z_order_tree(16)
    region, tree = pixels.cut(regions=40)
    merges = pixels.merges.copy()
    merges[: -len(tree.merges), 2] = -1  # SHAP does not split such a node
    weights = torch.from_numpy(np.random.default_rng(2).normal(size=256))

    def value(z):
        return torch.tanh(z @ weights / 9) + (z @ weights.flip(0) / 9) ** 2

    game = Game(MaskedModel(lambda x: value(x), torch.ones(1, 256, dtype=torch.float64), batch_size=9), region)
    ours = owen(game, tree, budget=102).density_map()
    theirs = shap_partition(value, merges, 102, 32)
    np.testing.assert_allclose(ours, theirs, atol=1e-12 * np.abs(theirs).max())


class TestSteering:
    n = 24

    def outputs(self, k):
        # row by row: a matrix product rounds differently in other batches
        return lambda z: torch.cat([torch.stack([bent(self.n, c)(r) for c in range(k)], 1) for r in z.split(1)])

    def values(self, k, budget, steer):
        game = game_of(self.outputs(k), self.n, batch_size=16)
        return owen(game, random_tree(self.n, 1), budget=budget, estimator=BestFirst(steer=steer, wave=4))

    @pytest.mark.parametrize("k", [1, 3, 10])
    def test_each_output_gets_the_same_bits_whatever_the_others_are(self, k):
        alone = [self.values(10, 62, c).values[:, c] for c in range(k)]
        together = self.values(k, 2 + 60 * k, "each")
        for c in range(k):
            np.testing.assert_array_equal(together.values[:, c], alone[c])

    def test_evaluations_that_outputs_share_are_made_once(self):
        def twice(z):
            return torch.stack([xor_and(z), 3 * xor_and(z)], 1)

        explanation = owen(game_of(twice, 16), balanced(16), budget=82, estimator=BestFirst(steer="each"))
        assert explanation.n_evals == 42
        np.testing.assert_allclose(explanation.values[:, 1], 3 * explanation.values[:, 0], atol=1e-12)

    def test_one_output_is_the_same_walk_by_any_name(self):
        one = [self.values(1, 80, steer).values for steer in ("joint", 0, "each")]
        np.testing.assert_array_equal(one[1], one[0])
        np.testing.assert_array_equal(one[2], one[0])

    def test_a_number_steers_all_outputs_by_one(self):
        by_first, by_second = (self.values(2, 40, c).values for c in (0, 1))
        assert (by_first != by_second).any()
        np.testing.assert_array_equal(by_first[:, 0], self.values(1, 40, "joint").values[:, 0])

    def test_joint_follows_the_largest_difference_of_any(self):
        def value(z):
            return torch.stack([z[:, 0], 100 * z[:, 15] * z[:, 14]], 1)

        explanation = owen(game_of(value, 16), balanced(16), budget=34, estimator=BestFirst(wave=1))
        reached = set(explanation.diagnostics["nodes"][0].tolist())
        assert {14, 15} & reached
        assert not {0, 1} & reached


class TestTerminals:
    def test_small_regions_are_left_whole(self):
        areas = np.array([5.0, 1, 1, 1])
        tree = Hierarchy.from_merges(balanced(4).merges, areas)
        explanation = owen(game_of(bent(4), 4), tree, estimator=BestFirst(min_area=2))
        assert explanation.n_evals == 8  # the root, and the players 0 and 1 in two contexts
        assert explanation.values[2] == pytest.approx(explanation.values[3])
        assert not explanation.diagnostics["converged"]
        assert explanation.diagnostics["leftover"] == 0

    def test_so_are_contexts_of_little_weight(self):
        explanation = owen(game_of(bent(8), 8), balanced(8), estimator=BestFirst(min_weight=0.25))
        assert explanation.diagnostics["evals_by_depth"].tolist() == [2, 8]


def test_the_wave_is_part_of_the_algorithm_and_the_batch_is_not():
    runs = [
        owen(game_of(bent(40), 40, batch_size=b), balanced(40), budget=80, estimator=BestFirst(wave=w)).values
        for w, b in [(1, 1), (32, 1), (32, 9)]
    ]
    assert np.abs(runs[0] - runs[1]).max() > 1e-3
    np.testing.assert_allclose(runs[2], runs[1], rtol=1e-12)


class TestErrors:
    @pytest.mark.parametrize(
        ("kwargs", "error", "message"),
        [
            ({"wave": 0}, ValueError, "wave must be at least 1"),
            ({"wave": 1.5}, TypeError, "wave must be an int"),
            ({"floor": -0.1}, ValueError, "floor must be a finite number >= 0"),
            ({"min_weight": float("nan")}, ValueError, "min_weight must be a finite number >= 0"),
            ({"steer": "jont"}, ValueError, "did you mean 'joint'"),
            ({"steer": True}, TypeError, "steer must be 'joint', 'each' or the number of an output"),
        ],
    )
    def test_impossible_settings(self, kwargs, error, message):
        with pytest.raises(error, match=message):
            BestFirst(**kwargs)

    @pytest.mark.parametrize("steer", [1, -1])
    def test_an_output_that_the_model_does_not_have(self, steer):
        with pytest.raises(ValueError, match=r"steer must be one of the outputs 0\.\.0"):
            owen(game_of(xor_and, 5), balanced(5), estimator=BestFirst(steer=steer))
