"""RISE's estimators, against dense recomputation, closed forms and long runs."""

import itertools

import numpy as np
import pytest
import torch

from tests.methods.soft_masks import correlation, disc, of_mask, soft
from xai_ext import MaskedModel
from xai_ext.methods._cells import interpolated
from xai_ext.methods._rise_masks import BLOCK
from xai_ext.methods._rise_surrogate import Regression
from xai_ext.methods.rise import GridMasks, rise

ESTIMATORS = ["surrogate", "centered", "coverage", "beta", "rise"]
INVARIANT = ["surrogate", "centered", "beta"]


def stored(seed, n, shape=(16, 16), cells=None, p=0.5):
    """The masks of a run, dense."""
    law = GridMasks(cells, p).law(of_mask(lambda m: m.sum(1), shape))
    blocks = itertools.islice(law.blocks(np.random.default_rng(seed)), -(-n // BLOCK))
    return law, torch.cat([b.keep[0] for b in blocks])[:n]


def surprise(phi, y, ridge):
    """Minus twice the log likelihood of y ~ N(0, noise (1 + phi phi' / ridge)) at its best noise, up to a constant."""
    covariance = np.eye(len(y)) + phi @ phi.T / ridge
    return len(y) * np.log(y @ np.linalg.solve(covariance, y)) + np.linalg.slogdet(covariance)[1]


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

    def test_the_ridge_is_the_likeliest(self):
        """Of normal coefficients and noise, after the mean is projected out."""
        law, m = self.dense()
        f = np.sin(m[:, 40] * 4) + 0.3 * self.table
        mu = self.run("surrogate", f).diagnostics["ridge"][0]
        phi = np.concatenate([b.features for b in itertools.islice(law.blocks(np.random.default_rng(3)), 3)])[: self.n]
        contrasts = np.linalg.svd(np.ones((1, self.n)))[2][1:]
        grid = np.minimum(self.n * 10.0 ** np.arange(-5, 3.01, 0.25), 10 * self.n * phi.var(0).sum() / self.n)
        surprises = [surprise(contrasts @ phi, contrasts @ f, ridge) for ridge in grid]
        assert grid.min() < mu < grid.max()
        assert mu == pytest.approx(grid[np.argmin(surprises)])

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


def test_masks_that_are_all_the_same_tell_nothing():
    model = MaskedModel(lambda x: x.mean((1, 2, 3)), torch.ones(1, 1, 1, 1, dtype=torch.float64), batch_size=4)
    explanation = rise(model, GridMasks(1, 1 - 1e-12), budget=20, rng=0)
    assert explanation.values.tolist() == [0.0]
    assert np.isinf(explanation.std_error).all()


class TestPairs:
    """With half of the cells kept the surrogate sees each mask and its complement."""

    n = 240

    def masks(self):
        law = GridMasks(3).law(of_mask(lambda m: m.sum(1), (16, 16)))
        return torch.cat([b.keep[0] for b in itertools.islice(law.blocks(np.random.default_rng(3), pairs=True), 4)])

    def run(self, scores):
        rows = iter(np.concatenate([[0.0, 1.0], scores]))
        model = MaskedModel(
            lambda x: torch.tensor([next(rows) for _ in x], dtype=torch.float64), torch.ones(1, 1, 16, 16), batch_size=7
        )
        return rise(model, GridMasks(3), budget=len(scores) + 2, rng=3)

    def ridge(self, phi, y):
        """Coefficients and their covariance at the likeliest ridge."""
        grid = np.minimum(len(y) * 10.0 ** np.arange(-5, 3.01, 0.25), 10 * (phi**2).sum() / len(y))
        inverse = np.linalg.inv(phi.T @ phi + min(grid, key=lambda mu: surprise(phi, y, mu)) * np.eye(phi.shape[1]))
        b = inverse @ phi.T @ y
        freedom = np.trace(inverse @ phi.T @ phi)
        return b, ((y - phi @ b) ** 2).sum() / (len(y) - freedom) * inverse

    @pytest.mark.parametrize("linear", [0, 20])
    def test_half_differences_are_regressed_as_they_are_and_compressed_and_the_maps_weighted(self, linear):
        m = self.masks()[: self.n].double().flatten(1).numpy()
        f = linear * m[:, 40] + np.exp(3 * (m[:, 200] - 0.5) + 0.3 * np.random.default_rng(4).normal(size=self.n))
        explanation = self.run(f)
        pool = np.kron(np.eye(8), np.full((1, 2), 0.5))
        pool2, cov = np.kron(pool, pool), interpolated(16, 3, 2).covariance()
        push, phi = np.kron(cov, cov) @ pool2.T, (m[::2] - 0.5) @ pool2.T
        distance = f - np.median(f)
        compressed = np.arcsinh(distance / np.median(abs(distance)))
        d, t = ((a[::2] - a[1::2]) / 2 for a in (f, compressed))
        (b_plain, c_plain), (b_robust, c_robust) = self.ridge(phi, d), self.ridge(phi, t)
        slope = (d @ phi @ b_robust) / (t @ phi @ b_robust)
        plain, robust = push @ b_plain, slope * push @ b_robust
        noise, less = (np.einsum("ij,jk,ik->i", push, c, push) for c in (c_plain, slope**2 * c_robust))
        share = np.clip((noise.sum() - less.sum()) / ((plain - robust) ** 2).sum(), 0, 1)
        assert (share == 1) == (linear == 0)
        np.testing.assert_allclose(explanation.diagnostics["compressed"], share, rtol=1e-3, atol=1e-6)
        scale = np.abs(plain).max()
        np.testing.assert_allclose(explanation.values, plain + share * (robust - plain), atol=1e-4 * scale)
        error = (1 - share) * np.sqrt(noise) + share * np.sqrt(less)
        np.testing.assert_allclose(explanation.std_error, error, rtol=1e-3)

    def test_a_factor_scales_and_a_constant_changes_nothing(self):
        f = np.exp(3 * np.random.default_rng(0).normal(size=self.n))
        plain, scaled, moved = self.run(f), self.run(-5 * f), self.run(f + 1000)
        np.testing.assert_allclose(scaled.values, -5 * plain.values, rtol=1e-9)
        np.testing.assert_allclose(scaled.std_error, 5 * plain.std_error, rtol=1e-9)
        np.testing.assert_allclose(moved.values, plain.values, rtol=1e-6)

    def test_what_a_mask_and_its_complement_have_in_common_is_no_noise(self):
        weights = torch.from_numpy(np.random.default_rng(0).normal(size=(16, 16)))
        even = of_mask(lambda m: 50 * ((m - 0.5) * weights).sum((1, 2)) ** 2, (16, 16))
        assert np.abs(rise(even, budget=200, rng=0).values).max() < 1e-4  # float32 masks
        assert np.abs(rise(even, budget=200, rng=0, estimator="centered").values).max() > 1

    def test_a_few_extreme_scores_do_not_make_the_map(self):
        def model(m):
            return torch.exp(25 * (m[:, disc(32, 10, 10, 4)].mean(1) + m[:, disc(32, 22, 20, 4)].mean(1)))

        limit = rise(of_mask(model, (32, 32)), budget=8000, rng=99, estimator="centered").values
        found = [rise(of_mask(model, (32, 32)), budget=258, rng=seed) for seed in range(5)]
        few = [rise(of_mask(model, (32, 32)), budget=258, rng=seed, estimator="centered") for seed in range(5)]
        assert np.mean([correlation(e.values, limit) for e in found]) > 0.05 + np.mean(
            [correlation(e.values, limit) for e in few]
        )

    def test_after_512_masks_memory_is_bounded_and_what_came_before_is_kept(self):
        law = GridMasks(3).law(of_mask(lambda m: m.sum(1), (16, 16)))
        regression, rng = Regression(law, pairs=True), np.random.default_rng(0)
        for block in itertools.islice(law.blocks(rng, pairs=True), 12):
            regression.add(block, block.keep[0][:, 3, 3:4].double().numpy())
        assert not regression._held
        k = interpolated(16, 3, 2).covariance()
        assert correlation(regression.estimate().values, np.outer(k[3], k[3]).ravel()) > 0.99


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
            limit = rise(model, budget=60_000, rng=1000, estimator="centered")
            for seed in range(8):
                e = rise(model, budget=n + 2, rng=seed, estimator=estimator)
                error = np.hypot(e.std_error, limit.std_error)  # the last model is even: pairs know that its map is 0
                shares.append((np.abs(e.values - limit.values) <= 1.96 * error).mean())
        assert least <= np.mean(shares) <= 0.98
