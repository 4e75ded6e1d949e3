"""Which elements of an input are masked together: its positions."""

import numpy as np
from torch import Tensor

from xai_ext._checks import InputError
from xai_ext._types import IntArray

Shape = tuple[int, ...]


def spatial_shapes(inputs: tuple[Tensor, ...], spatial_dims: int | None = None) -> tuple[Shape, ...]:
    """The shape of each input's positions; what lies between the batch dimension and them are channels.

    Dimensions 2 and following by default; an input (1, F) has F scalars as positions.
    """
    return tuple(_spatial_shape(x, spatial_dims) for x in inputs)


def has_geometry(x: Tensor, spatial_dims: int | None = None) -> bool:
    """Do neighbouring positions of this input belong together? Not in a row of scalars."""
    return bool(x.numel()) and (x.dim() >= 3 or spatial_dims is not None)


def position_labels(shapes: tuple[Shape, ...]) -> tuple[IntArray, ...]:
    """Every position its own number, running on through the inputs."""
    sizes = [int(np.prod(s)) for s in shapes]
    starts = np.cumsum([0, *sizes])
    return tuple(
        np.arange(a, a + n, dtype=np.int64).reshape(s) for a, n, s in zip(starts[:-1], sizes, shapes, strict=True)
    )


def _spatial_shape(x: Tensor, spatial_dims: int | None) -> Shape:
    if not x.numel():
        return (0,)
    if x.dim() == 1:
        raise InputError(
            f"inputs need positions behind the batch dimension, got shape {tuple(x.shape)}; fix: x[:, None]"
        )
    if spatial_dims is None:
        return tuple(x.shape[2:]) if x.dim() >= 3 else tuple(x.shape[1:])
    if not 1 <= spatial_dims <= x.dim() - 1:
        raise InputError(
            f"spatial_dims must lie between 1 and {x.dim() - 1} for an input of shape {tuple(x.shape)}, "
            f"got {spatial_dims}"
        )
    return tuple(x.shape[x.dim() - spatial_dims :])
