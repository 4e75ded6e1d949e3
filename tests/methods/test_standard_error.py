"""Standard errors, against the sandwich written out densely."""

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from scipy.linalg import fractional_matrix_power

from xai_ext.methods._kernels import Cosine
from xai_ext.methods._orthogonal_error import third_order_share
from xai_ext.methods._rows import Fit, Rows
from xai_ext.methods._standard_error import standard_error
from xai_ext.methods.lime import Ridge
from xai_ext.samplers import Antithetic, Bernoulli, Foldover, Stratified

N, DRAWN = 5, 41


def rows_of(sampler):
    rng = np.random.default_rng(0)
    drawn = sampler.ask(N, DRAWN, rng)
    coalitions = np.concatenate([np.ones((1, N), bool), np.zeros((1, N), bool), drawn])
    scores = coalitions @ np.arange(N) + rng.normal(size=len(coalitions))
    scores[:2] += 10  # the anchors do not fit at all
    return Rows(coalitions, scores[:, None], Cosine()(coalitions), 2)


def groups(width, strata):
    """(rows, stratum) of each cluster."""
    for start in range(2, DRAWN + 2, width):
        rows = np.arange(start, min(start + width, DRAWN + 2))
        yield rows, strata(rows)


def dense(rows, alpha, width, strata=None):
    """sum S S', around the mean of the stratum where there are strata, between two H^-1."""
    z = np.column_stack([np.ones(len(rows.coalitions)), rows.coalitions])
    w, y = rows.weights, rows.scores[:, 0]
    inverse = np.linalg.inv(z.T @ (w[:, None] * z) + alpha * np.diag([0] + [1] * N))
    residuals = y - z @ inverse @ z.T @ (w * y)
    scores = {}
    for index, stratum in groups(width, strata or (lambda rows: 0)):
        zg, root = z[index], np.diag(np.sqrt(w[index]))
        leverage = root @ zg @ inverse @ zg.T @ root
        correction = fractional_matrix_power(np.eye(len(index)) - leverage, -0.5)
        scores.setdefault(stratum, []).append(zg.T @ root @ correction @ root @ residuals[index])
    middle = np.zeros((N + 1, N + 1))
    for s in map(np.array, scores.values()):
        m = len(s)
        if strata and m > 1:
            s = np.sqrt(m / (m - 1)) * (s - s.mean(0))
        middle += s.T @ s
    return np.sqrt(np.diag(inverse @ middle @ inverse))[1:]


def cases():
    def size(rows, coalitions):
        return coalitions[rows[0]].sum()

    def folded(rows, coalitions):
        return -1 if len(rows) == 1 else min(size(rows, coalitions), N - size(rows, coalitions))

    return [
        (Bernoulli(), 1, None),
        (Antithetic(), 2, None),
        (Stratified(), 1, size),
        (Stratified(allocation="iid"), 1, None),
        (Stratified(pairs=True), 2, folded),
        (Stratified("shapley", pairs=True, allocation="iid"), 2, None),
    ]


@pytest.mark.parametrize("alpha", [0.0, 1.0])
@pytest.mark.parametrize(("sampler", "width", "strata"), cases(), ids=lambda a: str(a) if hasattr(a, "group") else "")
def test_it_is_the_bias_reduced_sandwich(sampler, width, strata, alpha):
    rows = rows_of(sampler)
    fit = Ridge(alpha).fit(rows)
    got = standard_error(Ridge(alpha), rows, fit, sampler, np.random.default_rng(0))[:, 0]
    by_size = strata and (lambda index: strata(index, rows.coalitions))
    np.testing.assert_allclose(got, dense(rows, alpha, width, by_size), rtol=1e-6)


class TestOrthogonalPairs:
    """Variances of a residual that is white noise plus random effects of triples, all triples alike."""

    n, pairs = 8, 60

    @property
    def signs(self):
        return np.where(Foldover().ask(self.n, 2 * self.pairs, np.random.default_rng(0))[::2], 1.0, -1.0)

    @property
    def triples(self):
        """(pairs, triples), of unit mean square over a row."""
        x = self.signs
        columns = [x[:, i] * x[:, j] * x[:, k] for i, j, k in combinations(range(self.n), 3)]
        return np.stack(columns, 1) / np.sqrt(len(columns))

    def residual_maker(self):
        x = self.signs
        return np.eye(self.pairs) - x @ np.linalg.pinv(x)

    def expected(self, covariance):
        """What is spared: true variance of least squares over what residuals corrected for their number say."""
        x = self.signs
        solve, maker = np.linalg.pinv(x), self.residual_maker()
        counted = np.trace(maker @ covariance @ maker) / (self.pairs - self.n) * np.trace(solve @ solve.T)
        return 1 - np.trace(solve @ covariance @ solve.T) / counted

    @pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
    def test_the_share_is_that_of_a_residual_with_so_many_triples(self, share):
        covariance = share * self.triples @ self.triples.T + (1 - share) * np.eye(self.pairs)
        # quadratic forms of contrasts that stand for the covariance: its factor, column by column
        columns = [np.sqrt(share) * self.triples, np.sqrt(1 - share) * np.eye(self.pairs)]
        contrasts = np.random.default_rng(1).normal(size=(20_000, sum(c.shape[1] for c in columns)))
        drawn = contrasts @ np.concatenate(columns, 1).T
        maker = self.residual_maker()
        shares = third_order_share(self.signs, (drawn @ maker).T)
        # a ratio of noisy moments, and no negative variances: centred but for that
        np.testing.assert_allclose(np.median(shares), self.expected(covariance), atol=0.08)

    def test_independent_pairs_would_hide_it(self):
        assert self.expected(self.triples @ self.triples.T) > 0.4

    def test_a_constant_score_spares_nothing(self):
        np.testing.assert_array_equal(third_order_share(self.signs, np.zeros((self.pairs, 2))), 0)

    def test_few_pairs_spare_nothing(self):
        np.testing.assert_array_equal(third_order_share(self.signs[:15], np.ones((15, 1))), 0)

    @pytest.mark.parametrize("jackknife", [False, True])
    def test_it_is_taken_off_sandwich_and_jackknife(self, jackknife):
        class Plain:
            group = "pair"

        class WithoutInfluence:
            def fit(self, rows):
                fit = Ridge(1.0).fit(rows)
                return Fit(fit.coefficients, fit.intercept)

        rows = rows_of(Foldover())
        triple = np.where(rows.coalitions[:, :3], 1.0, -1.0).prod(1, keepdims=True)
        rows = replace(rows, scores=rows.scores + 3 * triple)
        surrogate = WithoutInfluence() if jackknife else Ridge(1.0)
        fit = surrogate.fit(rows)
        sure, plain = (
            standard_error(surrogate, rows, fit, sampler, np.random.default_rng(0)) for sampler in (Foldover(), Plain())
        )
        weighted = (rows.weights * (rows.scores[:, 0] - fit.predict(rows.coalitions)[:, 0]))[2:42]
        signs = np.where(rows.coalitions[2:42:2], 1.0, -1.0)
        share = third_order_share(signs, (weighted[::2] - weighted[1::2])[:, None])
        np.testing.assert_allclose(sure, plain * np.sqrt(1 - share), rtol=1e-12)
        assert share > 0.1
