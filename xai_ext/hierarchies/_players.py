"""Players on the pixel grid."""

from typing import Any

import numpy as np
from torch import Tensor

from xai_ext._checks import InputError
from xai_ext._types import AnyArray, IntArray

_FIX = "fix: labels = xai_ext.segmentation.relabelled(labels)"


def check_players(labels: Any, shape: tuple[int, ...]) -> IntArray:
    """int64 labels (H, W), the players 0..n-1 without gaps."""
    array = np.asarray(labels.cpu() if isinstance(labels, Tensor) else labels)
    if array.dtype.kind not in "iu":
        raise InputError(f"labels must be integers, got {array.dtype}; {_FIX}")
    if array.shape != tuple(shape):
        raise InputError(f"labels must have the image's shape (H, W) = {tuple(shape)}, got {array.shape}")
    present = np.unique(array)
    if present[0] != 0 or present[-1] != len(present) - 1:
        raise InputError(
            f"labels must number the players 0..n-1 without gaps, got {len(present)} ids from {present[0]} to "
            f"{present[-1]}; {_FIX}"
        )
    return array.astype(np.int64)


def raster_blocks(shape: tuple[int, ...], side: int) -> list[AnyArray]:
    """The pixels 0..H*W-1 in squares of at most ``side`` x ``side``, row by row, as int32."""
    pixels = np.arange(shape[0] * shape[1], dtype=np.int32).reshape(shape)
    corners = [(y, x) for y in range(0, shape[0], side) for x in range(0, shape[1], side)]
    return [pixels[y : y + side, x : x + side].ravel() for y, x in corners]
