"""Standard errors, against the sandwich written out densely."""

import numpy as np
import pytest
from scipy.linalg import fractional_matrix_power

from xai_ext.methods._kernels import Cosine
from xai_ext.methods._rows import Rows
from xai_ext.methods._standard_error import standard_error
from xai_ext.methods.lime import Ridge
from xai_ext.samplers import Antithetic, Bernoulli, Stratified

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
