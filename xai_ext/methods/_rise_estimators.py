"""What RISE computes from masks and scores: streamed sums, memory independent of the number of masks."""

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from xai_ext._types import FloatArray
from xai_ext.methods._rise_masks import Block, Law

_CHUNK = 2**13  # positions summed at once: larger arrays of float64 would fragment the heap
ESTIMATORS = ("surrogate", "centered", "coverage", "beta", "rise")


@dataclass(frozen=True, eq=False)
class Estimate:
    """Values and standard errors (n_positions, n_outputs)."""

    values: FloatArray
    std_error: FloatArray
    diagnostics: dict[str, Any]


class Estimator(Protocol):
    """Takes blocks of masks with their scores, and gives an estimate at any time."""

    def add(self, block: Block, scores: FloatArray) -> None: ...

    def estimate(self) -> Estimate: ...


class Scores:
    """Count, mean and sum of squares of the scores, summed after a shift: a large constant costs no digits."""

    def __init__(self) -> None:
        self.n = 0

    def add(self, scores: FloatArray) -> FloatArray:
        """The scores (k, n_outputs), shifted."""
        if not self.n:
            self.shift = scores[0] + (scores - scores[0]).mean(0)
            self.sum, self.squares = np.zeros((2, scores.shape[1]))
        shifted = scores - self.shift
        self.n += len(scores)
        self.sum += shifted.sum(0)
        self.squares += (shifted**2).sum(0)
        return np.asarray(shifted)

    @property
    def shifted_mean(self) -> FloatArray:
        return np.asarray(self.sum / self.n)

    @property
    def mean(self) -> FloatArray:
        return np.asarray(self.shift + self.shifted_mean)

    @property
    def total(self) -> FloatArray:
        """Sum of squared deviations from the mean."""
        return np.asarray(np.maximum(self.squares - self.n * self.shifted_mean**2, 0.0))


class _Sums:
    """Sums over masks at some positions, in float64 on their device: of m, m2, f m, f m2, f2 m and f2 m2."""

    def __init__(self, masks: Tensor, n_outputs: int) -> None:
        self._device = torch.device("cpu") if masks.device.type == "mps" else masks.device  # mps has no float64
        shape = (1 + 2 * n_outputs, masks.shape[1])
        self._m, self._mm = (torch.zeros(shape, dtype=torch.float64, device=self._device) for _ in range(2))

    def add(self, masks: Tensor, scores: FloatArray) -> None:
        m = masks.to(self._device).double()
        powers = np.concatenate([np.ones((len(scores), 1)), scores, scores**2], 1)
        f = torch.from_numpy(powers).to(self._device).T
        self._m.addmm_(f, m)
        self._mm.addmm_(f, m.square_())

    def columns(self) -> FloatArray:
        """(6, n_positions, n_outputs)."""
        n = len(self._m) // 2
        both = [a.T.cpu().numpy() for a in (self._m, self._mm)]
        ones = [np.repeat(a[:, :1], n, 1) for a in both]
        return np.stack([*ones, both[0][:, 1 : n + 1], both[1][:, 1 : n + 1], both[0][:, n + 1 :], both[1][:, n + 1 :]])


class Moments:
    """The estimators that average over masks, per position: "rise", "coverage", "centered", "beta"."""

    def __init__(self, law: Law, name: str) -> None:
        self.scores, self._law, self._name = Scores(), law, name
        self._sums_of: list[_Sums] = []

    def add(self, block: Block, scores: FloatArray) -> None:
        shifted = self.scores.add(scores)
        parts = [part for t in block.positions for part in torch.split(t.flatten(1), _CHUNK, 1)]
        if not self._sums_of:
            self._sums_of = [_Sums(part, scores.shape[1]) for part in parts]
        for sums, part in zip(self._sums_of, parts, strict=True):
            sums.add(part, shifted)

    def estimate(self) -> Estimate:
        values, std_error = getattr(self, f"_{self._name}")()
        return Estimate(values, std_error, {})

    def _centered(self) -> tuple[FloatArray, FloatArray]:
        """Cov(f, m) / v with the masks' known mean p and the scores' own mean."""
        n, p = self.scores.n, self._law.keep_probability
        v = p * (1 - p)
        _, _, fm, _, ffm, ffmm = self._sums(self.scores.shifted_mean)
        squares = ffmm - 2 * p * ffm + p**2 * self.scores.total
        return fm / ((n - 1) * v), _deviation(fm, squares, n) / (v * np.sqrt(n))  # the sum of f - mean is 0

    def _beta(self) -> tuple[FloatArray, FloatArray]:
        scale = self._law.relative_variance[:, None]
        values, std_error = self._centered()
        return values / scale, std_error / scale

    def _rise(self) -> tuple[FloatArray, FloatArray]:
        n, p = self.scores.n, self._law.keep_probability
        _, _, fm, _, _, ffmm = self._sums(-self.scores.shift)
        return fm / (n * p), _deviation(fm, ffmm, n) / (p * np.sqrt(n))

    def _coverage(self) -> tuple[FloatArray, FloatArray]:
        """A weighted mean of the scores; of all scores, with an infinite error, where no mask kept anything."""
        n = self.scores.n
        m, mm, fm, fmm, _, ffmm = self._sums(self.scores.shifted_mean)
        seen = m > 0
        ratio = np.divide(fm, m, out=np.zeros_like(fm), where=seen)
        squares = ffmm - 2 * ratio * fmm + ratio**2 * mm
        spread = _deviation(fm - ratio * m, squares, n) * np.sqrt(n)
        return self.scores.mean + ratio, np.divide(spread, m, out=np.full_like(fm, np.inf), where=seen)

    def _sums(self, constant: FloatArray) -> tuple[FloatArray, ...]:
        """Sums over masks of m, m2, g m, g m2, g2 m, g2 m2, g the shifted scores minus `constant`."""
        m, mm, fm, fmm, ffm, ffmm = np.concatenate([sums.columns() for sums in self._sums_of], 1)
        c = constant
        return (
            m, mm, fm - c * m, fmm - c * mm, ffm - 2 * c * fm + c**2 * m, ffmm - 2 * c * fmm + c**2 * mm,
        )  # fmt: skip


def _deviation(total: FloatArray, squares: FloatArray, n: int) -> FloatArray:
    """Standard deviation of n numbers from their sum and sum of squares."""
    return np.asarray(np.sqrt(np.maximum(squares - total**2 / n, 0.0) / (n - 1)))
