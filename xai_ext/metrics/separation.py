"""Do the values on the object rank above the rest? No threshold is chosen."""

from typing import Unpack

import numpy as np

from xai_ext.metrics._adapt import Attributions
from xai_ext.metrics._locating import Locating, Masks, Place, Scores, located
from xai_ext.metrics._metric import metric
from xai_ext.metrics._ranking import inclusion_probability
from xai_ext.metrics._scenes import Finding, Scene


@metric(higher_is_better=True, range=(0.0, 1.0), needs=["masks"])
def rank_accuracy(attributions: Attributions, masks: Masks = None, **options: Unpack[Locating]) -> Scores:
    """Share of the object among as many of the highest positions as the object has.

    Parameters and errors are those of `iou`, without a threshold. Ties are broken at random, and the expectation
    is returned.

    Returns
    -------
    float64 Tensor (B,)
        0..1, higher is better.

    References
    ----------
    .. [1] Arras, Osman, Samek, "CLEVR-XAI", Information Fusion 81 (2022), sec. 3.3: relevance rank accuracy.
    """
    return located(_rank_accuracy, attributions, masks, Place.of("rank_accuracy", options))


@metric(higher_is_better=True, range=(0.0, 1.0), needs=["masks"])
def roc_auc(attributions: Attributions, masks: Masks = None, **options: Unpack[Locating]) -> Scores:
    """How likely is a position of the object ranked above one of the rest? Ties count one half.

    Parameters and errors are those of `iou`, without a threshold.

    Returns
    -------
    float64 Tensor (B,)
        0..1, higher is better, 0.5 for a constant map. NaN where the object covers everything.
    """
    return located(_roc_auc, attributions, masks, Place.of("roc_auc", options))


@metric(higher_is_better=True, range=(0.0, 1.0), needs=["masks"])
def average_precision(attributions: Attributions, masks: Masks = None, **options: Unpack[Locating]) -> Scores:
    """Precision at each distinct value of the map, weighted by the recall gained there.

    Parameters and errors are those of `iou`, without a threshold.

    Returns
    -------
    float64 Tensor (B,)
        0..1, higher is better; the object's share of the image for a constant map.
    """
    return located(_average_precision, attributions, masks, Place.of("average_precision", options))


def _rank_accuracy(scene: Scene) -> Finding:
    k = int(scene.object.sum())
    inclusion = inclusion_probability(scene.values, k)
    return Finding(float(inclusion[scene.object].sum() / k), k, chance=float(scene.object.mean()))


def _roc_auc(scene: Scene) -> Finding:
    from scipy.stats import rankdata

    n_object, n = int(scene.object.sum()), len(scene.values)
    if n_object == n:
        return Finding()
    excess = rankdata(scene.values)[scene.object].sum() - n_object * (n_object + 1) / 2
    return Finding(float(excess / (n_object * (n - n_object))), chance=0.5)


def _average_precision(scene: Scene) -> Finding:
    _, group = np.unique(-scene.values, return_inverse=True)
    n_true, n_predicted = np.bincount(group, weights=scene.object), np.cumsum(np.bincount(group))
    precision = np.cumsum(n_true) / n_predicted
    return Finding(float(precision @ n_true / scene.object.sum()), chance=float(scene.object.mean()))
