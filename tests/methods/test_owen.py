"""Owen values, against the mean over all orders of the tree and the laws of cooperative games."""

import numpy as np
import pytest
import torch

from tests.games import additive, bent, game_of, shapley, xor_and
from tests.laws import BudgetLaws, MethodLaws
from tests.trees import owen_by_flipping, random_tree
from xai_ext import Game, MaskedModel
from xai_ext.hierarchies import Hierarchy, balanced
from xai_ext.methods.owen import BestFirst, Designed, Exact, named_estimator, owen

ENOUGH = 10_000
EXACT = [
    Exact(), BestFirst(), BestFirst(wave=1), BestFirst(wave=1000, floor=0.1, by_area=True), BestFirst(steer="each"),
    Designed(max_depth=8),
]  # fmt: skip
PARTIAL = [
    BestFirst(), BestFirst(wave=1), BestFirst(steer="each"), BestFirst(steer=0), Designed(), Designed(max_depth=2),
]  # fmt: skip
by_name = {"ids": str}


class OwenLaws(MethodLaws):
    """Set `estimator`: with budget enough, all of them are exact."""

    estimator = None

    def explain(self, game, rng=0):
        return owen(game, balanced(game.n_players), budget=ENOUGH, estimator=self.estimator, rng=rng)

    def test_a_budget_too_small_is_an_error_that_says_why(self):
        with pytest.raises(ValueError, match=r"budget must be at least 2 \(f\(x\) and f\(baseline\)\)"):
            owen(game_of(xor_and, 5), balanced(5), budget=1, estimator=self.estimator)


class AnytimeLaws(OwenLaws, BudgetLaws):
    def spend(self, game, budget):
        return owen(game, balanced(game.n_players), budget=budget, estimator=self.estimator)


class TestBestFirst(AnytimeLaws):
    estimator = BestFirst()


class TestEachOutputAlone(AnytimeLaws):
    estimator = BestFirst(steer="each", wave=3)


class TestDesigned(AnytimeLaws):
    estimator = Designed()


class TestExact(OwenLaws):
    estimator = "exact"


@pytest.mark.parametrize("estimator", EXACT, **by_name)
@pytest.mark.parametrize("n", range(1, 8))
def test_they_are_the_mean_over_all_orders_of_the_tree(n, estimator):
    for seed in range(4):
        value, tree = bent(n, seed), random_tree(n, seed)
        explanation = owen(game_of(value, n), tree, budget=ENOUGH, estimator=estimator)
        np.testing.assert_allclose(explanation.values, owen_by_flipping(value, tree), atol=1e-12)
        assert explanation.n_evals == tree.exact_cost
        assert explanation.diagnostics["converged"]
        assert not explanation.std_error.any()


@pytest.mark.parametrize("estimator", PARTIAL, **by_name)
def test_they_are_complete_at_every_budget_which_is_never_exceeded(estimator):
    rows = []

    def value(z):
        rows.append(len(z))
        return torch.stack([bent(37)(z), 50 * bent(37, seed=1)(z) - 7], 1)

    areas = np.random.default_rng(0).integers(1, 9, 37)
    for budget in range(2, 201):
        rows.clear()
        game = game_of(value, 37, batch_size=16)
        explanation = owen(game, random_tree(37, 5, areas), budget=budget, estimator=estimator)
        assert sum(rows) == explanation.n_evals <= budget
        gap = explanation.values.sum(0) - (explanation.full_value - explanation.base_value)
        np.testing.assert_array_less(np.abs(gap), 1e-12 * 50)


@pytest.mark.parametrize("estimator", EXACT, **by_name)
class TestLawsUnderAnyTree:
    def test_two_players_get_shapley_values(self, estimator):
        values = owen(game_of(bent(2), 2), balanced(2), estimator=estimator).values
        np.testing.assert_allclose(values, shapley(bent(2), 2), atol=1e-12)

    def test_an_isolated_dummy_gets_exactly_zero(self, estimator):
        values = owen(game_of(lambda z: xor_and(z) * 0.1, 7), random_tree(7, 3), estimator=estimator).values
        assert values[4:].tolist() == [0, 0, 0]

    def test_mirror_players_get_the_same(self, estimator):
        def value(z):
            return torch.tanh(z[:, 0] + z[:, 1]) * (1 + z[:, 2]) + z[:, 3] * z[:, 0] + z[:, 3] * z[:, 1]

        values = owen(game_of(value, 4), balanced(4), estimator=estimator).values
        assert values[0] == pytest.approx(values[1], abs=1e-12)

    def test_renaming_players_and_tree_renames_the_values(self, estimator):
        n, names = 6, np.array([3, 0, 5, 1, 4, 2])  # the new name of each player
        tree = random_tree(n, 2)
        merges = tree.merges.copy()
        leaf = merges[:, :2] < n
        merges[:, :2][leaf] = names[merges[:, :2][leaf].astype(int)]
        old = owen(game_of(bent(n), n), tree, estimator=estimator).values
        new = owen(
            game_of(lambda z: bent(n)(z[:, names]), n), Hierarchy.from_merges(merges), estimator=estimator
        ).values
        np.testing.assert_allclose(new[names], old, atol=1e-12)


