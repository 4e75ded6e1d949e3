"""Designed contexts: their order, their variances, and honest standard errors."""

import itertools

import numpy as np
import pytest
import torch

from tests.games import bent, game_of
from tests.trees import random_tree
from xai_ext.hierarchies import Hierarchy, balanced
from xai_ext.methods._designs import design, energy_by_order
from xai_ext.methods.owen import Designed, Exact, owen

SHARES = Designed().shares


def walsh_covariance(depth, shares):
    """Of a function whose Walsh coefficients are independent: each order's variance split over its subsets."""
    patterns = np.array(list(itertools.product([0, 1], repeat=depth)))[:, ::-1]  # bit j of the index is column j
    covariance = np.zeros((2**depth, 2**depth))
    for subset in itertools.product([0, 1], repeat=depth):
        character = (-1.0) ** (patterns @ np.array(subset, int))
        order = sum(subset)
        count = sum(sum(s) == order for s in itertools.product([0, 1], repeat=depth))
        covariance += shares[order] / count * np.outer(character, character)
    return covariance


class TestContexts:
    @pytest.mark.parametrize(
        ("depth", "first"),
        [(3, [0, 7, 1, 6, 2, 5, 3, 4]), (4, [0, 7, 9, 14, 2, 5, 11, 12]), (5, [0, 31, 3, 28, 5, 26, 6, 25])],
    )
    def test_the_order_is_the_published_one(self, depth, first):
        assert design(depth, SHARES).contexts[: len(first)].tolist() == first

    def test_variances_are_the_published_ones(self):
        left = design(5, SHARES).variances / design(5, SHARES).variances[0]
        np.testing.assert_allclose(
            left[[1, 2, 3, 4, 5, 6, 7, 8, 16]],
            [0.8, 0.6154, 0.5157, 0.4152, 0.3555, 0.2925, 0.2527, 0.2095, 0.0676],
            atol=5e-5,
        )

    @pytest.mark.parametrize("depth", range(6))
    def test_covariance_and_variances_are_those_of_random_walsh_functions(self, depth):
        plan, shares = design(depth, SHARES), energy_by_order(depth, SHARES)
        full = walsh_covariance(depth, shares)
        np.testing.assert_allclose(plan.covariance, full[np.ix_(plan.contexts, plan.contexts)], atol=1e-12)
        with_mean = full.mean(0)
        for m in range(2**depth + 1):
            seen = plan.contexts[:m]
            told = with_mean[seen] @ np.linalg.pinv(full[np.ix_(seen, seen)]) @ with_mean[seen]
            assert plan.variances[m] == pytest.approx(full.mean() - told, abs=1e-8)

    def test_every_context_comes_once(self):
        for depth in range(7):
            assert sorted(design(depth, SHARES).contexts) == list(range(2**depth))

    def test_orders_beyond_the_shares_get_half_of_the_one_before(self):
        np.testing.assert_allclose(energy_by_order(4, (0.4, 0.2)), np.array([4, 2, 1, 0.5, 0.25]) / 7.75)
        np.testing.assert_allclose(energy_by_order(1, SHARES), [0.4, 0.6])


@pytest.mark.parametrize("n", [2, 5, 9, 16])
def test_all_contexts_give_the_exact_values_and_no_error(n):
    tree = random_tree(n, n)
    got = owen(game_of(bent(n), n), tree, budget=10**6, estimator=Designed(max_depth=10))
    exact = owen(game_of(bent(n), n), tree, budget=10**6, estimator=Exact())
    assert tree.depths.max() <= 10
    np.testing.assert_allclose(got.values, exact.values, atol=1e-9)
    assert not got.std_error.any()
    assert got.n_evals == exact.n_evals


def test_the_cut_is_as_deep_as_max_depth():
    tree = balanced(64)
    got = owen(game_of(bent(64), 64), tree, budget=10**6, estimator=Designed(max_depth=3))
    region, top = tree.cut(depth=3)
    regions = game_of(lambda z: bent(64)(z[:, region]), 8)
    np.testing.assert_allclose(got.values, owen(regions, top, estimator="exact").values[region] / 8, atol=1e-9)
    assert got.n_evals == top.exact_cost
    assert got.diagnostics["leftover"] > 0.5


