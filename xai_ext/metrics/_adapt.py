"""Attributions in every form that users hold, as float64 arrays over positions: one per example and input."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

import numpy as np
from torch import Tensor

from xai_ext._checks import InputError, InputTypeError, check_choice
from xai_ext._forward import on_host
from xai_ext._types import AnyArray, FloatArray
from xai_ext.explanation import Explanation
from xai_ext.metrics._shap import is_shap, output_index, shap_values

T = TypeVar("T")
Attributions = Any  # Tensor, tuple, array, shap.Explanation, Explanation(s), or a mapping of names to any of these

REDUCTIONS: dict[str, Callable[[FloatArray, int], FloatArray]] = {
    "sum": lambda a, axis: np.asarray(a.sum(axis)),
    "mean": lambda a, axis: np.asarray(a.mean(axis)),
    "abs_sum": lambda a, axis: np.asarray(np.abs(a).sum(axis)),
    "max": lambda a, axis: np.asarray(a.max(axis)),
    "max_abs": lambda a, axis: np.asarray(np.abs(a).max(axis)),
}
SIGNS: dict[str, Callable[[FloatArray], FloatArray]] = {
    "signed": lambda a: a,
    "positive": lambda a: np.maximum(a, 0.0),
    "abs": np.abs,
}


@dataclass(frozen=True)
class Reading:
    """How a map is to be read."""

    channel_dim: int | None = 1
    channel_reduce: str = "sum"
    sign: str = "signed"
    layout: str = "channels_first"
    output: int | str | None = None

    def __post_init__(self) -> None:
        check_choice("channel_reduce", self.channel_reduce, REDUCTIONS)
        check_choice("sign", self.sign, SIGNS)
        check_choice("layout", self.layout, ("channels_first", "channels_last"))

    def channel_axis(self, n_dims: int) -> int | None:
        """Where an example of ``n_dims`` dimensions, the batch not among them, has its channels."""
        dim, size = self.channel_dim, n_dims + 1
        if dim is None or n_dims < 2:
            return None
        if not -size <= dim < size or dim % size == 0:
            raise InputError(f"channel_dim must be one of 1..{n_dims} or None, got {dim}: dimension 0 is the batch")
        return dim % size - 1


@dataclass(frozen=True)
class Grid:
    """The positions of one input: what is ranked, kept and removed as one, all channels together.

    `channel_axis` is where channels stand in an array that has some, `n_channels` how many the input has, if known.
    """

    shape: tuple[int, ...]
    channel_axis: int | None = None
    n_channels: int | None = None

    @property
    def mask_shape(self) -> tuple[int, ...]:
        """`shape` with a 1 in place of the channels."""
        axis = self.channel_axis
        return self.shape if axis is None else (*self.shape[:axis], 1, *self.shape[axis:])


def grid_of(shape: tuple[int, ...], reading: Reading) -> Grid:
    """The grid of an example of this shape, channels included."""
    axis = reading.channel_axis(len(shape))
    return Grid(shape) if axis is None else Grid(shape[:axis] + shape[axis + 1 :], axis, shape[axis])


class View(NamedTuple):
    """The map of one example and input as it was given."""

    values: AnyArray
    channels_last: bool
    is_density: bool


def views(attributions: Attributions, n_inputs: int | None, reading: Reading) -> list[tuple[View, ...]]:
    """For each example one view per input (None: as many as there are); nothing is copied but from other devices."""
    given = attributions if isinstance(attributions, tuple | list) else (attributions,)
    if given and all(isinstance(a, Explanation) for a in given):
        examples = [_densities(a, reading) for a in given]
    else:
        examples = list(zip(*_same_length([_batch(a, reading) for a in given]), strict=True))
    if not examples:
        raise InputError("attributions hold no example")
    if not any(view.values.size for view in examples[0]):
        raise InputError(f"attributions hold no position, got maps of shape {examples[0][0].values.shape}")
    if n_inputs not in (None, len(examples[0])):
        raise InputError(f"attributions must hold one map per input ({n_inputs}), got {len(examples[0])}")
    return examples


def check_examples(n_maps: int, n_expected: int, what: str) -> None:
    """There must be one map per example."""
    if n_maps != n_expected:
        raise InputError(
            f"attributions hold {n_maps} examples, {what} {n_expected}; a single map needs a batch dimension: "
            "map[None] (SHAP: explanation[:1])"
        )


def read(view: View, grid: Grid | None, reading: Reading) -> FloatArray | None:
    """The map over the positions of ``grid``, channels reduced; None when it holds NaN or infinity.

    Without a grid the map's own dimensions decide: three and more, the batch not among them, include channels.
    """
    values, axis = view.values, _channel_axis(view.values.ndim, grid, reading)
    if axis is not None and view.channels_last:
        values = np.moveaxis(values, -1, axis)
    values = np.ascontiguousarray(values, dtype=np.float64)  # one memory layout: sums do not depend on the form
    if grid is not None:
        values = _on_grid(values, view, grid)
    if not np.isfinite(values).all():
        return None
    if axis is None:
        return values
    with np.errstate(over="ignore", invalid="ignore"):  # channels whose sum is too large: not finite either
        reduced = REDUCTIONS[reading.channel_reduce](values, axis)
    return reduced if np.isfinite(reduced).all() else None


def named(attributions: Attributions) -> dict[str, Attributions]:
    """The maps by name; one map alone has the name ""."""
    if not isinstance(attributions, Mapping):
        return {"": attributions}
    if not attributions:
        raise InputError("attributions must name at least one map, got an empty mapping")
    return dict(attributions)


def unnamed(attributions: Attributions, results: dict[str, T]) -> T | dict[str, T]:
    """The results in the form of the attributions: a dict for a dict, else the only one."""
    return results if isinstance(attributions, Mapping) else results[""]


def _densities(explanation: Explanation, reading: Reading) -> tuple[View, ...]:
    return tuple(View(_density(explanation, j, reading.output), False, True) for j in range(len(explanation.labels)))


def _density(explanation: Explanation, index: int, output: int | str | None) -> AnyArray:
    density, outputs = explanation.density_map(index), explanation.values.shape[1:]
    if not outputs:
        return density
    if len(outputs) > 1:
        raise InputError(f"the explanation has outputs of shape {outputs}; fix: pass density_map()[..., i, j]")
    return np.asarray(density[..., output_index(output, outputs[0])])


def _batch(attributions: Any, reading: Reading) -> list[View]:
    if is_shap(attributions):
        return [View(a, True, True) for a in shap_values(attributions, reading.output)]
    last = reading.layout == "channels_last"
    return [View(a, last, False) for a in _array(attributions)]


def _array(attributions: Any) -> AnyArray:
    if isinstance(attributions, Tensor):
        attributions = on_host(attributions)
    if not isinstance(attributions, np.ndarray):
        raise InputTypeError(
            "attributions must be a tensor, an array, a shap.Explanation, an xai_ext Explanation, a tuple with one "
            f"of these per input, or a dict of them, got {type(attributions).__name__}"
        )
    if attributions.ndim == 0 or attributions.dtype.kind not in "biuf":
        raise InputError(
            f"attributions must be numbers with a batch dimension, got {attributions.dtype} {attributions.shape}"
        )
    return attributions


def _same_length(batches: list[list[View]]) -> list[list[View]]:
    lengths = {len(b) for b in batches}
    if len(lengths) > 1:
        raise InputError(f"attributions must hold as many examples for each input, got {sorted(lengths)}")
    return batches


def _channel_axis(n_dims: int, grid: Grid | None, reading: Reading) -> int | None:
    if grid is None:
        return reading.channel_axis(n_dims) if n_dims >= 3 else None
    return grid.channel_axis if n_dims == len(grid.shape) + 1 else None


def _on_grid(values: FloatArray, view: View, grid: Grid) -> FloatArray:
    """``values`` if their shape fits; the labels of an explanation may be broadcast, such as one per column."""
    shape, axis = values.shape, grid.channel_axis
    if axis is not None and values.ndim == len(grid.shape) + 1 and shape[axis] in (1, grid.n_channels or shape[axis]):
        shape = shape[:axis] + shape[axis + 1 :]
    if shape == grid.shape:
        return values
    if view.is_density and _broadcasts(values.shape, grid.shape):
        return np.broadcast_to(values, grid.shape)
    raise InputError(_misfit(view, grid))


def _misfit(view: View, grid: Grid) -> str:
    channels = f" of an input with {grid.n_channels} channel(s)" if grid.n_channels else ""
    resize = f"; fix: xai_ext.metrics.resize_map(attributions, {grid.shape})" if len(grid.shape) == 2 else ""
    likely = not view.channels_last and view.values.ndim >= 2 and view.values.shape[-1] in (1, 3, 4)
    layout = '; an array whose last axis holds channels needs layout="channels_last"' if likely else ""
    return f"a map of shape {view.values.shape} does not fit the positions {grid.shape}{channels}{resize}{layout}"


def _broadcasts(shape: tuple[int, ...], onto: tuple[int, ...]) -> bool:
    return len(shape) <= len(onto) and all(a in (1, b) for a, b in zip(shape[::-1], onto[::-1], strict=False))
