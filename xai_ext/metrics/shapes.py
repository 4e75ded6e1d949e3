"""Bringing maps, masks and boxes to the shape of an image."""

from collections.abc import Sequence
from math import ceil
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from xai_ext._arguments import as_tensor
from xai_ext._checks import InputError, InputTypeError, check_at_least, check_choice
from xai_ext._types import FloatArray

_SMOOTH = ("bilinear", "bicubic")
_MODES = (*_SMOOTH, "area", "nearest", "nearest-exact")

Maps = TypeVar("Maps", Tensor, np.ndarray[Any, Any])


def resize_map(maps: Maps, size: Sequence[int], mode: str = "bilinear", *, align_corners: bool = False) -> Maps:
    """Maps or masks at another size.

    Parameters
    ----------
    maps : Tensor or array (B, H, W) or (B, C, H, W)
    size : (height, width)
    mode : {"bilinear", "bicubic", "area", "nearest", "nearest-exact"}
        As in ``torch.nn.functional.interpolate``. Bool masks always take the nearest pixel. State the mode with every
        score: bilinear resizing moves the maximum, bicubic resizing overshoots.
    align_corners : bool
        Corner pixels keep their values, in the smooth modes.

    Returns
    -------
    Tensor or array, as given
        Of the same dtype; integers become float64.
    """
    if isinstance(maps, np.ndarray):
        return np.asarray(resize_map(as_tensor(maps), size, mode, align_corners=align_corners).numpy())
    if not isinstance(maps, Tensor):
        raise InputTypeError(f"maps must be a tensor or an array, got {type(maps).__name__}")
    check_choice("mode", mode, _MODES)
    if maps.dim() not in (3, 4) or len(size) != 2:
        raise InputError(f"maps must be (B, H, W) or (B, C, H, W), got {tuple(maps.shape)} for size {tuple(size)}")
    size = [check_at_least("size", side, 1) for side in size]
    if not maps.numel():
        raise InputError(f"maps must not be empty, got {tuple(maps.shape)}")
    if maps.dtype == torch.bool:
        return _resized(maps.float(), size, "nearest-exact", None) > 0
    return _resized(maps.detach(), size, mode, align_corners if mode in _SMOOTH else None)


def boxes_to_mask(boxes: Sequence[Any], shape: Sequence[int], box_format: str = "xyxy") -> Tensor:
    """Masks of the union of each example's boxes.

    Parameters
    ----------
    boxes : sequence of B arrays (n, 4)
        In pixels; n may differ between examples and be 0.
    shape : (height, width)
    box_format : {"xyxy", "xywh", "voc"}
        Corners, the second one exclusive; corner and size; corners counted from 1, both inclusive.

    Returns
    -------
    bool Tensor (B, height, width)
        True on pixels whose centres lie in a box.

    Raises
    ------
    InputError
        A box is empty or leaves the image.

    Examples
    --------
    >>> boxes_to_mask([[[1, 0, 3, 1]]], (2, 3)).int()
    tensor([[[0, 1, 1],
             [0, 0, 0]]], dtype=torch.int32)
    """
    check_choice("box_format", box_format, ("xyxy", "xywh", "voc"))
    masks = torch.zeros(len(boxes), *shape, dtype=torch.bool)
    for mask, given in zip(masks, boxes, strict=True):
        for box in np.asarray(given, dtype=np.float64).reshape(-1, 4):
            x0, y0, x1, y1 = _corners(box, box_format)
            if not (0 <= x0 < x1 <= shape[1] and 0 <= y0 < y1 <= shape[0]):
                raise InputError(f"a {box_format} box must be inside {tuple(shape)} and not empty, got {box.tolist()}")
            mask[ceil(y0 - 0.5) : ceil(y1 - 0.5), ceil(x0 - 0.5) : ceil(x1 - 0.5)] = True
    return masks


def _resized(maps: Tensor, size: Sequence[int], mode: str, align_corners: bool | None) -> Tensor:
    values = maps if maps.is_floating_point() else maps.double()
    images = values if values.dim() == 4 else values[:, None]
    resized = interpolate(images, tuple(size), mode=mode, align_corners=align_corners)
    return resized if values.dim() == 4 else resized[:, 0]


def _corners(box: FloatArray, box_format: str) -> tuple[float, float, float, float]:
    """Half-open corners in 0-based pixels."""
    a, b, c, d = (float(v) for v in box)
    if box_format == "xywh":
        return a, b, a + c, b + d
    return (a - 1, b - 1, c, d) if box_format == "voc" else (a, b, c, d)
