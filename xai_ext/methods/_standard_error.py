"""How sure the coefficients of a surrogate are."""

import copy

import numpy as np

from xai_ext._types import BoolArray, FloatArray, IntArray
from xai_ext.methods._orthogonal_error import spared_share
from xai_ext.methods._rows import Fit, Rows, Surrogate
from xai_ext.samplers import Sampler

_LEAST = 1e-3  # floor of the eigenvalues of I - H
_FOLDS = 20


def standard_error(
    surrogate: Surrogate, rows: Rows, fit: Fit, sampler: Sampler, rng: np.random.Generator
) -> FloatArray:
    """Standard error of sampling of each coefficient, (n, k)."""
    if rows.n_fixed == len(rows.coalitions):
        return np.zeros_like(fit.coefficients)
    if fit.influence is None or fit.design is None:
        error = _jackknife(surrogate, rows, sampler, rng)
    else:
        error = _sandwich(rows, fit, fit.influence, fit.design, sampler)
    if sampler.group != "orthogonal pair":
        return error
    drawn = slice(rows.n_fixed, None)
    weighted = rows.weights[:, None] * (rows.scores - fit.predict(rows.coalitions))
    spared = spared_share(rows.coalitions[drawn], weighted[drawn])
    return np.asarray(error * np.sqrt(np.maximum(1 - spared, 0)))


def _sandwich(rows: Rows, fit: Fit, influence: FloatArray, design: FloatArray, sampler: Sampler) -> FloatArray:
    """Cluster-robust covariance with the bias-reduced residuals of Bell and McCaffrey (CR2).

    A cluster is what was drawn together; with fixed strata the spread is taken around each stratum's mean.
    """
    width = rows_per_cluster(sampler)
    predicted = fit.predict(rows.coalitions)
    root = np.sqrt(rows.weights)[:, None]
    drawn = slice(rows.n_fixed, None)
    scaled, inside, root, outside = (
        _clusters(a[drawn], width) for a in (root * (rows.scores - predicted), design, root, influence.T)
    )
    hat = inside @ outside.swapaxes(1, 2)
    if fit.free_intercept:
        hat += root @ root.swapaxes(1, 2) / rows.weights.sum()
    eigenvalues, vectors = np.linalg.eigh(np.eye(width) - hat)
    correction = (vectors / np.sqrt(np.maximum(eigenvalues, _LEAST))[:, None]) @ vectors.swapaxes(1, 2)
    adjusted = correction @ scaled
    if sampler.group in ("stratum", "stratum of pairs"):
        return np.asarray(np.sqrt(_within_strata(outside, adjusted, _strata(rows.coalitions[drawn], width))))
    pairs = [(i, j) for i in range(width) for j in range(width)]
    variance = sum((outside[:, i] * outside[:, j]).T @ (adjusted[:, i] * adjusted[:, j]) for i, j in pairs)
    return np.asarray(np.sqrt(np.maximum(variance, 0)))


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


def _within_strata(influence: FloatArray, adjusted: FloatArray, strata: IntArray) -> FloatArray:
    """Sum over strata of the scatter around the stratum's mean, (n, k); a single cluster counts around zero.

    Arguments are (clusters, rows of a cluster, n) and (clusters, rows of a cluster, k).
    """
    variance = np.zeros((influence.shape[2], adjusted.shape[2]))
    for stratum in np.unique(strata):
        members = strata == stratum
        m = int(members.sum())
        scores = np.einsum("cin,cik->cnk", influence[members], adjusted[members])
        squares, total = (scores**2).sum(0), scores.sum(0)
        variance += squares if m == 1 else m / (m - 1) * (squares - total**2 / m)
    return np.maximum(variance, 0)


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
