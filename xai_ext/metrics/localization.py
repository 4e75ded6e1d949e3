"""Does a map point at the object? Scores against a ground-truth mask."""

from functools import partial
from typing import Any

import numpy as np
from torch import Tensor

from xai_ext._checks import InputError, check_choice
from xai_ext.metrics._adapt import Attributions, Reading, named, unnamed
from xai_ext.metrics._chance import near, random_iou
from xai_ext.metrics._metric import metric
from xai_ext.metrics._scenes import Details, Finding, Scene, localized
from xai_ext.metrics.thresholds import Threshold, check_threshold

Scores = Tensor | Details | dict[str, Tensor | Details]


@metric(higher_is_better=True, range=(0.0, 1.0), needs=["masks"])
def iou(
    attributions: Attributions,
    masks: Tensor | np.ndarray[Any, Any],
    *,
    threshold: Threshold,
    ignore: Tensor | np.ndarray[Any, Any] | None = None,
    channel_dim: int | None = 1,
    channel_reduce: str = "sum",
    sign: str = "signed",
    layout: str = "channels_first",
    output: int | str | None = None,
    return_details: bool = False,
) -> Scores:
    """Intersection over union of the predicted region and the object.

    Parameters
    ----------
    attributions : Tensor, array, shap.Explanation, Explanation(s) or dict
        Maps (B, *spatial), or with channels (B, C, *spatial). A tuple or list of `Explanation` holds one per example;
        an explanation enters as its density map. A dict of names gives a dict of results.
    masks : bool or 0/1 array (B, *spatial)
        True on the object.
    threshold : Threshold
        What makes a map a region, such as ``FractionOfMax(0.5)``, ``Otsu()`` or ``MaskArea()``.
    ignore : bool or 0/1 array (B, *spatial), optional
        Positions that belong neither to the image nor to the object.
    channel_dim : int or None
        Where maps that have one more dimension than the masks have their channels.
    channel_reduce : {"sum", "mean", "abs_sum", "max", "max_abs"}
        The value of a position with several channels.
    sign : {"signed", "positive", "abs"}
        Use a, max(a, 0) or abs(a), after channels were joined.
    layout : {"channels_first", "channels_last"}
        Of maps that are arrays or tensors and have channels.
    output : int or str, optional
        Which output of an explanation that has several.
    return_details : bool
        Return `Details` with status, region and chance level instead of the values alone.

    Returns
    -------
    float64 Tensor (B,)
        0..1, higher is better; 0 for an empty prediction. NaN for an empty mask and for a map that is not finite.

    Raises
    ------
    InputError, InputTypeError
        Shapes that differ (see `resize_map`), masks that are not binary, more positions asked for than there are.

    Notes
    -----
    Where a rule cuts a group of tied values, each of them belongs to the region with equal probability, and the
    intersection is its expectation.

    Examples
    --------
    >>> import torch
    >>> from xai_ext.metrics import FractionOfMax, iou
    >>> saliency = torch.tensor([[[0.0, 0.6], [0.2, 1.0]]])
    >>> mask = torch.tensor([[[False, False], [False, True]]])
    >>> iou(saliency, mask, threshold=FractionOfMax(0.5))
    tensor([0.5000], dtype=torch.float64)
    """
    judge = partial(_iou, check_threshold(threshold))
    reading = Reading(channel_dim, channel_reduce, sign, layout, output)
    found = {name: localized(a, masks, ignore, reading, judge) for name, a in named(attributions).items()}
    return unnamed(attributions, {name: d if return_details else d.value for name, d in found.items()})


@metric(higher_is_better=True, range=(0.0, 1.0), needs=["masks"], label_aware=True)
def max_iou(
    attributions: Attributions,
    masks: Tensor | np.ndarray[Any, Any],
    *,
    ignore: Tensor | np.ndarray[Any, Any] | None = None,
    channel_dim: int | None = 1,
    channel_reduce: str = "sum",
    sign: str = "signed",
    layout: str = "channels_first",
    output: int | str | None = None,
    return_details: bool = False,
) -> Scores:
    """Intersection over union at the best of all thresholds: an oracle, since it needs the truth to choose.

    Parameters and errors are those of `iou`; `Details` hold the threshold, the highest of the best.

    Returns
    -------
    float64 Tensor (B,)
        0..1, higher is better; 1 exactly when some threshold separates object and rest. Tied values are never
        separated.
    """
    reading = Reading(channel_dim, channel_reduce, sign, layout, output)
    found = {name: localized(a, masks, ignore, reading, _max_iou) for name, a in named(attributions).items()}
    return unnamed(attributions, {name: d if return_details else d.value for name, d in found.items()})


