"""Does a map point at the object? Overlap of a predicted region with the truth."""

from collections.abc import Callable
from functools import partial
from typing import Unpack

import numpy as np

from xai_ext._checks import check_positive
from xai_ext.metrics._adapt import Attributions
from xai_ext.metrics._chance import random_overlap
from xai_ext.metrics._locating import Locating, Masks, Place, Scores, located
from xai_ext.metrics._metric import metric
from xai_ext.metrics._scenes import Finding, Scene
from xai_ext.metrics.thresholds import Threshold, check_threshold

_UNIT = (0.0, 1.0)


@metric(higher_is_better=True, range=_UNIT, needs=["masks"])
def iou(
    attributions: Attributions, masks: Masks = None, *, threshold: Threshold, **options: Unpack[Locating]
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
    boxes : sequence of B arrays (n, 4), optional
        Instead of `masks`: the object is the union of an example's boxes, in the pixels of the map.
    box_format : {"xyxy", "xywh", "voc"}
        See `boxes_to_mask`.
    ignore : bool or 0/1 array (B, *spatial), optional
        Positions that belong neither to the image nor to the object.
    sign : {"signed", "positive", "abs"}
        Use a, max(a, 0) or abs(a), after channels were joined.
    channel_dim : int or None
        Where maps that have one more dimension than the masks have their channels.
    channel_reduce : {"sum", "mean", "abs_sum", "max", "max_abs"}
        The value of a position with several channels.
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
        Shapes that differ (see `resize_map`), masks that are not binary, more positions asked for than there are,
        masks and boxes both or neither.

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
    return _overlap("iou", _iou, attributions, masks, threshold, options)


@metric(higher_is_better=True, range=_UNIT, needs=["masks"])
def f_score(
    attributions: Attributions,
    masks: Masks = None,
    *,
    threshold: Threshold,
    beta2: float = 1.0,
    **options: Unpack[Locating],
) -> Scores:
    """F-score of the predicted region: (1 + beta2) P R / (beta2 P + R), of the foreground.

    Parameters and errors are those of `iou`, and:

    Parameters
    ----------
    beta2 : float
        Square of the weight of recall; 1 is the harmonic mean, 0.3 is usual for salient objects.

    Returns
    -------
    float64 Tensor (B,)
        0..1, higher is better; 0 for an empty prediction.
    """
    return _overlap(
        "f_score", partial(_f_score, check_positive("beta2", beta2)), attributions, masks, threshold, options
    )


@metric(higher_is_better=True, range=_UNIT, needs=["masks"])
def precision(
    attributions: Attributions, masks: Masks = None, *, threshold: Threshold, **options: Unpack[Locating]
) -> Scores:
    """Share of the predicted region that lies on the object; with `TopK` the top-k intersection.

    Parameters and errors are those of `iou`.

    Returns
    -------
    float64 Tensor (B,)
        0..1, higher is better; NaN for an empty prediction.
    """
    return _overlap("precision", _precision, attributions, masks, threshold, options)


@metric(higher_is_better=True, range=_UNIT, needs=["masks"])
def recall(
    attributions: Attributions, masks: Masks = None, *, threshold: Threshold, **options: Unpack[Locating]
) -> Scores:
    """Share of the object that was predicted.

    Parameters and errors are those of `iou`.

    Returns
    -------
    float64 Tensor (B,)
        0..1, higher is better; 0 for an empty prediction.
    """
    return _overlap("recall", _recall, attributions, masks, threshold, options)


Ratio = Callable[[float, float, float], float]  # of true positives, predicted and object positions


def _iou(n_true: float, n_predicted: float, n_object: float) -> float:
    return n_true / (n_predicted + n_object - n_true)


def _f_score(beta2: float, n_true: float, n_predicted: float, n_object: float) -> float:
    return (1 + beta2) * n_true / (n_predicted + beta2 * n_object)


def _precision(n_true: float, n_predicted: float, n_object: float) -> float:
    return n_true / n_predicted if n_predicted else np.nan


def _recall(n_true: float, n_predicted: float, n_object: float) -> float:
    return n_true / n_object


def _overlap(
    name: str, ratio: Ratio, attributions: Attributions, masks: Masks, threshold: Threshold, options: Locating
) -> Scores:
    judge = partial(_found, ratio, check_threshold(threshold))
    return located(judge, attributions, masks, Place.of(name, options))


def _found(ratio: Ratio, threshold: Threshold, scene: Scene) -> Finding:
    values, mask = scene.values, scene.object
    inclusion = threshold.inclusion(values, mask)
    n_true, n_predicted, n_object = float(inclusion[mask].sum()), float(inclusion.sum()), float(mask.sum())
    return Finding(
        value=ratio(n_true, n_predicted, n_object),
        n_predicted=n_predicted,
        threshold=values[inclusion > 0].min() if n_predicted else np.nan,
        chance=random_overlap(ratio, mask, n_predicted),
    )
