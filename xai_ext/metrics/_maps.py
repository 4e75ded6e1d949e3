"""Maps that are compared with each other or judged alone: one vector of features per example."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from difflib import get_close_matches
from typing import Any, TypedDict

import numpy as np
import torch

from xai_ext._checks import InputError, InputTypeError, check_choice, check_labels
from xai_ext._types import FloatArray, IntArray
from xai_ext.metrics._adapt import Attributions, Reading, View, read, views
from xai_ext.metrics._features import Regions
from xai_ext.segmentation import relabelled


class MapOptions(TypedDict, total=False):
    """Keyword arguments of every metric that compares maps; `agreement` describes them."""

    feature_mask: Any
    map_kind: str
    channel_dim: int | None
    channel_reduce: str
    layout: str
    output: int | str | None


@dataclass(frozen=True, eq=False)
class MapReading:
    """The same with their defaults."""

    feature_mask: Any = None
    map_kind: str = "density"
    channel_dim: int | None = 1
    channel_reduce: str = "sum"
    layout: str = "channels_first"
    output: int | str | None = None

    def __post_init__(self) -> None:
        check_choice("map_kind", self.map_kind, ("density", "region"))

    @classmethod
    def of(cls, function: str, options: Mapping[str, Any]) -> "MapReading":
        known = [f.name for f in fields(cls)]
        for name in options:
            if name not in known:
                near = get_close_matches(name, known, n=1)
                hint = f"; did you mean {near[0]!r}?" if near else ""
                raise InputTypeError(f"{function}() has no argument {name!r}{hint}")
        return replace(cls(), **options)

    @property
    def reading(self) -> Reading:
        return Reading(self.channel_dim, self.channel_reduce, "signed", self.layout, self.output)


@dataclass(frozen=True, eq=False)
class ReadMap:
    """The map of one example: one array per input, channels reduced, and its features (n,)."""

    shapes: tuple[tuple[int, ...], ...]
    values: FloatArray
    is_image: bool


def read_maps(attributions: Attributions, reading: MapReading) -> list[ReadMap | None]:
    """One per example; None for a map that is not finite."""
    examples = views(attributions, None, reading.reading)
    masks = _masks(reading.feature_mask, len(examples[0]))
    return [_read(given, masks, i, len(examples), reading) for i, given in enumerate(examples)]


def vectors(attributions: Attributions, reading: MapReading) -> list[FloatArray | None]:
    """The features of each example."""
    return [None if m is None else m.values for m in read_maps(attributions, reading)]


def _read(
    given: tuple[View, ...], masks: tuple[IntArray, ...] | None, i: int, n: int, reading: MapReading
) -> ReadMap | None:
    maps = [read(view, None, reading.reading) for view in given]
    finite = [m for m in maps if m is not None]
    if len(finite) < len(maps):
        return None
    shapes, flat = tuple(m.shape for m in finite), np.concatenate([m.ravel() for m in finite])
    if masks is None:
        return ReadMap(shapes, flat, len(shapes) == 1 and len(shapes[0]) == 2)
    labels = np.concatenate([_labels(m, i, n, shape).ravel() for m, shape in zip(masks, shapes, strict=True)])
    regions = Regions(relabelled(labels))
    means = regions.means(flat)
    density = reading.map_kind == "density" or all(view.is_density for view in given)
    with np.errstate(over="ignore"):
        values = means * regions.sizes if density else means
    return ReadMap(shapes, values, False) if np.isfinite(values).all() else None


def _masks(feature_mask: Any, n_inputs: int) -> tuple[IntArray, ...] | None:
    if feature_mask is None:
        return None
    given = feature_mask if isinstance(feature_mask, tuple) else (feature_mask,)
    if len(given) != n_inputs:
        raise InputError(f"feature_mask must hold one array per input ({n_inputs}), got {len(given)}")
    return tuple(
        check_labels(m if isinstance(m, torch.Tensor) else torch.from_numpy(np.array(m))).cpu().numpy() for m in given
    )


def _labels(mask: IntArray, i: int, n: int, shape: tuple[int, ...]) -> IntArray:
    """The labels (*spatial) of one example, from (*spatial), (1 or B, *spatial) or (1 or B, C, *spatial)."""
    d = len(shape)
    fits = d <= mask.ndim <= d + 2 and mask.shape[mask.ndim - d :] == shape
    if not fits or (mask.ndim > d and len(mask) not in (1, n)):
        raise InputError(f"feature_mask must fit the maps {shape} of {n} examples, got {mask.shape}")
    one = mask if mask.ndim == d else mask[i if len(mask) > 1 else 0]
    if one.ndim == d:
        return one
    if (one != one[:1]).any():
        raise InputError("feature_mask must be the same for all channels; fix: feature_mask[:, :1]")
    return np.asarray(one[0])
