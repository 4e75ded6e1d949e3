"""Long-range spatial attention: which positions belong together, so that evidence for one is evidence for all."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from scipy.special import softmax
from torch import Tensor, nn

from xai_ext._checks import InputError, check_choice
from xai_ext._types import FloatArray
from xai_ext.game import MaskedModel
from xai_ext.methods._cells import area_average
from xai_ext.methods._features import sampled_features
from xai_ext.methods._positions import Shape
from xai_ext.methods._windows import Windows

_CELLS = 784
_LEAST_OUTPUTS = 10
_RADIUS = 0.18  # of the image, where likeness of colour fades
_LEAST_NEIGHBOURS = 1.5


@dataclass(frozen=True)
class Attention:
    """How regions are found that resemble those that matter; steers which windows are hidden next.

    Parameters
    ----------
    source : {"features", "image", "responses"} or callable
        Activations of a torch module; colours and places of the input; how all outputs (10 or more) respond to
        the first level's windows; a function of the input that returns features (n, D) or (D, *grid).
    weight : float in [0, 1]
        Of the map itself against the attended map; 1 switches attention off.
    neighbours : float
        Share of the cells that a cell attends to on average.
    cells : int, optional
        Per axis; None: about 784 in all (28 x 28).
    layers : tuple of str or Module, optional
        Whose activations are used; None: the last of each of the four finest spatial sizes.
    smooth_output : bool
        Return the steering map instead of the map; the standard error remains that of the map.
    """

    source: Literal["features", "image", "responses"] | Callable[[Tensor], Any]
    weight: float = 0.5
    neighbours: float = 0.05
    cells: int | None = None
    layers: tuple[str | nn.Module, ...] | None = None
    smooth_output: bool = False

    def __post_init__(self) -> None:
        if not callable(self.source):
            check_choice("source", self.source, ("features", "image", "responses"))
        if not 0 <= self.weight <= 1:
            raise InputError(f"weight must lie in [0, 1], got {self.weight}")
        if not 0 < self.neighbours <= 1:
            raise InputError(f"neighbours must lie in (0, 1], got {self.neighbours}")

    def grid(self, shape: Shape) -> Shape:
        """Cells per axis."""
        wanted = self.cells or int(_CELLS ** (1 / len(shape)) + 1e-9)
        return tuple(min(n, wanted) for n in shape)


@dataclass(frozen=True, eq=False)
class Attended:
    """An attention matrix on a grid.

    Attributes
    ----------
    matrix : array (n, n)
        Rows sum to 1.
    temperature, n_effective : float
        Of its softmax; mean exponential entropy of its rows.
    """

    matrix: FloatArray
    temperature: float
    n_effective: float
    grid: Shape

    def __call__(self, image: FloatArray) -> FloatArray:
        """The image, pooled, attended and interpolated."""
        pooled = along_axes(image, [area_average(n, g) for n, g in zip(image.shape, self.grid, strict=True)])
        attended = (self.matrix @ pooled.ravel()).reshape(self.grid)
        return along_axes(attended, [_linear(g, n) for n, g in zip(image.shape, self.grid, strict=True)])


def along_axes(image: FloatArray, matrices: list[FloatArray]) -> FloatArray:
    """Multiply the leading axes of an image by one matrix each."""
    for axis, matrix in enumerate(matrices):
        image = np.moveaxis(np.tensordot(matrix, image, (1, axis)), 0, axis)
    return np.asarray(image)


def calibrated(similarity: FloatArray, grid: Shape, neighbours: float) -> Attended | None:
    """Softmax over rows, as sharp as the wanted number of neighbours asks; None if no sharpness gives it."""
    target = max(_LEAST_NEIGHBOURS, neighbours * len(similarity))
    low, high = np.log(1e-3), np.log(1e3)
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if _neighbours(similarity, np.exp(middle)) < target else (low, middle)
    temperature = float(np.exp((low + high) / 2))
    reached = _neighbours(similarity, temperature)
    if abs(reached / target - 1) > 0.02:
        warnings.warn(
            f"attention is switched off: cells attend to {reached:.1f} others at any sharpness, wanted {target:.1f}",
            stacklevel=2,
        )
        return None
    return Attended(softmax(similarity / temperature, axis=1), temperature, reached, grid)


def _neighbours(similarity: FloatArray, temperature: float) -> float:
    rows = softmax(similarity / temperature, axis=1)
    return float(np.exp(-(rows * np.log(np.maximum(rows, 1e-300))).sum(1)).mean())


def similarity(
    attention: Attention, masked: MaskedModel, shape: Shape, first: tuple[Windows, FloatArray]
) -> FloatArray:
    """Likeness (n, n) of the cells of the grid.

    Parameters
    ----------
    first : windows of the first level and their drops (k, n_outputs)
    """
    grid, x = attention.grid(shape), masked.inputs[0]
    if callable(attention.source):
        return _cosine(_given(attention.source(x), grid))
    if attention.source == "image":
        return _likeness(x, shape, grid)
    if attention.source == "responses":
        return _cosine(_responses(*first, shape, grid))
    taps = [_cells_of(tap, grid) for tap in sampled_features(masked, attention.layers, len(shape))]
    return np.asarray(sum(_cosine(tap) for tap in taps) / len(taps))


def _cells_of(tap: FloatArray, grid: Shape) -> FloatArray:
    """Features (C, *size) at the cells of the grid, (n, C)."""
    resized = along_axes(np.moveaxis(tap, 0, -1), [_linear(m, g) for m, g in zip(tap.shape[1:], grid, strict=True)])
    return np.asarray(resized.reshape(-1, len(tap)))


def _cosine(features: FloatArray) -> FloatArray:
    centred = features - features.mean(0)
    length = np.linalg.norm(centred, axis=1, keepdims=True)
    unit = np.divide(centred, length, out=np.zeros_like(centred), where=length > 0)
    return np.asarray(unit @ unit.T)


def _likeness(x: Tensor, shape: Shape, grid: Shape) -> FloatArray:
    """Distance of colours, in standard deviations, and of places."""
    channels = x[0].detach().cpu().double().numpy().reshape(-1, *shape)
    pool = [area_average(n, g) for n, g in zip(shape, grid, strict=True)]
    z = np.stack([along_axes(c, pool).ravel() for c in channels], 1)
    spread = z.std(0)
    z = np.divide(z - z.mean(0), spread, out=np.zeros_like(z), where=spread > 0)
    place = np.stack([a.ravel() for a in np.meshgrid(*((np.arange(g) + 0.5) / g for g in grid), indexing="ij")], 1)
    return np.asarray(-(_distances(z) / z.shape[1] + _distances(place) / _RADIUS**2) / 2)


def _distances(rows: FloatArray) -> FloatArray:
    square = (rows**2).sum(1)
    return np.asarray(np.maximum(square[:, None] + square - 2 * rows @ rows.T, 0))


def _responses(windows: Windows, drops: FloatArray, shape: Shape, grid: Shape) -> FloatArray:
    """Mean drop of each output over the windows at each cell."""
    if drops.shape[1] < _LEAST_OUTPUTS:
        raise InputError(
            f"attention from responses needs at least {_LEAST_OUTPUTS} outputs, got {drops.shape[1]}; "
            "fix: attention='image', or explain without a target"
        )
    pool = [area_average(n, g) for n, g in zip(shape, grid, strict=True)]
    keep = windows.keep(slice(None), shape, torch.device("cpu"))
    hidden = np.stack([along_axes((~k).double().numpy(), pool).ravel() for k in keep], 1)  # (n, windows)
    spread = drops.std(0)
    scaled = drops[:, spread > 0] / spread[spread > 0]
    return np.asarray(hidden @ scaled / hidden.sum(1, keepdims=True))


def _given(features: Any, grid: Shape) -> FloatArray:
    array = np.asarray(features.detach().cpu() if isinstance(features, Tensor) else features, np.float64)
    if array.ndim == len(grid) + 1:
        return _cells_of(array, grid)
    if array.ndim != 2 or len(array) != np.prod(grid):
        raise InputError(
            f"an attention source must return features ({int(np.prod(grid))}, D) or (D, *grid), got {array.shape}"
        )
    return array


def _linear(size: int, places: int) -> FloatArray:
    """The matrix (places, size) of linear interpolation, edges continued."""
    at = np.clip((np.arange(places) + 0.5) * size / places - 0.5, 0, size - 1)
    left = np.minimum(at.astype(int), max(size - 2, 0))
    matrix = np.zeros((places, size))
    rows = np.arange(places)
    np.add.at(matrix, (rows, left), 1 - (at - left))
    np.add.at(matrix, (rows, np.minimum(left + 1, size - 1)), at - left)
    return matrix
