"""Overlap over all regions that a map can give: its curve, its area and its best point."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Unpack

import numpy as np
import torch
from torch import Tensor

from xai_ext._checks import InputError, check_choice
from xai_ext._types import AnyArray, FloatArray
from xai_ext.metrics._adapt import Attributions
from xai_ext.metrics._locating import Locating, Masks, Place, Scores, curves, located
from xai_ext.metrics._metric import metric
from xai_ext.metrics._scenes import Finding, Scene

Curve = Callable[[Scene], FloatArray]
_TIES = ("expected", "stable")


def iou_curve(
    attributions: Attributions,
    masks: Masks = None,
    *,
    ties: str = "expected",
    compat: str | None = None,
    **options: Unpack[Locating],
) -> Tensor | dict[str, Tensor]:
    """Intersection over union of the k highest positions with the object, at k = 0..N.

    Parameters and errors are those of `iou`, and:

    Parameters
    ----------
    ties : {"expected", "stable"}
        A cut group of ties gives its expected intersection; or the lower index first.
    compat : {"shapbpt"}, optional
        The published computation of ShapBPT: noise of 1e-9 breaks ties, and the region of i + 1 positions is counted
        as i, so that values can exceed 1. N points instead of N + 1. For reproduction only.

    Returns
    -------
    float64 Tensor (B, N + 1)
        Curves with fewer positions, because some are ignored, repeat their last value.
    """
    rule = _rule(ties, compat)
    return curves(lambda s: torch.from_numpy(rule(s)), attributions, masks, Place.of("iou_curve", options))


@metric(higher_is_better=True, range=(0.0, 1.0), needs=["masks"])
def au_iou(
    attributions: Attributions,
    masks: Masks = None,
    *,
    ties: str = "expected",
    normalized: bool = False,
    compat: str | None = None,
    **options: Unpack[Locating],
) -> Scores:
    """Area under the curve of intersection over union against the share of positions predicted.

    Parameters and errors are those of `iou_curve`, and:

    Parameters
    ----------
    normalized : bool
        Divide by the area of a perfect map, which depends on the size of the object.

    Returns
    -------
    float64 Tensor (B,)
        0..1, higher is better.
    """
    if normalized and compat is not None:
        raise InputError(f'compat="{compat}" was published without normalisation; fix: normalized=False')
    judge = partial(_area, _rule(ties, compat), normalized)
    return located(judge, attributions, masks, Place.of("au_iou", options))


@metric(higher_is_better=True, range=(0.0, 1.0), needs=["masks"], label_aware=True)
def max_iou(
    attributions: Attributions,
    masks: Masks = None,
    *,
    return_threshold: bool = False,
    compat: str | None = None,
    **options: Unpack[Locating],
) -> Scores | tuple[Tensor, Tensor] | dict[str, tuple[Tensor, Tensor]]:
    """Intersection over union at the best of all thresholds: an oracle, since it needs the truth to choose.

    Parameters and errors are those of `iou`, and:

    Parameters
    ----------
    return_threshold : bool
        Return the values and the thresholds, the highest of the best; `Details` hold it too.
    compat : {"shapbpt"}, optional
        See `iou_curve`.

    Returns
    -------
    float64 Tensor (B,)
        0..1, higher is better; 1 exactly when some threshold separates object and rest. Tied values are never
        separated.
    """
    place = Place.of("max_iou", options)
    place = replace(place, return_details=place.return_details or return_threshold)
    judge = _best if compat is None else partial(_best_of_curve, _rule("expected", compat))
    found = located(judge, attributions, masks, place)
    if not return_threshold:
        return found
    if isinstance(found, dict):
        return {name: (d.value, d.threshold) for name, d in found.items()}  # type: ignore[union-attr]
    return found.value, found.threshold  # type: ignore[union-attr]


def _rule(ties: str, compat: str | None) -> Curve:
    check_choice("ties", ties, _TIES)
    if compat is None:
        return partial(_curve, ties)
    check_choice("compat", compat, ("shapbpt",))
    return _published


def _curve(ties: str, scene: Scene) -> FloatArray:
    """IoU at k = 0..N."""
    k = np.arange(len(scene.values) + 1)
    return _ious(_true_positives(scene, ties), k, int(scene.object.sum()))


def _ious(n_true: AnyArray, k: AnyArray, n_object: int) -> FloatArray:
    with np.errstate(divide="ignore"):
        return np.asarray(n_true / (k + n_object - n_true))


def _true_positives(scene: Scene, ties: str) -> FloatArray:
    if ties == "stable":
        order = np.argsort(-scene.values, kind="stable")
        return np.append(0.0, np.cumsum(scene.object[order], dtype=np.float64))
    _, n_predicted, n_true = _groups(scene)
    return np.asarray(np.interp(np.arange(len(scene.values) + 1), np.append(0, n_predicted), np.append(0.0, n_true)))


def _groups(scene: Scene) -> tuple[AnyArray, AnyArray, AnyArray]:
    """Distinct values, descending, and predicted and true positions at each."""
    levels, group = np.unique(scene.values, return_inverse=True)
    n_predicted = np.cumsum(np.bincount(group)[::-1])
    return levels[::-1], n_predicted, np.cumsum(np.bincount(group, weights=scene.object)[::-1])


def _published(scene: Scene) -> FloatArray:
    noise = np.random.default_rng(12345).normal(0.0, 1e-9, len(scene.values))
    order = np.argsort(-(scene.values + noise))
    n_true = np.cumsum(scene.object[order], dtype=np.float64)
    return _ious(n_true, np.arange(len(order)), int(scene.object.sum()))


def _area(rule: Curve, normalized: bool, scene: Scene) -> Finding:
    n, n_object = len(scene.values), int(scene.object.sum())
    k = np.arange(n + 1)
    curve = rule(scene)
    chance = float(np.trapezoid(_ious(k * n_object / n, k, n_object))) / n
    area = float(np.trapezoid(curve)) / n
    best = float(np.trapezoid(_ious(np.minimum(k, n_object), k, n_object))) / n if normalized else 1.0
    return Finding(value=area / best, chance=chance / best)


def _best(scene: Scene) -> Finding:
    levels, n_predicted, n_true = _groups(scene)
    ious = _ious(n_true, n_predicted, int(scene.object.sum()))
    best = int(ious.argmax())
    return Finding(ious[best], n_predicted[best], levels[best])


def _best_of_curve(rule: Curve, scene: Scene) -> Finding:
    curve = rule(scene)
    best = int(curve.argmax())
    return Finding(curve[best], best)
