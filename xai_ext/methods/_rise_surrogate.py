"""RISE's map from few masks: a ridge regression on pooled masks, pushed through their exact covariance."""

from dataclasses import dataclass

import numpy as np

from xai_ext._checks import InputError
from xai_ext._types import FloatArray
from xai_ext.methods._rise_estimators import Estimate
from xai_ext.methods._rise_masks import Block, Law

_MAX_FEATURES = 4096  # a square matrix of them is kept
_EXPONENTS = np.arange(-5, 3.125, 0.25)
_TINY = 1e-14  # of the sum of squares: nothing is left
_CHUNK = 2**20  # elements of the maps held at once
_HELD = 512  # masks that tell how to compress the scores of all
_TAIL = 1  # median distances


@dataclass(frozen=True, eq=False)
class _Spectrum:
    """The regression in the eigenbasis of the centred Gram matrix.

    `freedom`, `residual` and `misfit` are those of one ridge per output.
    """

    eigenvalues: FloatArray
    vectors: FloatArray
    b: FloatArray  # (n_features, n_outputs)
    total: FloatArray  # (n_outputs,)
    n: int
    intercept: int

    def freedom(self, ridge: FloatArray) -> FloatArray:
        return np.asarray((self.eigenvalues[:, None] / (self.eigenvalues[:, None] + ridge)).sum(0))

    def residual(self, ridge: FloatArray) -> FloatArray:
        damped = self.eigenvalues[:, None] + ridge
        b2 = self.b**2
        explained = 2 * b2 / damped - b2 * self.eigenvalues[:, None] / damped**2
        return np.asarray(np.maximum(self.total - explained.sum(0), 0.0))

    def misfit(self, ridge: FloatArray) -> FloatArray:
        """What the penalised fit leaves: y' (I + XX' / ridge)^-1 y."""
        explained = (self.b**2 / (self.eigenvalues[:, None] + ridge)).sum(0)
        return np.asarray(np.maximum(self.total - explained, _TINY * self.total + np.finfo(float).tiny))

    def noise(self, ridge: FloatArray) -> FloatArray:
        """Variance of what the fit leaves."""
        return self.residual(ridge) / (self.n - self.freedom(ridge) - self.intercept)

    def gcv(self, ridge: FloatArray) -> FloatArray:
        """Generalised cross-validation; infinite where the degrees of freedom reach n."""
        left = 1 - (self.freedom(ridge) + self.intercept) / self.n
        score = self.residual(ridge) / self.n / np.where(left > 0, left, 1) ** 2
        return np.where(left > 0, score, np.inf)

    def surprise(self, ridge: FloatArray) -> FloatArray:
        """Minus twice the log of the marginal likelihood of normal coefficients and noise; constants are left out."""
        volume = np.log1p(self.eigenvalues[:, None] / ridge).sum(0)
        return np.asarray((self.n - self.intercept) * np.log(self.misfit(ridge)) + volume)

    def ridge(self) -> FloatArray:
        """The likeliest of a grid for each output; the larger one of equals."""
        grid = np.minimum(self.n * 10.0**_EXPONENTS, 10 * self.eigenvalues.sum() / self.n)[::-1]
        scores = np.stack([self.surprise(np.full(len(self.total), mu)) for mu in grid])
        return np.asarray(grid[scores.argmin(0)])


class _Sums:
    """Sums over rows of features and of columns to regress, streamed."""

    def __init__(self, n_features: int, n_columns: int, *, intercept: bool) -> None:
        self.n, self.intercept = 0, intercept
        self._x, self._y = np.zeros(n_features), np.zeros(n_columns)
        self._gram = np.zeros((n_features, n_features))
        self._product, self._squares = np.zeros((n_features, n_columns)), np.zeros(n_columns)

    def add(self, x: FloatArray, y: FloatArray) -> None:
        self.n += len(x)
        self._gram += x.T @ x
        self._product += x.T @ y
        self._squares += (y**2).sum(0)
        if self.intercept:
            self._x += x.sum(0)
            self._y += y.sum(0)

    def spectrum(self) -> _Spectrum:
        gram = self._gram - np.outer(self._x, self._x) / self.n
        eigenvalues, vectors = np.linalg.eigh(gram)
        b = vectors.T @ (self._product - np.outer(self._x, self._y) / self.n)
        total = np.maximum(self._squares - self._y**2 / self.n, 0.0)
        return _Spectrum(np.maximum(eigenvalues, 0.0), vectors, b, total, self.n, int(self.intercept))


