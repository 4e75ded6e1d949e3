"""RISE's map from few masks: a ridge regression on pooled masks, pushed through their exact covariance."""

from dataclasses import dataclass

import numpy as np

from xai_ext._checks import InputError
from xai_ext._types import FloatArray
from xai_ext.methods._rise_estimators import Estimate, Scores
from xai_ext.methods._rise_masks import Block, Law

_MAX_FEATURES = 4096  # a square matrix of them is kept
_INFLATION = 1.4  # of the degrees of freedom: plain GCV under-regularises below 128 masks
_EXPONENTS = np.arange(-5, 3.125, 0.25)
_CHUNK = 2**20  # elements of the maps held at once


@dataclass(frozen=True, eq=False)
class _Spectrum:
    """The regression in the eigenbasis of the centred Gram matrix.

    `freedom` and `residual` are those of one ridge per output.
    """

    eigenvalues: FloatArray
    vectors: FloatArray
    b: FloatArray  # (n_features, n_outputs)
    total: FloatArray  # (n_outputs,)
    n: int

    def freedom(self, ridge: FloatArray) -> FloatArray:
        return np.asarray((self.eigenvalues[:, None] / (self.eigenvalues[:, None] + ridge)).sum(0))

    def residual(self, ridge: FloatArray) -> FloatArray:
        damped = self.eigenvalues[:, None] + ridge
        b2 = self.b**2
        explained = 2 * b2 / damped - b2 * self.eigenvalues[:, None] / damped**2
        return np.asarray(np.maximum(self.total - explained.sum(0), 0.0))

    def gcv(self, ridge: FloatArray, inflation: float) -> FloatArray:
        """Generalised cross-validation; infinite where the inflated degrees of freedom reach n."""
        left = 1 - inflation * (self.freedom(ridge) + 1) / self.n
        score = self.residual(ridge) / self.n / np.where(left > 0, left, 1) ** 2
        return np.where(left > 0, score, np.inf)

    def ridge(self) -> FloatArray:
        """The best of a grid for each output; the larger one of equals."""
        grid = np.minimum(self.n * 10.0**_EXPONENTS, 10 * self.eigenvalues.sum() / self.n)[::-1]
        scores = np.stack([self.gcv(np.full(len(self.total), mu), _INFLATION) for mu in grid])
        return np.asarray(grid[scores.argmin(0)])


class Regression:
    """Regresses the scores on the pooled masks."""

    def __init__(self, law: Law) -> None:
        if law.n_features > _MAX_FEATURES:
            raise InputError(
                f"the surrogate fits at most {_MAX_FEATURES} coefficients, got {law.n_features} regions; "
                "fix: estimator='centered', or fewer regions"
            )
        self.scores, self._law = Scores(), law
        self._sum = np.zeros(law.n_features)
        self._gram = np.zeros((law.n_features, law.n_features))

    def add(self, block: Block, scores: FloatArray) -> None:
        if not self.scores.n:
            self._product = np.zeros((len(self._sum), scores.shape[1]))
        shifted = self.scores.add(scores)
        self._sum += block.features.sum(0)
        self._gram += block.features.T @ block.features
        self._product += block.features.T @ shifted

    def estimate(self) -> Estimate:
        spectrum = self._spectrum()
        if not spectrum.eigenvalues.any():
            return self._nothing()
        ridge = spectrum.ridge()
        coefficients = spectrum.vectors @ (spectrum.b / (spectrum.eigenvalues[:, None] + ridge))
        noise = spectrum.residual(ridge) / (spectrum.n - spectrum.freedom(ridge) - 1)
        variance = noise * self._unit_variance(spectrum, ridge)
        return Estimate(self._law.push(coefficients.T).T, np.sqrt(variance), self._diagnostics(spectrum, ridge))

    def _spectrum(self) -> _Spectrum:
        n = self.scores.n
        mean = self._sum / n
        gram = self._gram - n * np.outer(mean, mean)
        eigenvalues, vectors = np.linalg.eigh(gram)
        b = vectors.T @ (self._product - np.outer(self._sum, self.scores.shifted_mean))
        return _Spectrum(np.maximum(eigenvalues, 0.0), vectors, b, self.scores.total, n)

    def _unit_variance(self, spectrum: _Spectrum, ridge: FloatArray) -> FloatArray:
        """The variance a' (gram + ridge)^-1 a of each position, (n_positions, n_outputs)."""
        result = np.zeros((len(self._law.relative_variance), len(ridge)))
        weights = 1 / (spectrum.eigenvalues[:, None] + ridge)
        step = max(1, _CHUNK // len(result))
        for start in range(0, len(weights), step):
            rows = slice(start, start + step)
            result += (self._law.push(np.ascontiguousarray(spectrum.vectors[:, rows].T)) ** 2).T @ weights[rows]
        return result

    def _diagnostics(self, spectrum: _Spectrum, ridge: FloatArray) -> dict[str, FloatArray]:
        variance = self.scores.total / (self.scores.n - 1)
        r2 = 1 - np.divide(spectrum.gcv(ridge, 1.0), variance, out=np.full_like(variance, np.nan), where=variance > 0)
        return {"ridge": ridge, "surrogate_r2": r2}

    def _nothing(self) -> Estimate:
        """All masks were the same."""
        shape = (len(self._law.relative_variance), len(self.scores.sum))
        unknown = np.full(shape[1], np.nan)
        return Estimate(np.zeros(shape), np.full(shape, np.inf), {"ridge": unknown, "surrogate_r2": unknown})
