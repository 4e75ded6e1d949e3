"""RISE: laws, enumeration of regions, tolerance, draws, diagnostics and errors."""

import numpy as np
import pytest
import torch

from tests.games import all_coalitions, bent, game_of, xor_and
from tests.laws import BudgetLaws, MethodLaws
from tests.memory import needs_gauge, peak_growth
from tests.methods.soft_masks import disc, of_mask, soft
from xai_ext import MaskedModel
from xai_ext.methods.rise import GridMasks, RegionMasks, rise

ESTIMATORS = ["surrogate", "centered", "coverage", "beta", "rise"]
INVARIANT = ["surrogate", "centered", "beta"]


class TestLaws(MethodLaws, BudgetLaws):
    """Five regions fit into the budget, so that the laws hold exactly."""

    def explain(self, game, rng=0):
        return rise(game.masked_model, RegionMasks(game.labels), budget=64, rng=rng)

    def spend(self, game, budget):
        return rise(game.masked_model, RegionMasks(game.labels), budget=budget, rng=0)

    def test_a_constant_game_gives_zeros(self):
        game = game_of(lambda z: torch.full((len(z),), 0.1), 9)
        for estimator in INVARIANT:
            explanation = rise(game.masked_model, RegionMasks(game.labels), budget=100, rng=0, estimator=estimator)
            assert not explanation.values.any()
            assert not explanation.std_error.any()
        assert np.isnan(rise(game.masked_model, budget=100, rng=0).diagnostics["surrogate_r2"])


class TestRegions:
    @pytest.mark.parametrize("n", range(1, 9))
    @pytest.mark.parametrize("estimator", INVARIANT)
    def test_enumeration_gives_the_banzhaf_value(self, n, estimator):
        value = bent(n, seed=n)
        coalitions = all_coalitions(n)
        v = value(torch.from_numpy(coalitions.astype(float))).numpy()
        banzhaf = [v[coalitions[:, i]].mean() - v[~coalitions[:, i]].mean() for i in range(n)]
        explanation = rise(game_of(value, n).masked_model, budget=300, estimator=estimator)
        np.testing.assert_allclose(explanation.values, banzhaf, atol=1e-10)
        assert not explanation.std_error.any()
        assert explanation.n_evals == 2**n
        assert explanation.diagnostics["stop"] == "exact"

    @pytest.mark.parametrize("estimator", ESTIMATORS)
    @pytest.mark.parametrize("p", [0.5, 0.2])
    def test_sampling_converges_to_enumeration(self, estimator, p):
        model, masks = game_of(bent(6), 6, batch_size=4096).masked_model, RegionMasks(np.arange(6), p)
        exact = rise(model, masks, budget=64, estimator=estimator)
        spread = rise(model, masks, budget=63, rng=0, estimator=estimator)
        assert exact.diagnostics["stop"] == "exact"
        assert spread.diagnostics["stop"] == "budget"
        errors = []
        for seed in range(40):
            few = rise(model, masks, budget=60, rng=seed, estimator=estimator)
            errors.append((few.values - exact.values) / few.std_error)
        # 40 runs of 6 players: the root mean square of honest errors is 1, the band's shrinkage leaves it below 1.7
        assert 0.6 < np.sqrt(np.mean(np.square(errors))) < 1.7

    def test_regions_of_two_inputs_are_one(self):
        x = (torch.ones(1, 1, 2, 2), torch.ones(1, 3))
        model = MaskedModel(lambda a, b: 2 * a.sum((1, 2, 3)) + b.sum(1), x)
        labels = (np.array([[0, 0], [1, 1]]), np.array([0, 2, 2]))
        np.testing.assert_allclose(rise(model, RegionMasks(labels), budget=8).values, [5.0, 4.0, 2.0], atol=1e-6)

    def test_more_regions_than_coefficients_need_another_estimator(self):
        model = MaskedModel(lambda x: x.sum(1), torch.ones(1, 5000))
        with pytest.raises(ValueError, match="estimator='centered'"):
            rise(model, budget=10)
        assert rise(model, budget=10, rng=0, estimator="centered").values.shape == (5000,)