class Regression:
    """Regresses the scores and the compressed scores on the pooled masks; two maps, weighted by what they differ.

    In `pairs` of complements, half of the difference takes the score's place: what both have in common is gone.
    """

    def __init__(self, law: Law, *, pairs: bool = False) -> None:
        if law.n_features > _MAX_FEATURES:
            raise InputError(
                f"the surrogate fits at most {_MAX_FEATURES} coefficients, got {law.n_features} regions; "
                "fix: estimator='centered', or fewer regions"
            )
        self._law, self._pairs = law, pairs
        self._held: list[tuple[FloatArray, FloatArray]] = []  # the first masks, until they tell how to compress
        self._sums: _Sums | None = None

    def add(self, block: Block, scores: FloatArray) -> None:
        if not self._held and self._sums is None:
            self._shift = scores[0].copy()
        rows = block.features, scores - self._shift
        if self._sums is not None:
            self._sums.add(*self._observed(*rows))
            return
        self._held.append(rows)
        if sum(len(s) for _, s in self._held) >= _HELD:
            self._sums, self._held = self._summed(), []

    def estimate(self) -> Estimate:
        spectrum = (self._sums or self._summed()).spectrum()
        if not spectrum.eigenvalues.any():
            return self._nothing()
        ridge = spectrum.ridge()
        variance = spectrum.noise(ridge) * self._unit_variance(spectrum, ridge)
        weights = spectrum.b / (spectrum.eigenvalues[:, None] + ridge)  # coefficients in the eigenbasis
        maps = self._law.push((spectrum.vectors @ weights).T).T
        return self._combined(spectrum, weights, ridge, maps, variance)

    def _summed(self) -> _Sums:
        """Of the masks that are held."""
        self._compression = Compression(np.concatenate([scores for _, scores in self._held]))
        sums = _Sums(self._law.n_features, 2 * self._shift.size, intercept=not self._pairs)
        for rows in self._held:
            sums.add(*self._observed(*rows))
        return sums

    def _observed(self, features: FloatArray, scores: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Rows of the regression: features; scores beside compressed ones."""
        columns = np.concatenate([scores, self._compression(scores)], 1)
        if not self._pairs:
            return features, columns
        return features[::2], (columns[::2] - columns[1::2]) / 2

    def _unit_variance(self, spectrum: _Spectrum, ridge: FloatArray) -> FloatArray:
        """The variance a' (gram + ridge)^-1 a of each position, (n_positions, n_columns)."""
        result = np.zeros((len(self._law.relative_variance), len(ridge)))
        weights = 1 / (spectrum.eigenvalues[:, None] + ridge)
        step = max(1, _CHUNK // len(result))
        for start in range(0, len(weights), step):
            rows = slice(start, start + step)
            result += (self._law.push(np.ascontiguousarray(spectrum.vectors[:, rows].T)) ** 2).T @ weights[rows]
        return result

    def _combined(
        self, spectrum: _Spectrum, weights: FloatArray, ridge: FloatArray, maps: FloatArray, variance: FloatArray
    ) -> Estimate:
        """Move from the map of the scores to that of the compressed ones as far as their difference is noise."""
        k = self._shift.size
        along = (spectrum.b * np.concatenate([weights[:, k:]] * 2, 1)).sum(0)
        slope = np.maximum(_ratio(along[:k], along[k:]), 0.0)  # from compressed scores to scores
        plain, robust = maps[:, :k], slope * maps[:, k:]
        noise, less = variance[:, :k], slope**2 * variance[:, k:]
        share = np.clip(_ratio((noise - less).sum(0), ((plain - robust) ** 2).sum(0)), 0.0, 1.0) * (slope > 0)
        return Estimate(
            plain + share * (robust - plain),
            (1 - share) * np.sqrt(noise) + share * np.sqrt(less),
            {"ridge": ridge[:k], "surrogate_r2": self._r2(spectrum, ridge)[:k], "compressed": share},
        )

    @staticmethod
    def _r2(spectrum: _Spectrum, ridge: FloatArray) -> FloatArray:
        variance = spectrum.total / max(1, spectrum.n - spectrum.intercept)
        return np.where(variance > 0, 1 - _ratio(spectrum.gcv(ridge), variance), np.nan)

    def _nothing(self) -> Estimate:
        """All masks were the same."""
        shape = (len(self._law.relative_variance), self._shift.size)
        unknown = np.full(shape[1], np.nan)
        return Estimate(
            np.zeros(shape),
            np.full(shape, np.inf),
            {"ridge": unknown, "surrogate_r2": unknown, "compressed": unknown},
        )


class Compression:
    """Scores (n, n_outputs) with short tails: asinh of the distance to the median, in units of its typical size.

    Near the median it is linear; a few scores far from all others count by their logarithm.
    """

    def __init__(self, sample: FloatArray) -> None:
        self._median = np.median(sample, axis=0)
        scale = _TAIL * np.median(np.abs(sample - self._median), axis=0)
        self._scale = np.where(scale > 0, scale, np.inf)  # most scores are equal: nothing is compressed

    def __call__(self, scores: FloatArray) -> FloatArray:
        distance = scores - self._median
        return np.where(np.isinf(self._scale), distance, np.arcsinh(distance / self._scale))


def _ratio(a: FloatArray, b: FloatArray) -> FloatArray:
    """0 where b is not positive."""
    return np.divide(a, b, out=np.zeros_like(a), where=b > 0)