def test_a_region_left_whole_shares_its_value_by_area():
    areas = np.array([1.0, 3, 2, 2])
    tree = Hierarchy.from_merges(balanced(4).merges, areas)
    explanation = owen(game_of(additive([8.0, 0, 0, 8]), 4), tree, budget=3)
    np.testing.assert_allclose(explanation.values, [2, 6, 4, 4])
    assert explanation.n_evals == 2
    assert explanation.diagnostics["leftover"] == 1


@pytest.mark.parametrize("estimator", [*PARTIAL, BestFirst(wave=5)], **by_name)
def test_the_batch_size_and_a_second_run_change_no_bit(estimator):
    def value(z):  # row by row: a matrix product rounds differently in other batches
        return torch.cat([torch.stack([bent(40)(row), bent(40, seed=1)(row)], 1) for row in z.split(1)])

    runs = [owen(game_of(value, 40, batch_size=b), random_tree(40, 1), budget=151, estimator=estimator)
            for b in (1, 7, 64, 64)]  # fmt: skip
    for run in runs[1:]:
        np.testing.assert_array_equal(run.values, runs[0].values)
        np.testing.assert_array_equal(run.std_error, runs[0].std_error)


def test_players_may_be_regions_of_an_image_or_of_several_inputs():
    rng = np.random.default_rng(0)
    image, table = torch.from_numpy(rng.normal(size=(1, 3, 4, 5))), torch.from_numpy(rng.normal(size=(1, 6)))
    labels = (rng.integers(0, 4, (4, 5)), np.array([0, 4, 4, 5, 6, 1]))

    def model(i, t):
        return torch.tanh(i.flatten(1).sum(1)) * t.sum(1) + (i.flatten(1) ** 2).sum(1)

    game = Game(MaskedModel(model, (image, table), batch_size=3), labels)

    def value(z):
        return torch.from_numpy(game(z.numpy().astype(bool))[:, 0])

    tree = random_tree(7, 4)
    got = owen(Game(MaskedModel(model, (image, table), batch_size=3), labels), tree, estimator="exact")
    np.testing.assert_allclose(got.values, owen_by_flipping(value, tree), atol=1e-11)


def test_a_chain_of_50000_players_is_explained():
    from tests.trees import chain

    tree = Hierarchy.from_merges(chain(50_000))
    for estimator in (BestFirst(), Designed()):
        explanation = owen(game_of(lambda z: z.mean(1), 50_000, batch_size=16), tree, budget=40, estimator=estimator)
        np.testing.assert_allclose(explanation.values, np.full(50_000, 1 / 50_000), rtol=1e-9)


@pytest.mark.parametrize("shape", [(), (2,), (2, 3)])
def test_values_have_the_shape_of_the_models_output(shape):
    explanation = owen(game_of(lambda z: z.sum(1).reshape(-1, *(1,) * len(shape)).expand(-1, *shape), 5), balanced(5))
    assert explanation.values.shape == explanation.std_error.shape == (5, *shape)
    assert np.shape(explanation.full_value) == shape


class TestDiagnostics:
    def run(self, estimator="best_first", budget=40, n=24):
        return owen(game_of(bent(n), n), random_tree(n, 7), budget=budget, estimator=estimator)

    @pytest.mark.parametrize("estimator", ["best_first", "designed"])
    def test_nodes_hold_the_sums_of_their_players(self, estimator):
        explanation, tree = self.run(estimator), random_tree(24, 7)
        for v, value in zip(*explanation.diagnostics["nodes"], strict=True):
            players = tree.order[tree.start[v] : tree.stop[v]]
            np.testing.assert_allclose(value, [explanation.values[players].sum()], atol=1e-12)

    @pytest.mark.parametrize("estimator", ["best_first", "designed"])
    def test_leftover_is_the_sum_of_its_map(self, estimator):
        explanation = self.run(estimator)
        gap = abs(explanation.full_value - explanation.base_value)
        leftover, where = (explanation.diagnostics[k] for k in ("leftover", "leftover_map"))
        np.testing.assert_allclose(leftover, where.sum(0) / gap, rtol=1e-9)
        assert not explanation.diagnostics["converged"]

    @pytest.mark.parametrize("estimator", ["best_first", "designed"])
    def test_evaluations_by_depth_sum_to_those_spent(self, estimator):
        explanation = self.run(estimator)
        by_depth = explanation.diagnostics["evals_by_depth"]
        assert by_depth.sum() + 2 == explanation.n_evals == 40
        assert len(by_depth) == explanation.diagnostics["max_depth"]
        assert by_depth[0] == 2

    def test_leftover_of_one_split_by_hand(self):
        # v = AND of {0,1} with {2,3}: after the root's split each half has 0 alone and 1 beside the other
        explanation = owen(game_of(lambda z: z.prod(1), 4), balanced(4), budget=4)
        assert explanation.values.tolist() == [0.25] * 4
        assert explanation.diagnostics["leftover"].tolist() == [1]
        assert explanation.diagnostics["n_regions"] == 2

    def test_cancelling_halves_leave_nothing_over_and_yet_are_not_exact(self):
        def value(z):
            return z[:, 0] - z[:, 1] + z[:, 2]

        explanation = owen(game_of(value, 3), Hierarchy.from_merges([[0, 1, 1, 2], [2, 3, 2, 3]]), budget=4)
        assert explanation.diagnostics["leftover"].tolist() == [0]
        assert not explanation.diagnostics["converged"]

    def test_they_name_the_tree_and_the_price_of_exactness_and_cannot_be_changed(self):
        diagnostics = self.run().diagnostics
        assert diagnostics["structure"] == "linkage"
        assert diagnostics["exact_cost"] == random_tree(24, 7).exact_cost
        with pytest.raises(TypeError):
            diagnostics["structure"] = "mine"