class TestTolerance:
    model = staticmethod(lambda: of_mask(lambda m: soft(m, disc(16, 5, 9, 4)), (16, 16)))

    @pytest.mark.parametrize("estimator", ["surrogate", "centered"])
    def test_it_stops_at_listed_numbers_with_the_result_of_that_budget(self, estimator):
        stops, before = [128, 192, 256, 384, 512, 768, 1024, 1536, 2048, 3000], 0
        for tol in (0.5, 0.15, 0.1, 0.07, 0.05, 0.02, 0.01, 0.005):
            early = rise(self.model(), budget=3002, rng=0, estimator=estimator, tol=tol)
            n = early.diagnostics["n_masks"]
            assert n in stops
            assert before <= n
            assert [c[0] for c in early.diagnostics["checkpoints"]] == stops[: stops.index(n) + 1]
            if early.diagnostics["stop"] == "tol":
                assert early.std_error.max() <= tol * abs(early.full_value - early.base_value)
            same = rise(self.model(), budget=n + 2, rng=0, estimator=estimator)
            np.testing.assert_array_equal(early.values, same.values)
            before = n
        assert before > 128

    def test_without_a_difference_to_relate_it_to_it_is_ignored(self):
        model = of_mask(lambda m: (m.mean((1, 2)) - 0.5) ** 2, (16, 16))
        with pytest.warns(UserWarning, match="tol has no scale"):
            assert rise(model, budget=200, rng=0, tol=10.0).n_evals == 200

    @pytest.mark.parametrize("estimator", ["surrogate", "rise"])
    def test_the_budget_of_a_grid_is_never_exceeded(self, estimator):
        for budget in range(4, 301, 37 if estimator == "surrogate" else 1):
            seen = []

            def forward(m, seen=seen):
                seen.append(len(m))
                return m.mean((1, 2))

            e = rise(of_mask(forward, (8, 8), batch_size=16), budget=budget, estimator=estimator)
            assert sum(seen) == e.n_evals
            assert e.n_evals == (budget - budget % 2 if estimator == "surrogate" else budget)  # it takes pairs
            assert np.isfinite(e.values).all()


class TestDraws:
    @pytest.mark.parametrize("estimator", ["surrogate", "coverage"])
    def test_the_same_seed_gives_the_same_bits_at_any_batch_size(self, estimator):
        def run(batch_size):
            model = of_mask(lambda m: m[:, 3:7, 2:6].flatten(1).prod(1), (20, 17), batch_size=batch_size)
            return rise(model, budget=200, rng=5, estimator=estimator)

        first, *others = (run(b) for b in (1, 7, 64, 300, None))
        for other in others:
            np.testing.assert_array_equal(other.values, first.values)
            np.testing.assert_array_equal(other.std_error, first.std_error)

    def test_inputs_of_a_tuple_are_masked_independently(self):
        x = (torch.ones(1, 2, 12, 12), torch.ones(1, 1, 30), torch.ones(1, 4))
        model = MaskedModel(lambda a, b, c: a[:, 0, 3, 3] + b[:, 0, 20] + c[:, 2], x)
        explanation = rise(model, GridMasks(), budget=800, rng=0)
        assert [a.shape for a in explanation.labels] == [(12, 12), (30,), (4,)]
        image, signal, scalars = (explanation.region_map(i) for i in range(3))
        assert np.unravel_index(image.argmax(), image.shape) == (3, 3)
        assert abs(signal.argmax() - 20) <= 1
        np.testing.assert_allclose(scalars, [0, 0, 1, 0], atol=0.02)

    def test_spatial_dims_makes_the_rest_channels(self):
        model = MaskedModel(lambda x: x[:, 4, 5], torch.ones(1, 9, 11))
        assert rise(model, budget=50, rng=0).labels[0].shape == (11,)
        assert rise(model, GridMasks(spatial_dims=2), budget=50, rng=0).labels[0].shape == (9, 11)


