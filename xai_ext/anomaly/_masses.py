"""Masks of images, and the evidence inside of them."""

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from xai_ext._checks import InputError
from xai_ext._forward import on_host
from xai_ext._types import BoolArray, FloatArray
from xai_ext.anomaly._output import check_samples
from xai_ext.anomaly.reducers import Max
from xai_ext.anomaly.scores import AnomalyScore


def mass_above(score: AnomalyScore, x: Tensor, masks: BoolArray) -> FloatArray:
    """Share of the closed form above the threshold inside of each mask (N, H, W)."""
    nothing = np.full(len(x), np.nan)
    if not isinstance(score.reduce, Max):
        return nothing
    try:
        explained = score.closed_form(x, above_threshold=True)
    except InputError:  # a smoothed map, or none
        return nothing
    maps = [e.region_map() for e in explained]
    inside = [np.asarray(nearest(m, maps[0].shape)) for m in masks]
    return np.array([_share(m, i) for m, i in zip(maps, inside, strict=True)])


def _share(values: FloatArray, inside: BoolArray) -> float:
    total = float(values.sum())
    return float(values[inside].sum()) / total if total > 0 else np.nan


def nearest(mask: BoolArray, shape: tuple[int, ...]) -> BoolArray:
    if mask.shape == shape:
        return mask
    resized = interpolate(torch.from_numpy(mask[None, None].astype(np.float32)), shape, mode="nearest-exact")
    return np.asarray(resized[0, 0].numpy() > 0)


def as_masks(mask: Any, x: Tensor) -> BoolArray:
    array = on_host(mask)
    array = array[None] if array.ndim == 2 else array
    if check_samples(x).dim() != 4 or array.shape != (len(x), *x.shape[2:]) or not np.isin(array, (0, 1)).all():
        raise InputError(
            f"mask must be bool or 0/1 of the images' shape {(len(x), *x.shape[2:])}, got {array.dtype} {array.shape}; "
            "fix: xai_ext.metrics.resize_map(mask, size), which takes the nearest pixel of bool masks"
        )
    return array.astype(bool)
