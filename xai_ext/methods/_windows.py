"""Windows on a grid of positions: where they lie, what they cover, sums over them; any number of dimensions."""

import itertools
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from xai_ext._types import BoolArray, FloatArray, IntArray
from xai_ext.methods._positions import Shape

Grid = Literal["occlusion", "overhang"]


@dataclass(frozen=True, eq=False)
class Windows:
    """Boxes low <= position < high; both (n, n_dims), inside the shape."""

    low: IntArray
    high: IntArray

    def __len__(self) -> int:
        return len(self.low)

    def chosen(self, which: BoolArray | IntArray) -> "Windows":
        return Windows(self.low[which], self.high[which])

    def keys(self) -> list[bytes]:
        """One per window, equal for equal windows."""
        return [row.tobytes() for row in np.concatenate([self.low, self.high], 1)]

    def keep(self, rows: slice, shape: Shape, device: torch.device) -> Tensor:
        """Bool masks (k, *shape), False inside a window."""
        low, high = (torch.from_numpy(a[rows]).to(device) for a in (self.low, self.high))
        hidden = torch.ones((len(low), *(1,) * len(shape)), dtype=torch.bool, device=device)
        for axis, size in enumerate(shape):
            place = torch.arange(size, device=device)
            inside = (place >= low[:, axis, None]) & (place < high[:, axis, None])
            hidden = hidden & inside.reshape(-1, *(size if a == axis else 1 for a in range(len(shape))))
        return ~hidden


def axis_windows(size: int, window: int, stride: int, grid: Grid) -> tuple[IntArray, IntArray]:
    """Starts and ends along one axis, cut at the borders."""
    if grid == "occlusion":  # Captum's: the last one reaches the border
        starts = stride * np.arange(-(-(size - window) // stride) + 1)
    else:
        starts = np.arange(stride - window, size, stride)
    return np.maximum(starts, 0), np.minimum(starts + window, size)


def all_windows(shape: Shape, window: Shape, stride: Shape, grid: Grid = "occlusion") -> Windows:
    """Every window of the grid, the last axis fastest."""
    axes = [axis_windows(n, w, s, grid) for n, w, s in zip(shape, window, stride, strict=True)]
    low, high = (
        np.stack([a.ravel() for a in np.meshgrid(*(axis[i] for axis in axes), indexing="ij")], 1) for i in (0, 1)
    )
    return Windows(low, high)


def count_windows(shape: Shape, window: Shape, stride: Shape, grid: Grid = "occlusion") -> int:
    """How many there are."""
    return int(np.prod([len(axis_windows(n, w, s, grid)[0]) for n, w, s in zip(shape, window, stride, strict=True)]))


def strides(window: Shape) -> list[Shape]:
    """From dense to disjoint, in the window's proportions."""
    longest = max(window)
    return [tuple(-(-j * w // longest) for w in window) for j in range(1, longest + 1)]


def painted(windows: Windows, weights: FloatArray, shape: Shape) -> FloatArray:
    """Sum over windows of weight times indicator: weights (n, m) -> (*shape, m)."""
    corners = np.zeros((*(n + 1 for n in shape), weights.shape[1]))
    for ends in itertools.product((0, 1), repeat=len(shape)):
        at = np.where(np.array(ends, bool), windows.high, windows.low)
        np.add.at(corners, tuple(at.T), weights * (-1) ** sum(ends))
    for axis in range(len(shape)):
        np.cumsum(corners, axis, out=corners)
    return np.asarray(corners[tuple(slice(n) for n in shape)])


def box_sums(image: FloatArray, windows: Windows) -> FloatArray:
    """Sum of `image` inside each window, by its integral image."""
    integral = np.pad(image.astype(np.float64), [(1, 0)] * image.ndim)
    for axis in range(image.ndim):
        np.cumsum(integral, axis, out=integral)
    total = np.zeros(len(windows))
    for ends in itertools.product((0, 1), repeat=image.ndim):
        at = np.where(np.array(ends, bool), windows.high, windows.low)
        total += (-1) ** (image.ndim - sum(ends)) * integral[tuple(at.T)]
    return total
