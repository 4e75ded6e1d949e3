"""Image -> the channels, in units 0..255, in which the trees measure colour."""

from typing import Any

import numpy as np

from xai_ext._checks import InputError, check_choice
from xai_ext._forward import on_host
from xai_ext._types import AnyArray, FloatArray
from xai_ext.segmentation import Image, _by_range, channels_last

_LAB_OFFSET = np.array([0.0, 128.0, 128.0])
_LAB_SCALE = np.array([255 / 100, 255 / 256, 255 / 256])
_LARGEST = float(np.finfo(np.float32).max)
_FLOAT32_SLACK = 1e-4  # 255 * (byte / 255 in float32) is within 2e-5 of the byte


def channels(image: Image, color: str = "auto", *, quantize: bool = True, extra: Any = None) -> AnyArray:
    """(H, W, C) float32; `quantize` clips to 0..255 and truncates to whole numbers.

    Parameters
    ----------
    image : Tensor (C, H, W) or (1, C, H, W), or array (H, W) or (H, W, C)
    color : {"auto", "rgb", "raw"}
        CIE Lab for three channels; no Lab; the values as they are.
    extra : array (H, W) or (H, W, E), optional
        Further channels, units 0..255.
    """
    array = channels_last(image)
    if 0 in array.shape:
        raise InputError(f"image must have at least one pixel and one channel, got (H, W, C) = {array.shape}")
    scaled = in_bytes(_finite("image", array), array.dtype, check_choice("color", color, ("auto", "rgb", "raw")))
    if extra is not None:
        scaled = np.concatenate([scaled, _extra(extra, array.shape[:2])], axis=2)
    if quantize:
        scaled = np.trunc(np.clip(scaled, 0, 255))
    if np.abs(scaled).max() > _LARGEST:
        raise InputError(
            f"values of color='raw' and extra must be at most {_LARGEST:.1e}, got {np.abs(scaled).max():.1e}; "
            "fix: scale them to about 0..255"
        )
    return np.ascontiguousarray(scaled, dtype=np.float32)


def in_bytes(values: FloatArray, dtype: np.dtype[Any], color: str) -> FloatArray:
    """Finite values (H, W, C) as colours in units 0..255; `dtype` is that of the image they come from."""
    if color == "raw":
        return values
    unit = _unit(values, dtype)
    if color == "rgb" or values.shape[2] != 3:
        return np.asarray(255 * unit)
    from skimage.color import rgb2lab

    return np.asarray((rgb2lab(unit) + _LAB_OFFSET) * _LAB_SCALE)


def _unit(values: FloatArray, dtype: np.dtype[Any]) -> FloatArray:
    """Values in 0..1: bytes and floats that look like an image by their meaning, anything else by its range."""
    low, high = values.min(), values.max()
    if dtype == np.uint8:
        return values / 255
    if dtype.kind == "f" and low >= 0 and high <= 255:
        return _unrounded(values if high <= 1 else values / 255)
    return _by_range(values)


def _unrounded(unit: FloatArray) -> FloatArray:
    """Bytes divided by 255 in float32 as in float64, so that truncation to whole numbers finds the same ones."""
    whole = np.rint(255 * unit)
    return whole / 255 if np.abs(255 * unit - whole).max() < _FLOAT32_SLACK else unit


def _extra(extra: Any, shape: tuple[int, ...]) -> FloatArray:
    array = on_host(extra)
    if array.ndim not in (2, 3) or array.shape[:2] != shape:
        raise InputError(f"extra must be (H, W) or (H, W, E) with the image's (H, W) = {shape}, got {array.shape}")
    return _finite("extra", array).reshape(*shape, -1)


def _finite(name: str, array: AnyArray) -> FloatArray:
    values = array.astype(np.float64)
    if not np.isfinite(values).all():
        raise InputError(f"{name} holds NaN or infinite values: no tree can be built; fix: numpy.nan_to_num({name})")
    return values