class TestEqualScores:
    @pytest.mark.parametrize("estimator", ["best_first", "designed"])
    def test_ratios_stay_finite_and_values_sum_to_zero(self, estimator):
        explanation = owen(game_of(lambda z: (z[:, 0] - z[:, 1]) * 3, 6), balanced(6), budget=30, estimator=estimator)
        assert abs(explanation.values.sum()) < 1e-12
        assert np.isfinite(explanation.diagnostics["leftover"]).all()


class TestTolerance:
    @pytest.mark.parametrize("estimator", ["best_first", "designed"])
    def test_it_stops_early(self, estimator):
        loose = owen(game_of(bent(30), 30), balanced(30), budget=ENOUGH, estimator=estimator, tol=1.5)
        never = owen(game_of(bent(30), 30), balanced(30), budget=ENOUGH, estimator=estimator, tol=1e-300)
        plain = owen(game_of(bent(30), 30), balanced(30), budget=ENOUGH, estimator=estimator)
        assert loose.n_evals < never.n_evals == plain.n_evals
        np.testing.assert_array_equal(never.values, plain.values)

    def test_best_first_stops_at_its_leftover_and_designed_at_its_standard_error(self):
        best_first = owen(game_of(bent(30), 30), balanced(30), budget=ENOUGH, tol=1.5)
        assert best_first.diagnostics["leftover"] <= 1.5
        tree = balanced(64)  # its regions at depth 6 are players
        designed = owen(game_of(bent(64), 64), tree, budget=ENOUGH, estimator="designed", tol=0.05)
        assert designed.std_error.max() <= 0.05 * abs(designed.full_value - designed.base_value)
        assert designed.n_evals < tree.exact_cost


class TestErrors:
    def test_a_tree_over_other_players(self):
        with pytest.raises(ValueError, match="hierarchy must be over the game's 5 players, got a tree of 6"):
            owen(game_of(xor_and, 5), balanced(6))

    def test_a_table_instead_of_a_tree(self):
        with pytest.raises(TypeError, match=r"fix: Hierarchy\.from_merges"):
            owen(game_of(xor_and, 5), balanced(5).merges)

    @pytest.mark.parametrize(
        ("estimator", "error", "message"),
        [
            ("best-first", ValueError, "did you mean 'best_first'"),
            (BestFirst, TypeError, "got the class BestFirst"),
            (3, TypeError, "estimator must be one of 'best_first', 'designed', 'exact' or an instance"),
        ],
    )
    def test_an_unknown_estimator(self, estimator, error, message):
        with pytest.raises(error, match=message):
            named_estimator(estimator)

    @pytest.mark.parametrize("tol", [0.0, -1.0, float("nan")])
    def test_a_tolerance_that_is_not_positive(self, tol):
        with pytest.raises(ValueError, match="tol must be a positive finite number"):
            owen(game_of(xor_and, 5), balanced(5), tol=tol)

    def test_exactness_beyond_the_limit_or_the_budget(self):
        for kwargs in ({"budget": 171}, {"estimator": Exact(limit=171)}):
            with pytest.raises(ValueError, match=r"cost 172 evaluations, more than the 171 .* fix: hierarchy.cut"):
                owen(game_of(bent(16), 16), balanced(16), **{"budget": 999, "estimator": "exact"} | kwargs)

    def test_exactness_of_a_tree_whose_cost_has_too_many_digits_to_print(self):
        from tests.trees import chain

        tree = Hierarchy.from_merges(chain(20_000))
        with pytest.raises(ValueError, match=r"cost at least 2\^20000 evaluations"):
            owen(game_of(lambda z: z.sum(1), 20_000, batch_size=1), tree, estimator="exact")


def test_the_budget_is_also_the_estimators():
    explanation = owen(game_of(bent(16), 16), balanced(16), budget=172, estimator="exact")
    assert explanation.n_evals == 172


def test_progress_is_shown_for_slow_models(capsys, monkeypatch):
    monkeypatch.setattr("xai_ext._progress._DELAY", 0.0)
    owen(game_of(xor_and, 12), balanced(12), budget=50, show_progress=True)
    assert "Owen: 100%" in capsys.readouterr().err
