"""Linear surrogates of scores over coalitions, and how sure their coefficients are."""

import copy
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from xai_ext._checks import InputError
from xai_ext._types import BoolArray, FloatArray, IntArray
from xai_ext.samplers import Sampler

_LEAST = 1e-3  # floor of the eigenvalues of I - H
_FOLDS = 20


@dataclass(frozen=True, eq=False)
class Rows:
    """What a surrogate is fitted to.

    The first `n_fixed` rows were not drawn (the anchors, or all of an enumeration): they carry no sampling error.
    """

    coalitions: BoolArray
    scores: FloatArray
    weights: FloatArray
    n_fixed: int

    def subset(self, index: IntArray) -> "Rows":
        return Rows(self.coalitions[index], self.scores[index], self.weights[index], self.n_fixed)


@dataclass(frozen=True, eq=False)
class Fit:
    """Coefficients (n, k) and intercepts (k,); `influence` (n, m) maps scores times sqrt(weight) to coefficients."""

    coefficients: FloatArray
    intercept: FloatArray
    influence: FloatArray | None = None
    design: FloatArray | None = None

    def predict(self, coalitions: BoolArray) -> FloatArray:
        return coalitions @ self.coefficients + self.intercept


class Surrogate(Protocol):
    """A model that is linear in the players."""

    def fit(self, rows: Rows) -> Fit: ...


@dataclass(frozen=True)
class Ridge:
    """Weighted ridge regression with an unpenalised intercept: lime's surrogate.

    Parameters
    ----------
    alpha : float
        Penalty on the squared coefficients, on the scale of the weights as they are (they are not normalised).
        With 0, least squares of minimum norm.
    """

    alpha: float = 1.0

    def __post_init__(self) -> None:
        if not np.isfinite(self.alpha) or self.alpha < 0:
            raise InputError(f"alpha must be a finite number >= 0, got {self.alpha}")

    def fit(self, rows: Rows) -> Fit:
        """Coefficients in closed form, of whichever system is smaller: players or rows."""
        root = np.sqrt(rows.weights)[:, None]
        total = rows.weights.sum()
        center = rows.weights @ rows.coalitions / total
        gain = rows.scores - rows.scores[0]  # exactly 0 for a constant score
        mean = rows.weights @ gain / total
        design = root * (rows.coalitions - center)
        influence = self._influence(design)
        coefficients = influence @ (root * (gain - mean))
        return Fit(coefficients, rows.scores[0] + mean - center @ coefficients, influence, design)

    def _influence(self, design: FloatArray) -> FloatArray:
        if self.alpha == 0:
            return np.asarray(np.linalg.pinv(design, rcond=1e-10))
        m, n = design.shape
        gram = design.T @ design if n <= m else design @ design.T
        gram[np.diag_indices_from(gram)] += self.alpha
        factor = cho_factor(gram)
        return np.asarray(cho_solve(factor, design.T) if n <= m else cho_solve(factor, design).T)


def standard_error(
    surrogate: Surrogate, rows: Rows, fit: Fit, sampler: Sampler, rng: np.random.Generator
) -> FloatArray:
    """Standard error of sampling of each coefficient, (n, k)."""
    if rows.n_fixed == len(rows.coalitions):
        return np.zeros_like(fit.coefficients)
    if fit.influence is None or fit.design is None:
        return _jackknife(surrogate, rows, sampler, rng)
    return _sandwich(rows, fit.influence, fit.design, fit.predict(rows.coalitions), sampler)


def _sandwich(
    rows: Rows, influence: FloatArray, design: FloatArray, predicted: FloatArray, sampler: Sampler
) -> FloatArray:
    """Cluster-robust covariance with the bias-reduced residuals of Bell and McCaffrey (CR2).

    A cluster is what was drawn together; with fixed strata the spread is taken around each stratum's mean.
    """
    width = 2 if sampler.group == "pair" else 1
    root = np.sqrt(rows.weights)[:, None]
    drawn = slice(rows.n_fixed, None)
    scaled, inside, root, outside = (
        _clusters(a[drawn], width) for a in (root * (rows.scores - predicted), design, root, influence.T)
    )
    hat = inside @ outside.swapaxes(1, 2) + root @ root.swapaxes(1, 2) / rows.weights.sum()
    eigenvalues, vectors = np.linalg.eigh(np.eye(width) - hat)
    correction = (vectors / np.sqrt(np.maximum(eigenvalues, _LEAST))[:, None]) @ vectors.swapaxes(1, 2)
    adjusted = correction @ scaled
    if sampler.group == "stratum":
        sizes = rows.coalitions[drawn].sum(1)
        return np.asarray(np.sqrt(_within_strata(outside[:, 0], adjusted[:, 0], sizes)))
    pairs = [(i, j) for i in range(width) for j in range(width)]
    variance = sum((outside[:, i] * outside[:, j]).T @ (adjusted[:, i] * adjusted[:, j]) for i, j in pairs)
    return np.asarray(np.sqrt(np.maximum(variance, 0)))


def _clusters(rows: FloatArray, width: int) -> FloatArray:
    """(m, c) -> (m / width, width, c); a missing partner is a row of zeros, which contributes nothing."""
    padded = np.pad(rows, ((0, -len(rows) % width), (0, 0)))
    return padded.reshape(-1, width, rows.shape[1])


def _within_strata(influence: FloatArray, adjusted: FloatArray, sizes: IntArray) -> FloatArray:
    """Sum over strata of the scatter around the stratum's mean, (n, k); a single row counts around zero."""
    variance = np.zeros((influence.shape[1], adjusted.shape[1]))
    for size in np.unique(sizes):
        rows = sizes == size
        m = int(rows.sum())
        squares = (influence[rows] ** 2).T @ adjusted[rows] ** 2
        total = influence[rows].T @ adjusted[rows]
        variance += squares if m == 1 else m / (m - 1) * (squares - total**2 / m)
    return np.maximum(variance, 0)


def _jackknife(surrogate: Surrogate, rows: Rows, sampler: Sampler, rng: np.random.Generator) -> FloatArray:
    """Delete-a-group jackknife: refit a copy without each of 20 random groups; pairs stay together."""
    surrogate = copy.deepcopy(surrogate)
    fixed = np.arange(rows.n_fixed)
    width = 2 if sampler.group == "pair" else 1
    drawn = len(rows.coalitions) - rows.n_fixed
    n_clusters = -(-drawn // width)
    folds = min(_FOLDS, n_clusters)
    fold = (rng.permutation(n_clusters) % folds)[np.arange(drawn) // width]
    refits = [
        surrogate.fit(rows.subset(np.concatenate([fixed, rows.n_fixed + np.flatnonzero(fold != i)]))).coefficients
        for i in range(folds)
    ]
    return np.asarray(np.sqrt((folds - 1) * np.var(refits, axis=0)))