class PlainDesigned:
    """The method formula by formula: sets of players, one node at a time, nothing remembered but evaluations."""

    def __init__(self, value, tree, max_depth):
        self.value, self.tree, self.settings = value, tree, Designed(max_depth=max_depth)
        self.players = [tree.order[a:b] for a, b in zip(tree.start, tree.stop, strict=True)]
        self.paths, self.parents, self.seen, self.estimates = {tree.root: []}, {}, {}, {}
        self.difference = self.at(range(tree.n_players)) - self.at()

    def at(self, *parts):
        z = np.zeros((1, self.tree.n_players))
        z[0, [i for part in parts for i in part]] = 1
        return self.value(torch.from_numpy(z)).numpy()[0]

    def visit(self, v, phi, se2, prior):
        """Values and scales of v and of all below; paths are the siblings from the top."""
        d, y = len(self.paths[v]), np.array(self.seen.get(v, [])).reshape(-1, len(phi))
        self.estimates[v] = {"phi": phi, "se2": se2}
        if v < self.tree.n_players or d == self.settings.max_depth:
            return
        first = design(d, SHARES).contexts[: len(y)]
        energies = energy_by_order(d, SHARES)
        inverse = np.linalg.inv(walsh_covariance(d, energies)[np.ix_(first, first)] + 1e-9 * np.eye(len(y)))
        strength, areas = self.settings.strength, self.tree.node_areas
        scale = ((y * (inverse @ y)).sum(0) + strength * prior) / (len(y) + strength)
        a, b = self.tree.children[v - self.tree.n_players].tolist()
        guess = phi * (areas[a] - areas[b]) / areas[v]
        mean = y.mean(0) if len(y) == 2**d else guess + energies[0] * (inverse @ (y - guess)).sum(0)
        unknown = 0.0 if len(y) == 2**d else energies[0] - energies[0] ** 2 * inverse.sum()
        self.estimates[v]["scale"] = scale
        for child, sibling, sign in ((a, b, 1), (b, a, -1)):
            self.paths[child], self.parents[child] = [*self.paths[v], sibling], v
            self.visit(child, (phi + sign * mean) / 2, (se2 + scale * unknown) / 4, self.settings.decay * scale)

    def gain(self, v, m):
        variances = design(len(self.paths[v]), SHARES).variances
        ahead = [(variances[m] - variances[m + t]) / t for t in (1, 2, 4, 8) if m + t < len(variances)]
        return (self.estimates[v]["scale"] / self.difference**2).max() * max(ahead)

    def wave(self, most):
        counts = {v: len(self.seen.get(v, [])) for v, e in self.estimates.items() if "scale" in e}
        eligible = [v for v in counts if v == self.tree.root or counts[self.parents[v]]]
        steps = []
        for _ in range(most):
            candidates = [v for v in eligible if counts[v] < 2 ** len(self.paths[v])]
            if candidates:
                v = min(candidates, key=lambda v: (-self.gain(v, counts[v]), len(self.paths[v]), v))
                steps.append((v, int(design(len(self.paths[v]), SHARES).contexts[counts[v]])))
                counts[v] += 1
        return steps

    def run(self, budget):
        """(values, standard errors)."""
        left = (budget - 2) // 2
        while True:
            self.visit(self.tree.root, self.difference, 0 * self.difference, self.difference**2)
            steps = self.wave(min(16, left))
            for v, q in steps:
                context = [self.players[sibling] for j, sibling in enumerate(self.paths[v]) if q & 2**j]
                one, two = (self.at(*context, self.players[c]) for c in self.tree.children[v - self.tree.n_players])
                self.seen.setdefault(v, []).append(one - two)
            left -= len(steps)
            if not steps:
                return self.shared("phi"), self.shared("se2")

    def shared(self, name):
        out = np.zeros((self.tree.n_players, len(self.difference)))
        for v in (v for v, e in self.estimates.items() if "scale" not in e):
            whole = self.estimates[v][name] if name == "phi" else np.sqrt(self.estimates[v][name])
            areas = self.tree.areas[self.players[v]]
            out[self.players[v]] = whole * (areas / areas.sum())[:, None]
        return out


@pytest.mark.parametrize("budget", [2, 3, 4, 8, 40, 101, 300])
@pytest.mark.parametrize("max_depth", [3, 6])
def test_values_and_errors_are_those_of_the_formulas(budget, max_depth):
    def value(z):
        return torch.stack([bent(40)(z), 30 * bent(40, seed=2)(z) - 5], 1)

    tree = random_tree(40, 6, np.random.default_rng(1).integers(1, 9, 40))
    got = owen(game_of(value, 40), tree, budget=budget, estimator=Designed(max_depth=max_depth))
    values, errors = PlainDesigned(value, tree, max_depth).run(budget)
    np.testing.assert_allclose(got.values, values, atol=1e-9)
    # two variances of which one is subtracted from the other lose half of the digits
    np.testing.assert_allclose(got.std_error, errors, rtol=1e-6, atol=1e-7)


