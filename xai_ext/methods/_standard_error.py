"""How sure the coefficients of a surrogate are."""

import copy

import numpy as np

from xai_ext._types import BoolArray, FloatArray, IntArray
from xai_ext.methods._orthogonal_error import spared_share
from xai_ext.methods._rows import Fit, Influence, Rows, Surrogate, blocks
from xai_ext.samplers import Sampler

_LEAST = 1e-3  # floor of the eigenvalues of I - H
_FOLDS = 20


def standard_error(
    surrogate: Surrogate, rows: Rows, fit: Fit, sampler: Sampler, rng: np.random.Generator
) -> FloatArray:
    """Standard error of sampling of each coefficient, (n, k)."""
    if rows.n_fixed == len(rows.coalitions):
        return np.zeros_like(fit.coefficients)
    if fit.influence is None:
        error = _jackknife(surrogate, rows, sampler, rng)
    else:
        error = _sandwich(rows, fit, fit.influence, sampler)
    if sampler.group != "orthogonal pair":
        return error
    drawn = slice(rows.n_fixed, None)
    weighted = rows.weights[:, None] * (rows.scores - fit.predict(rows.coalitions))
    spared = spared_share(rows.coalitions[drawn], weighted[drawn])
    return np.asarray(error * np.sqrt(np.maximum(1 - spared, 0)))


def _sandwich(rows: Rows, fit: Fit, influence: Influence, sampler: Sampler) -> FloatArray:
    """Cluster-robust covariance with the bias-reduced residuals of Bell and McCaffrey (CR2).

    A cluster is what was drawn together; with fixed strata the spread is taken around each stratum's mean.
    """
    width, start = rows_per_cluster(sampler), rows.n_fixed
    strata = _strata(rows.coalitions[start:], width) if sampler.group.startswith("stratum") else None
    residuals = np.sqrt(rows.weights)[:, None] * (rows.scores - fit.predict(rows.coalitions))
    variance, sums = np.zeros_like(fit.coefficients), dict[int, _Scatter]()
    for part in blocks(len(rows.weights), start):
        outside, adjusted = _adjusted(rows, fit, influence, residuals, part, width)
        if strata is None:
            pairs = [(i, j) for i in range(width) for j in range(width)]
            variance += sum((outside[:, i] * outside[:, j]).T @ (adjusted[:, i] * adjusted[:, j]) for i, j in pairs)
            continue
        first = (part.start - start) // width
        here = strata[first : first + len(outside)]
        for stratum in np.unique(here):
            sums.setdefault(stratum, _Scatter()).add(outside[here == stratum], adjusted[here == stratum])
    variance = sum((scatter.around_mean() for scatter in sums.values()), variance)
    return np.asarray(np.sqrt(np.maximum(variance, 0)))


def _adjusted(
    rows: Rows, fit: Fit, influence: Influence, residuals: FloatArray, part: slice, width: int
) -> tuple[FloatArray, FloatArray]:
    """Influence (clusters, width, n) and corrected residuals (clusters, width, k) of some rows."""
    design, columns = influence.of(part)
    root = np.sqrt(rows.weights[part])[:, None]
    scaled, inside, outside, root = (_clusters(a, width) for a in (residuals[part], design, columns, root))
    hat = inside @ outside.swapaxes(1, 2)
    if fit.free_intercept:
        hat += root @ root.swapaxes(1, 2) / rows.weights.sum()
    eigenvalues, vectors = np.linalg.eigh(np.eye(width) - hat)
    correction = (vectors / np.sqrt(np.maximum(eigenvalues, _LEAST))[:, None]) @ vectors.swapaxes(1, 2)
    return outside, correction @ scaled


def rows_per_cluster(sampler: Sampler) -> int:
    """How many adjacent rows were drawn together."""
    return 1 if sampler.group in ("row", "stratum") else 2


def _clusters(rows: FloatArray, width: int) -> FloatArray:
    """(m, c) -> (m / width, width, c); a missing partner is a row of zeros, which contributes nothing."""
    padded = np.pad(rows, ((0, -len(rows) % width), (0, 0)))
    return padded.reshape(-1, width, rows.shape[1])


def _strata(drawn: BoolArray, width: int) -> IntArray:
    """The stratum of each cluster: its size, folded for pairs; a row without partner has one of its own, -1."""
    n, sizes = drawn.shape[1], drawn[::width].sum(1)
    if width == 2:
        sizes = np.minimum(sizes, n - sizes)
        sizes[len(drawn) // 2 :] = -1
    return np.asarray(sizes)


class _Scatter:
    """Number, sum and sum of squares of the scores of clusters, (n, k) each."""

    def __init__(self) -> None:
        self.count, self.total, self.squares = 0, np.zeros(()), np.zeros(())

    def add(self, influence: FloatArray, adjusted: FloatArray) -> None:
        """Clusters (c, width, n) and (c, width, k)."""
        scores = np.einsum("cin,cik->cnk", influence, adjusted)
        self.count += len(scores)
        self.total = self.total + scores.sum(0)
        self.squares = self.squares + (scores**2).sum(0)

    def around_mean(self) -> FloatArray:
        """A single cluster counts around zero."""
        m = self.count
        return self.squares if m == 1 else np.asarray(m / (m - 1) * (self.squares - self.total**2 / m))


def _jackknife(surrogate: Surrogate, rows: Rows, sampler: Sampler, rng: np.random.Generator) -> FloatArray:
    """Delete-a-group jackknife: refit a copy without each of 20 random groups; pairs stay together."""
    surrogate = copy.deepcopy(surrogate)
    fixed = np.arange(rows.n_fixed)
    width = rows_per_cluster(sampler)
    drawn = len(rows.coalitions) - rows.n_fixed
    n_clusters = -(-drawn // width)
    folds = min(_FOLDS, n_clusters)
    fold = (rng.permutation(n_clusters) % folds)[np.arange(drawn) // width]
    refits = [
        surrogate.fit(rows.subset(np.concatenate([fixed, rows.n_fixed + np.flatnonzero(fold != i)]))).coefficients
        for i in range(folds)
    ]
    return np.asarray(np.sqrt((folds - 1) * np.var(refits, axis=0)))