class TestDiagnostics:
    def test_they_describe_the_run(self):
        e = rise(of_mask(lambda m: 2 + soft(m, disc(16, 5, 9, 4)), (16, 16)), budget=300, rng=0)
        assert e.diagnostics["cells"] == (7, 7)
        assert e.diagnostics["n_masks"] == 298
        assert 2 < e.diagnostics["mean"][0] < 3
        assert 0 < e.diagnostics["sd"][0] < 1
        assert e.diagnostics["surrogate_r2"][0] > 0.5
        assert "not Shapley values" in e.diagnostics["note"]
        assert "not Shapley values" in e.estimand
        assert "noise" not in e.diagnostics["note"]

    def test_a_map_of_noise_says_so(self):
        rng = np.random.default_rng(0)
        e = rise(of_mask(lambda m: torch.from_numpy(rng.normal(size=len(m))), (16, 16)), budget=200, rng=0)
        assert "little more than noise" in e.diagnostics["note"]

    def test_several_outputs_give_what_each_gives_alone(self):
        one, two = (lambda m: soft(m, disc(16, 5, 9, 4))), (lambda m: m[:, 3, 3])
        both = rise(of_mask(lambda m: torch.stack([one(m), two(m)], 1), (16, 16)), budget=200, rng=0)
        for j, f in enumerate((one, two)):
            alone = rise(of_mask(f, (16, 16)), budget=200, rng=0)
            np.testing.assert_allclose(both.values[:, j], alone.values, atol=1e-9)
            np.testing.assert_allclose(both.std_error[:, j], alone.std_error, atol=1e-9)


@pytest.mark.slow
@needs_gauge
@pytest.mark.parametrize("estimator", ["surrogate", "centered"])
def test_memory_does_not_grow_with_the_budget(estimator):
    setup = (
        "from xai_ext import MaskedModel\n"
        "from xai_ext.methods.rise import rise\n"
        "def run(b): rise(MaskedModel(lambda t: t.mean((1, 2, 3)), torch.ones(1, 3, 224, 224), batch_size=8),\n"
        f"                 budget=b, rng=0, estimator={estimator!r})"
    )
    assert peak_growth(setup, "run(500)", "run(4000)") < 10


class TestErrors:
    @pytest.mark.parametrize("p", [0.0, 1.0, -0.5])
    def test_a_probability_that_is_certain(self, p):
        with pytest.raises(ValueError, match="keep_probability must lie strictly between 0 and 1"):
            GridMasks(keep_probability=p)

    @pytest.mark.parametrize(
        ("cells", "match"), [(0, "at least 1"), (17, "at most the 16 positions"), ((2, 2, 2), "one number for each")]
    )
    def test_impossible_cells(self, cells, match):
        with pytest.raises(ValueError, match=match):
            rise(of_mask(lambda m: m.sum((1, 2)), (16, 16)), GridMasks(cells))

    @pytest.mark.parametrize("dims", [0, 4])
    def test_impossible_spatial_dims(self, dims):
        with pytest.raises(ValueError, match="spatial_dims must lie between 1 and 3"):
            rise(of_mask(lambda m: m.sum((1, 2)), (16, 16)), GridMasks(spatial_dims=dims))

    def test_an_input_without_positions(self):
        with pytest.raises(ValueError, match=r"fix: x\[:, None\]"):
            rise(MaskedModel(lambda x: x, torch.ones(1)))

    def test_an_unknown_estimator(self):
        with pytest.raises(ValueError, match="did you mean 'centered'"):
            rise(of_mask(lambda m: m.sum((1, 2)), (16, 16)), estimator="centred")

    def test_a_tolerance_of_zero(self):
        with pytest.raises(ValueError, match="tol must be a positive"):
            rise(game_of(xor_and, 5).masked_model, tol=0.0)