class PriorGame:
    """A game on the 64 players of a full tree whose differences D are drawn from the prior of `Designed`.

    A coalition that a step asks for holds whole siblings along a path, and one of the two children at its end;
    it is worth half of D for the first child, minus half for the second.
    """

    def __init__(self, tree, seed, depth=6):
        rng = np.random.default_rng(seed)
        self.tree, self.differences = tree, {}
        level = [tree.root]
        for d in range(depth):
            scale = Designed().decay ** (d / 2)
            root = np.linalg.cholesky(walsh_covariance(d, energy_by_order(d, SHARES)) + 1e-12 * np.eye(2**d))
            for v in level:
                self.differences[v] = scale * root @ rng.normal(size=2**d)
            level = [c for v in level for c in tree.children[v - tree.n_players].tolist()]

    def __call__(self, z):
        return torch.tensor([self.value(row) for row in z.numpy().astype(bool)], dtype=torch.float64)

    def value(self, row):
        tree, v, pattern, depth = self.tree, self.tree.root, 0, 0
        if row.all() or not row.any():
            return float(row.all())
        while True:
            first, second = tree.children[v - tree.n_players].tolist()
            kept = [row[tree.order[tree.start[c] : tree.stop[c]]] for c in (first, second)]
            if kept[0].all() and not kept[1].any():
                return self.differences[v][pattern] / 2
            if kept[1].all() and not kept[0].any():
                return -self.differences[v][pattern] / 2
            inner = 0 if 0 < kept[0].sum() < len(kept[0]) else 1
            pattern |= int(kept[1 - inner].all()) << depth
            v, depth = (first, second)[inner], depth + 1


@pytest.mark.slow
def test_95_percent_intervals_cover_90_to_97_percent_of_regions_of_games_from_the_prior():
    tree = balanced(64)
    truth = [owen(game_of(PriorGame(tree, s), 64, batch_size=64), tree, budget=2732, estimator="exact").values
             for s in range(60)]  # fmt: skip
    for budget in (502, 1002, 1502):
        runs = [owen(game_of(PriorGame(tree, s), 64, batch_size=64), tree, budget=budget, estimator="designed")
                for s in range(60)]  # fmt: skip
        covered = [np.abs(r.values - t) <= 1.96 * r.std_error for r, t in zip(runs, truth, strict=True)]
        assert 0.90 <= np.mean(covered) <= 0.97


def test_evaluations_go_where_something_happens():
    inside = [0, 0]

    def value(z):
        for half, part in enumerate((z[:, :32], z[:, 32:])):
            inside[half] += int(((part.sum(1) > 0) & (part.sum(1) < 32)).sum())
        return bent(32)(z[:, :32])

    owen(game_of(value, 64, batch_size=16), balanced(64), budget=302, estimator="designed")
    assert inside[0] > 1.5 * inside[1] > 0


def test_several_outputs_share_contexts_and_keep_their_own_errors():
    def value(z):
        return torch.stack([bent(20)(z), 1000 * bent(20)(z)], 1)

    both = owen(game_of(value, 20), balanced(20), budget=80, estimator="designed")
    one = owen(game_of(bent(20), 20), balanced(20), budget=80, estimator="designed")
    for c, scale in enumerate((1, 1000)):
        np.testing.assert_allclose(both.values[:, c], scale * one.values, rtol=1e-9)
        np.testing.assert_allclose(both.std_error[:, c], scale * one.std_error, rtol=1e-9)


def test_unequal_halves_divide_by_area_before_a_context_is_seen():
    tree = Hierarchy.from_merges(balanced(4).merges, [1.0, 2, 3, 4])
    explanation = owen(game_of(lambda z: z.sum(1), 4), tree, budget=4, estimator="designed")
    np.testing.assert_allclose(explanation.values, [2 / 3, 4 / 3, 6 / 7, 8 / 7])


class TestErrors:
    @pytest.mark.parametrize(
        ("kwargs", "message"),
        [
            ({"max_depth": 0}, "max_depth must be at least 1"),
            ({"max_depth": 11}, "max_depth must be at most 10, got 11; fix: BestFirst"),
            ({"shares": ()}, "shares must be finite numbers >= 0, the first above 0"),
            ({"shares": (0.0, 1.0)}, "the first above 0"),
            ({"shares": (1.0, -1.0)}, "shares must be finite numbers >= 0"),
            ({"decay": 0.0}, "decay must be a positive finite number"),
            ({"strength": float("inf")}, "strength must be a positive finite number"),
        ],
    )
    def test_impossible_settings(self, kwargs, message):
        with pytest.raises(ValueError, match=message):
            Designed(**kwargs)
