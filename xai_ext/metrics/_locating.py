"""The arguments that all localisation metrics share, and the way from them to values."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from difflib import get_close_matches
from typing import Any, TypedDict

import torch
from torch import Tensor

from xai_ext._checks import InputError, InputTypeError, check_choice
from xai_ext._types import AnyArray
from xai_ext.metrics._adapt import Attributions, Reading, named, unnamed
from xai_ext.metrics._scenes import Details, Finding, Judge, Scene, boxed_masks, localized

Masks = Tensor | AnyArray | None
Scores = Tensor | Details | dict[str, Tensor | Details]


class Locating(TypedDict, total=False):
    """Keyword arguments of every localisation metric; `iou` describes them."""

    boxes: Sequence[Any] | None
    box_format: str
    ignore: Masks
    sign: str
    channel_dim: int | None
    channel_reduce: str
    layout: str
    output: int | str | None
    return_details: bool


@dataclass(frozen=True, eq=False)
class Place:
    """The same with their defaults."""

    boxes: Sequence[Any] | None = None
    box_format: str = "xyxy"
    ignore: Masks = None
    sign: str = "signed"
    channel_dim: int | None = 1
    channel_reduce: str = "sum"
    layout: str = "channels_first"
    output: int | str | None = None
    return_details: bool = False

    @classmethod
    def of(cls, function: str, options: Mapping[str, Any], **defaults: Any) -> "Place":
        known = [f.name for f in fields(cls)]
        for name in options:
            if name not in known:
                near = get_close_matches(name, known, n=1)
                hint = f"; did you mean {near[0]!r}?" if near else ""
                raise InputTypeError(f"{function}() has no argument {name!r}{hint}")
        return replace(cls(**defaults), **options)

    @property
    def reading(self) -> Reading:
        return Reading(self.channel_dim, self.channel_reduce, self.sign, self.layout, self.output)


def located(
    judge: Judge, attributions: Attributions, masks: Masks, place: Place, *, sees_empty: bool = False
) -> Scores:
    """``judge`` of every example, one value each; a mapping of maps gives a mapping of results."""
    found = details(judge, attributions, masks, place, sees_empty=sees_empty)
    return unnamed(attributions, {name: d if place.return_details else d.value for name, d in found.items()})


def details(
    judge: Judge, attributions: Attributions, masks: Masks, place: Place, *, sees_empty: bool = False
) -> dict[str, Details]:
    """The same with everything behind the values, by the name of the map."""
    found = {}
    for name, one in named(attributions).items():
        truth = _truth(masks, place, one)
        found[name] = localized(one, truth, place.ignore, place.reading, judge, sees_empty=sees_empty)
    return found


def curves(
    curve: Callable[[Scene], Tensor], attributions: Attributions, masks: Masks, place: Place
) -> Tensor | dict[str, Tensor]:
    """One curve per example (B, P): shorter ones repeat their last value, undefined ones are NaN."""
    found = {}
    for name, one in named(attributions).items():
        rows: list[Tensor] = []

        def keep(scene: Scene, rows: list[Tensor] = rows) -> Finding:
            rows.append(curve(scene))
            return Finding(value=0.0)

        result = localized(one, _truth(masks, place, one), place.ignore, place.reading, keep)
        found[name] = _stacked(rows, result.value.isnan())
    return unnamed(attributions, found)


def _stacked(rows: list[Tensor], missing: Tensor) -> Tensor:
    length = max((len(r) for r in rows), default=1)
    stacked = torch.full((len(missing), length), torch.nan, dtype=torch.float64)
    for i, row in zip((~missing).nonzero().flatten().tolist(), rows, strict=True):
        stacked[i, : len(row)], stacked[i, len(row) :] = row, row[-1]
    return stacked


def _truth(masks: Masks, place: Place, attributions: Attributions) -> Any:
    check_choice("box_format", place.box_format, ("xyxy", "xywh", "voc"))
    if (masks is None) == (place.boxes is None):
        raise InputError("exactly one of masks and boxes must be given")
    return masks if place.boxes is None else boxed_masks(place.boxes, place.box_format, attributions, place.reading)
