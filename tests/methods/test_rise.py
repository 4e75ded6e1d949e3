"""RISE, against enumeration, closed forms and dense recomputation."""

import itertools

import numpy as np
import pytest
import torch

from tests.games import all_coalitions, bent, game_of, xor_and
from tests.laws import BudgetLaws, MethodLaws
from tests.memory import needs_gauge, peak_growth
from xai_ext import MaskedModel
from xai_ext.methods._cells import interpolated
from xai_ext.methods._rise_masks import BLOCK
from xai_ext.methods.rise import GridMasks, RegionMasks, rise

ESTIMATORS = ["surrogate", "centered", "coverage", "beta", "rise"]
INVARIANT = ["surrogate", "centered", "beta"]


def disc(side, row, column, radius):
    y, x = np.mgrid[:side, :side]
    return torch.from_numpy((y - row) ** 2 + (x - column) ** 2 <= radius**2)


def of_mask(function, shape=(64, 64), batch_size=64):
    """A model whose image is its mask: ones over a baseline of zeros."""
    return MaskedModel(lambda x: function(x[:, 0]), torch.ones(1, 1, *shape), batch_size=batch_size)


def soft(mask, where):
    return torch.sigmoid(12 * (mask[:, where].mean(1) - 0.5))


def stored(seed, n, shape=(16, 16), cells=None, p=0.5):
    """The masks of a run, dense."""
    law = GridMasks(cells, p).law(of_mask(lambda m: m.sum(1), shape))
    blocks = itertools.islice(law.blocks(np.random.default_rng(seed)), -(-n // BLOCK))
    return law, torch.cat([b.keep[0] for b in blocks])[:n]


def correlation(a, b):
    return np.corrcoef(a.ravel(), b.ravel())[0, 1]


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


class TestFormulas:
    n, p = 150, 0.4
    table = np.random.default_rng(0).normal(size=n)

    def run(self, estimator, scores):
        """The masks of seed 3 with given scores, at 16 x 16."""
        rows = iter(np.concatenate([[0.0, 1.0], scores]))  # f(baseline) and f(x) come first
        model = MaskedModel(
            lambda x: torch.tensor([next(rows) for _ in x], dtype=torch.float64), torch.ones(1, 1, 16, 16), batch_size=7
        )
        return rise(model, GridMasks(3, self.p), budget=self.n + 2, rng=3, estimator=estimator)

    def dense(self):
        law, masks = stored(3, self.n, cells=3, p=self.p)
        return law, masks.double().flatten(1).numpy()

    def test_plain_estimators_are_their_formulas(self):
        _, m = self.dense()
        f, n, p = self.table[:, None] + 3, self.n, self.p
        v = p * (1 - p)
        k = interpolated(16, 3, 2).covariance().diagonal()
        centered = ((f - f.mean()) * (m - p)).sum(0) / ((n - 1) * v)
        ratio = (f * m).sum(0) / m.sum(0)
        expected = {
            "rise": ((f * m).sum(0) / (n * p), (f * m).std(0, ddof=1) / (p * np.sqrt(n))),
            "coverage": (ratio, ((f - ratio) * m).std(0, ddof=1) / (m.mean(0) * np.sqrt(n))),
            "centered": (centered, ((f - f.mean()) * (m - p)).std(0, ddof=1) / (v * np.sqrt(n))),
        }
        expected["beta"] = tuple(e / np.outer(k, k).ravel() for e in expected["centered"])
        for name, (values, std_error) in expected.items():
            explanation = self.run(name, f.ravel())
            np.testing.assert_allclose(explanation.values, values, atol=1e-10)
            np.testing.assert_allclose(explanation.std_error, std_error, atol=1e-10)

    def test_the_surrogate_is_a_ridge_regression_pushed_through_the_covariance(self):
        _, m = self.dense()
        f = self.table + 3
        explanation = self.run("surrogate", f)
        pool = np.kron(np.eye(8), np.full((1, 2), 0.5))  # 16 positions to 2 (3 + 1) = 8 features: exact halves
        pool2, cov = np.kron(pool, pool), interpolated(16, 3, 2).covariance()
        phi = m @ pool2.T - self.p
        phi -= phi.mean(0)
        mu = explanation.diagnostics["ridge"][0]
        gram = phi.T @ phi + mu * np.eye(64)
        b = np.linalg.solve(gram, phi.T @ (f - f.mean()))
        push = np.kron(cov, cov) @ pool2.T
        np.testing.assert_allclose(explanation.values, push @ b, atol=1e-6)  # m is float32, phi is not
        residual = ((f - f.mean() - phi @ b) ** 2).sum()
        hat = np.trace(np.linalg.solve(gram, phi.T @ phi))
        variance = residual / (self.n - hat - 1) * np.einsum("ij,ij->i", push, np.linalg.solve(gram, push.T).T)
        np.testing.assert_allclose(explanation.std_error, np.sqrt(variance), rtol=1e-5)
        r2 = 1 - residual / self.n / (1 - (hat + 1) / self.n) ** 2 / f.var(ddof=1)
        np.testing.assert_allclose(explanation.diagnostics["surrogate_r2"], r2, atol=1e-6)

    def test_the_ridge_minimises_inflated_cross_validation(self):
        law, m = self.dense()
        f = np.sin(m[:, 40] * 4) + 0.3 * self.table
        mu = self.run("surrogate", f).diagnostics["ridge"][0]
        phi = np.concatenate([b.features for b in itertools.islice(law.blocks(np.random.default_rng(3)), 3)])[: self.n]
        phi = phi - phi.mean(0)
        grid = np.minimum(self.n * 10.0 ** np.arange(-5, 3.01, 0.25), 10 * (phi**2).sum() / self.n)

        def score(ridge):
            hat = phi @ np.linalg.solve(phi.T @ phi + ridge * np.eye(64), phi.T)
            left = 1 - 1.4 * (np.trace(hat) + 1) / self.n
            return np.inf if left <= 0 else ((f - f.mean() - hat @ (f - f.mean())) ** 2).mean() / left**2

        assert mu == pytest.approx(grid[np.argmin([score(r) for r in grid])])

    @pytest.mark.parametrize("estimator", ESTIMATORS)
    def test_a_factor_scales_and_a_constant_moves_only_what_it_should(self, estimator):
        plain = self.run(estimator, self.table)
        scaled, moved = self.run(estimator, -5 * self.table), self.run(estimator, self.table + 1000)
        np.testing.assert_allclose(scaled.values, -5 * plain.values, atol=1e-9)
        np.testing.assert_allclose(scaled.std_error, 5 * plain.std_error, atol=1e-9)
        if estimator in INVARIANT:
            np.testing.assert_allclose(moved.values, plain.values, atol=1e-9)
            np.testing.assert_allclose(moved.std_error, plain.std_error, atol=1e-9)
        else:
            assert (moved.values > 500).all()


class TestAccuracy:
    def test_a_linear_model_is_recovered_from_256_masks(self):
        rng = np.random.default_rng(0)
        weights = np.zeros((64, 64))
        weights.ravel()[rng.choice(64 * 64, 25, replace=False)] = rng.choice([-1.0, 1.0], 25)
        k = interpolated(64, 7, 2).covariance()
        model = of_mask(lambda m: m.flatten(1).double() @ torch.from_numpy(weights.ravel()))
        maps = {e: rise(model, budget=258, rng=0, estimator=e).region_map() for e in ("surrogate", "centered")}
        assert correlation(maps["surrogate"], k @ weights @ k) >= 0.99
        assert correlation(maps["centered"], k @ weights @ k) < 0.97

    def test_a_constant_in_the_score_is_noise_for_the_published_estimator_only(self):
        model = of_mask(lambda m: 0.6 + 0.3 * soft(m, disc(64, 22, 40, 9)))
        limit = rise(model, budget=6000, rng=99).region_map()
        mean = {
            e: np.mean([correlation(rise(model, budget=n + 2, rng=s, estimator=e).region_map(), limit)
                        for s in range(10)])
            for e, n in (("centered", 128), ("rise", 4096))
        }  # fmt: skip
        assert mean["centered"] >= mean["rise"]
        assert mean["rise"] > 0.8

    @pytest.mark.slow
    @pytest.mark.parametrize("n", [256, 512])
    @pytest.mark.parametrize(("estimator", "least"), [("centered", 0.90), ("surrogate", 0.85)])
    def test_standard_errors_cover_the_limit(self, n, estimator, least):
        a, b = disc(32, 10, 10, 5), disc(32, 20, 22, 5)
        shares = []
        for f in (
            lambda m: soft(m, a),
            lambda m: soft(m, a) * soft(m, b),
            lambda m: 1 - (1 - soft(m, a)) * (1 - soft(m, b)),
            lambda m: soft(m, a) + soft(m, b) - 2 * soft(m, a) * soft(m, b),
        ):
            model = of_mask(f, (32, 32))
            limit = rise(model, budget=60_000, rng=1000, estimator="centered").values
            for seed in range(8):
                e = rise(model, budget=n + 2, rng=seed, estimator=estimator)
                shares.append((np.abs(e.values - limit) <= 1.96 * e.std_error).mean())
        assert least <= np.mean(shares) <= 0.98


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

    @pytest.mark.parametrize("budget", range(4, 300, 37))
    def test_the_budget_of_a_grid_is_never_exceeded(self, budget):
        seen = []
        e = rise(of_mask(lambda m: (seen.append(len(m)), m.mean((1, 2)))[1], (16, 16), batch_size=16), budget=budget)
        assert sum(seen) == e.n_evals == budget
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