@metric(higher_is_better=True, range=(0.0, 1.0), needs=["masks"])
def pointing_game(
    attributions: Attributions,
    masks: Tensor | np.ndarray[Any, Any],
    *,
    tolerance: float = 0.0,
    ties: str = "expected",
    ignore: Tensor | np.ndarray[Any, Any] | None = None,
    channel_dim: int | None = 1,
    channel_reduce: str = "sum",
    sign: str = "signed",
    layout: str = "channels_first",
    output: int | str | None = None,
    return_details: bool = False,
) -> Scores:
    """Does the most salient position fall on the object?

    Parameters and errors are those of `iou`, and:

    Parameters
    ----------
    tolerance : float, pixels
        A hit may miss the object by this Euclidean distance, inclusive. Published numbers use 15 at the size of
        the original image.
    ties : {"expected", "first", "any"}
        Of tied maxima: the share that hits; the first in raster order; whether any hits.

    Returns
    -------
    float64 Tensor (B,)
        1 hit, 0 miss, or the share of tied maxima that hit, so that a flat map scores the object's share of the
        image instead of a free 1. NaN for an empty mask and for a map that is not finite.

    References
    ----------
    .. [1] Zhang et al., "Top-down neural attention by excitation backprop", IJCV 126 (2018), sec. 4.1.

    Examples
    --------
    >>> import torch
    >>> from xai_ext.metrics import pointing_game
    >>> mask = torch.tensor([[[False, False], [False, True]]])
    >>> pointing_game(torch.ones(1, 2, 2), mask)
    tensor([0.2500], dtype=torch.float64)
    """
    judge = partial(_pointing, tolerance=_distance(tolerance), ties=check_choice("ties", ties, _TIES))
    reading = Reading(channel_dim, channel_reduce, sign, layout, output)
    found = {name: localized(a, masks, ignore, reading, judge) for name, a in named(attributions).items()}
    return unnamed(attributions, {name: d if return_details else d.value for name, d in found.items()})


_TIES = {
    "expected": lambda hits: float(hits.mean()),
    "first": lambda hits: float(hits[0]),
    "any": lambda hits: float(hits.any()),
}


def _iou(threshold: Threshold, scene: Scene) -> Finding:
    values, mask = scene.values, scene.object
    inclusion = threshold.inclusion(values, mask)
    n_true, n_predicted, n_object = inclusion[mask].sum(), inclusion.sum(), mask.sum()
    return Finding(
        value=n_true / (n_predicted + n_object - n_true),
        n_predicted=n_predicted,
        threshold=values[inclusion > 0].min() if n_predicted else np.nan,
        chance=random_iou(mask, n_predicted),
    )


def _max_iou(scene: Scene) -> Finding:
    levels, group = np.unique(scene.values, return_inverse=True)
    n_predicted = np.cumsum(np.bincount(group)[::-1])
    n_true = np.cumsum(np.bincount(group, weights=scene.object)[::-1])
    ious = n_true / (n_predicted + scene.object.sum() - n_true)
    best = int(ious.argmax())
    return Finding(ious[best], n_predicted[best], levels[::-1][best])


def _pointing(scene: Scene, tolerance: float, ties: str) -> Finding:
    hit = near(scene.mask, tolerance)[scene.counts]
    highest = scene.values.max()
    hits = hit[scene.values == highest]
    return Finding(_TIES[ties](hits), len(hits), highest, hit.mean())


def _distance(tolerance: float) -> float:
    if not tolerance >= 0:
        raise InputError(f"tolerance must be a distance in pixels of at least 0, got {tolerance!r}")
    return float(tolerance)
