"""Localisation metrics, one example at a time: a map, an object, and the positions that count."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from xai_ext._checks import InputError, InputTypeError
from xai_ext._forward import on_host
from xai_ext._types import BoolArray, FloatArray
from xai_ext.metrics._adapt import SIGNS, Attributions, Grid, Reading, check_examples, read, views
from xai_ext.metrics._metric import Status
from xai_ext.metrics.shapes import boxes_to_mask


@dataclass(frozen=True, eq=False)
class Scene:
    """One example.

    Attributes
    ----------
    saliency : array (*spatial)
    mask : bool array (*spatial)
        True on the object; never on positions that do not count.
    counts : bool array (*spatial)
        False on ignored positions.
    """

    saliency: FloatArray
    mask: BoolArray
    counts: BoolArray

    @property
    def values(self) -> FloatArray:
        """(N,): the map where positions count."""
        return self.saliency[self.counts]

    @property
    def object(self) -> BoolArray:
        """(N,): the mask where positions count."""
        return self.mask[self.counts]


class Finding(NamedTuple):
    """What a metric says about one scene."""

    value: float = np.nan
    n_predicted: float = np.nan
    threshold: float = np.nan
    chance: float = np.nan


Judge = Callable[[Scene], Finding]


@dataclass(frozen=True, eq=False)
class Details:
    """Values of B examples and what stands behind them; all float64 tensors (B,) but the int8 status.

    Attributes
    ----------
    value : Tensor
        NaN where undefined.
    status : Tensor
        `Status` of each value.
    n_predicted : Tensor
        Positions in the prediction.
    threshold : Tensor
        The lowest value in the prediction; NaN for an empty one.
    chance : Tensor
        What a random map would reach with as many predicted positions; NaN where no closed form exists.
    """

    value: Tensor
    status: Tensor
    n_predicted: Tensor
    threshold: Tensor
    chance: Tensor


def localized(
    attributions: Attributions, masks: Any, ignore: Any, reading: Reading, judge: Judge, *, sees_empty: bool = False
) -> Details:
    """``judge`` of every scene that has a finite map and, unless it ``sees_empty``, an object."""
    findings, status = [], []
    for scene in _scenes(attributions, masks, ignore, reading):
        state = _status(scene)
        undefined = state == Status.NON_FINITE or (state == Status.EMPTY_MASK and not sees_empty)
        finding = Finding() if scene is None or undefined else judge(scene)
        nothing = state == Status.OK and np.isnan(finding.value)
        status.append(Status.EMPTY_PREDICTION if nothing else state)
        findings.append(finding)
    columns = torch.tensor(findings, dtype=torch.float64).T.contiguous()
    named = dict(zip(Finding._fields, columns, strict=True))
    return Details(status=torch.tensor(status, dtype=torch.int8), **named)


def boxed_masks(boxes: Any, box_format: str, attributions: Attributions, reading: Reading) -> Tensor:
    """The masks of boxes on the positions of the maps, which must be images."""
    (view,) = views(attributions, 1, reading)[0]
    shape = view.values.shape
    if view.channels_last and len(shape) == 3:
        shape = shape[:2]
    if len(shape) < 2:
        raise InputError(f"boxes are for images, maps (B, H, W), got maps of shape {shape}; fix: masks=")
    return boxes_to_mask(boxes, shape[-2:], box_format)


def as_masks(name: str, masks: Any) -> BoolArray:
    """A batch of masks (B, *spatial) as a bool array; a channel dimension of size 1 is dropped."""
    array = on_host(masks) if isinstance(masks, Tensor) else masks
    if not isinstance(array, np.ndarray):
        raise InputTypeError(f"{name} must be a tensor or an array, got {type(masks).__name__}")
    if array.dtype != np.bool_ and not np.isin(array, (0, 1)).all():
        raise InputError(f"{name} must be bool or hold only 0 and 1, got {array.dtype} up to {array.max()}; fix: > 0")
    if array.ndim >= 4 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim < 3:
        raise InputError(f"{name} must have a batch and two spatial dimensions, got {array.shape}; fix: {name}[None]")
    return array.astype(np.bool_)


def as_positions(ignore: Any, masks: BoolArray) -> BoolArray:
    """Which positions count: all but the ignored ones."""
    if ignore is None:
        return np.ones_like(masks)
    ignored = as_masks("ignore", ignore)
    if ignored.shape != masks.shape:
        raise InputError(f"ignore must have the shape of the masks {masks.shape}, got {ignored.shape}")
    return ~ignored


def _scenes(attributions: Attributions, masks: Any, ignore: Any, reading: Reading) -> Iterator[Scene | None]:
    objects = as_masks("masks", masks)
    counts = as_positions(ignore, objects)
    grid = Grid(objects.shape[1:], reading.channel_axis(objects.ndim))
    given = views(attributions, 1, reading)
    check_examples(len(given), len(objects), "masks")
    for (view,), mask, counted in zip(given, objects, counts, strict=True):
        saliency = read(view, grid, reading)
        yield None if saliency is None else Scene(SIGNS[reading.sign](saliency), mask & counted, counted)


def _status(scene: Scene | None) -> Status:
    if scene is None:
        return Status.NON_FINITE
    values, mask = scene.values, scene.object
    if not mask.any():
        return Status.EMPTY_MASK
    if values.min() == values.max():
        return Status.CONSTANT
    return Status.FULL_MASK if mask.all() else Status.OK
