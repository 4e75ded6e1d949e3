"""One axis of RISE's masks: random cells, shifted and interpolated, with their moments in closed form."""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from xai_ext._types import FloatArray, IntArray

_MAX_FEATURES = 1024  # pooled elements of one mask
_PEAK = 2**22  # elements of the interpolation matrices held at once


@dataclass(frozen=True, eq=False)
class Axis:
    """An axis of `size` positions under `cells` cells; matrices of the offset o are called A(o), size x cells.

    Attributes
    ----------
    offsets : int
        How many there are: the pitch of the published grid.
    table : array (offsets - 1 + size, cells) float64, table32
        A(o) is rows o to o + size.
    pooled : array (offsets, features, cells)
        Q A(o), Q the area average to `features` elements.
    push : array (size, features)
        K Q', K the mean of A(o) A(o)'.
    variance : array (size,)
        The diagonal of K.
    """

    size: int
    cells: int
    offsets: int
    table: FloatArray
    table32: Tensor
    pooled: FloatArray
    push: FloatArray
    variance: FloatArray

    @property
    def is_separate(self) -> bool:
        """Are the positions the cells?"""
        return not len(self.table)

    @property
    def features(self) -> int:
        """Elements of the axis after pooling."""
        return self.size if self.is_separate else self.push.shape[1]

    def covariance(self) -> FloatArray:
        """K, (size, size): the covariance of the positions of a mask, divided by that of a cell."""
        if self.is_separate:
            return np.eye(self.size)
        windows = np.stack([self.table[o : o + self.size] for o in range(self.offsets)])
        return np.asarray(np.einsum("ohs,oks->hk", windows, windows) / self.offsets)


@lru_cache(maxsize=32)
def interpolated(size: int, cells: int, n_dims: int) -> Axis:
    """The axis of the published generator, one of `n_dims`: bilinear upsampling, edges mirrored, random crop."""
    offsets = -(-size // cells)
    left, right, weight = _neighbours(size, cells, offsets)
    rows = np.arange(len(left))
    table = np.zeros((len(left), cells))
    np.add.at(table, (rows, left), 1 - weight)
    np.add.at(table, (rows, right), weight)
    features = min(size, 2 * (cells + 1), int(_MAX_FEATURES ** (1 / n_dims) + 1e-9))
    pool = area_average(size, features)
    pooled = np.stack([pool @ table[o : o + size] for o in range(offsets)])
    push, variance = np.zeros((size, features)), np.zeros(size)
    for o in range(offsets):
        push += table[o : o + size] @ pooled[o].T
        variance += (table[o : o + size] ** 2).sum(1)
    return Axis(
        size,
        cells,
        offsets,
        table,
        torch.from_numpy(table.astype(np.float32)),
        pooled,
        push / offsets,
        variance / offsets,
    )


def separate(size: int) -> Axis:
    """An axis whose positions are the cells: A(o) and Q are the identity, which nobody writes down."""
    none = np.zeros((0, size))
    return Axis(size, size, 1, none, torch.zeros(0, size), none[None], none, np.ones(size))


def area_average(size: int, bins: int) -> FloatArray:
    """The matrix (bins, size) of means over bins of equal width; elements on a border count by their share."""
    edges = np.arange(bins + 1) * size / bins
    low = np.maximum(edges[:-1, None], np.arange(size))
    high = np.minimum(edges[1:, None], np.arange(size) + 1)
    return np.asarray(np.maximum(high - low, 0) * bins / size)


def _neighbours(size: int, cells: int, offsets: int) -> tuple[IntArray, IntArray, FloatArray]:
    """The two cells that each position of the uncropped mask lies between, and the weight of the second."""
    place = (np.arange(offsets - 1 + size) + 0.5) * cells / ((cells + 1) * offsets) - 0.5
    left = np.floor(place).astype(np.int64)
    return _mirrored(left, cells), _mirrored(left + 1, cells), place - left


def _mirrored(index: IntArray, cells: int) -> IntArray:
    if cells == 1:
        return np.zeros_like(index)
    index = np.abs(index)
    return np.where(index > cells - 1, 2 * (cells - 1) - index, index)


def upsampled(bits: Tensor, axes: tuple[Axis, ...], offsets: IntArray) -> Tensor:
    """Masks (k, *sizes) float32 of cells (k, *cells) and offsets (k, n_dims)."""
    widest = max(a.size * a.cells for a in axes)
    rows = max(1, _PEAK // max(1, widest))
    parts = [_upsampled(bits[i : i + rows], axes, offsets[i : i + rows]) for i in range(0, len(bits), rows)]
    return parts[0] if len(parts) == 1 else torch.cat(parts)


def _upsampled(bits: Tensor, axes: tuple[Axis, ...], offsets: IntArray) -> Tensor:
    matrices = []
    for axis, o in zip(axes, offsets.T, strict=True):
        windows = axis.table32.to(bits.device).unfold(0, axis.size, 1) if not axis.is_separate else None
        rows = torch.from_numpy(o).to(bits.device)
        matrices.append(None if windows is None else windows[rows].transpose(1, 2))  # windows are a view
    return product(bits.float(), matrices)


def pooled(bits: Tensor, axes: tuple[Axis, ...], offsets: IntArray) -> Tensor:
    """The same masks averaged over areas, (k, *features) float64, without making them."""
    matrices = [
        None if a.is_separate else torch.from_numpy(a.pooled)[torch.from_numpy(o)]
        for a, o in zip(axes, offsets.T, strict=True)
    ]
    return product(bits.cpu().double(), matrices)


def pushed(coefficients: Tensor, axes: tuple[Axis, ...]) -> Tensor:
    """Covariance of each position with a linear function of the pooled masks, (k, *sizes) of (k, *features)."""
    return product(coefficients, [None if a.is_separate else torch.from_numpy(a.push)[None] for a in axes])


def product(cells: Tensor, matrices: list[Tensor | None]) -> Tensor:
    """Multiply each dimension of `cells` (k, *n) by its matrix (k or 1, m, n), None for the identity: (k, *m)."""
    k, shape = len(cells), list(cells.shape[1:])
    for matrix in matrices:  # each turn moves a finished dimension to the end
        n, *rest = shape
        cells = cells.reshape(k, n, math.prod(rest))
        cells = (cells if matrix is None else torch.matmul(matrix, cells)).transpose(1, 2)
        shape = [*rest, cells.shape[2]]
    return cells.reshape(k, *shape)
