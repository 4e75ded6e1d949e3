"""How well scores tell defects from normals: one number for a data set.

Rank based: any scale of scores gives the same, and there are neither sigmoids nor bins. What is undefined is NaN.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from xai_ext._checks import InputError, check_choice
from xai_ext._forward import on_host
from xai_ext._types import AnyArray, BoolArray, FloatArray
from xai_ext.metrics._metric import metric
from xai_ext.metrics._ranking import removal_order
from xai_ext.metrics.thresholds import MassFraction

__all__ = ["Auroc", "F1Max", "MassFraction", "OracleThreshold", "aupro", "auroc", "f1_max", "oracle_threshold",
           "pixel_auroc"]  # fmt: skip

Scores = Tensor | AnyArray | Iterable[float]


@dataclass(frozen=True)
class Auroc:
    """An area under the ROC curve with its interval; `status` says why something is NaN."""

    value: float
    low: float
    high: float
    std_error: float
    status: str


@dataclass(frozen=True)
class F1Max:
    """The best F1 and the threshold t of the rule ``score >= t``, which was chosen on the labels."""

    value: float
    threshold: float
    chance: float
    oracle: bool = True


@dataclass(frozen=True)
class OracleThreshold:
    """A threshold of the rule ``score > threshold`` that was chosen on labelled test data."""

    threshold: float
    true_positive_rate: float
    false_positive_rate: float
    oracle: bool = True


@metric(higher_is_better=True, range=(0.0, 1.0), needs=["masks"])
def auroc(scores: Scores, labels: Scores, *, interval: str | None = None, confidence: float = 0.95) -> float | Auroc:
    """How often does a positive score above a negative, ties half?

    Parameters
    ----------
    scores : array (N,)
        Any scale, higher = more anomalous.
    labels : bool or 0/1 array (N,)
        True for positives.
    interval : "delong", optional
        Return `Auroc`, with a DeLong interval [1]_ on the logit scale.
    confidence : float
        Of the interval.

    Returns
    -------
    float or Auroc
        Chance .5. NaN with one class only; the interval is NaN at 0 and at 1 and with fewer than two of a class.

    References
    ----------
    .. [1] DeLong, DeLong, Clarke-Pearson, "Comparing the areas under two or more correlated receiver operating
       characteristic curves: a nonparametric approach", Biometrics 44 (1988).

    Examples
    --------
    >>> auroc([1.0, 2.0, 2.0, 3.0], [False, False, True, True])
    0.875
    """
    positives, negatives = _split(scores, labels)
    value = _auroc(positives, negatives)
    if interval is None:
        return value
    check_choice("interval", interval, ("delong",))
    if not 0 < confidence < 1:
        raise InputError(f"confidence must lie between 0 and 1, got {confidence!r}")
    return _delong(value, positives, negatives, confidence)


@metric(higher_is_better=True, range=(0.0, 1.0), needs=["masks"], label_aware=True)
def f1_max(scores: Scores, labels: Scores) -> F1Max:
    """The best F1 over all thresholds: an oracle.

    Returns
    -------
    F1Max
        The highest of the best thresholds; NaN without positives.
    """
    positives, negatives = _split(scores, labels)
    n = len(positives)
    if not n:
        return F1Max(np.nan, np.nan, np.nan)
    levels = np.unique(np.concatenate([positives, negatives]))[::-1]
    hits, alarms = _at_least(positives, levels), _at_least(negatives, levels)
    values = 2 * hits / (hits + alarms + n)
    best = int(values.argmax())
    share = n / (n + len(negatives))
    return F1Max(float(values[best]), float(levels[best]), 2 * share / (1 + share))


def oracle_threshold(scores: Scores, labels: Scores) -> OracleThreshold:
    """The published study's threshold: the best geometric mean of hits and passes, on labelled test data.

    The first maximum, in the order of the samples, of sqrt(TPR (1 - FPR)) of the rule "score > one of the scores";
    1e-5 is added to it.

    References
    ----------
    .. [1] Rashid, Amparore, Ferrari, Verda, "Can I trust my anomaly detection system?", arXiv 2407.19951 (2024).
    """
    values = _vector("scores", scores)
    positives, negatives = _split(scores, labels)
    if not len(positives) or not len(negatives):
        raise InputError("an oracle threshold needs both classes; fix: AnomalyScore.calibrate(normals) needs normals")
    hits = 1 - np.searchsorted(np.sort(positives), values, side="right") / len(positives)
    alarms = 1 - np.searchsorted(np.sort(negatives), values, side="right") / len(negatives)
    best = int(np.sqrt(hits * (1 - alarms)).argmax())
    return OracleThreshold(float(values[best]) + 1e-5, float(hits[best]), float(alarms[best]))


@metric(higher_is_better=True, range=(0.0, 1.0), needs=["masks"])
def pixel_auroc(maps: Tensor | AnyArray, masks: Tensor | AnyArray) -> float:
    """AUROC over all pixels of all images, those without a defect included; chance .5.

    Parameters
    ----------
    maps : array (N, H, W) or (N, 1, H, W)
    masks : bool or 0/1 array (N, H, W)
    """
    values, truth = _maps(maps, masks)
    return float(auroc(values.ravel(), truth.ravel()))  # type: ignore[arg-type]


@metric(higher_is_better=True, range=(0.0, 1.0), needs=["masks"])
def aupro(maps: Tensor | AnyArray, masks: Tensor | AnyArray, *, fpr_limit: float = 0.3, connectivity: int = 8) -> float:
    """Area under the per-region overlap, up to a false-positive rate [1]_.

    At a threshold t the overlap is the mean over defects, connected regions of the masks, of the share of each that
    reaches t; the false-positive rate is taken over all normal pixels. A large defect counts as much as a small one.

    Parameters
    ----------
    maps : array (N, H, W) or (N, 1, H, W)
    masks : bool or 0/1 array (N, H, W)
    fpr_limit : float
        The curve is linear between groups of ties, cut here, and its area divided by this.
    connectivity : {4, 8}

    Returns
    -------
    float
        Chance ``fpr_limit / 2``; NaN without a defect or without a normal pixel.

    References
    ----------
    .. [1] Bergmann et al., "The MVTec anomaly detection dataset", IJCV 129 (2021), sec. 5.
    """
    if not 0 < fpr_limit <= 1:
        raise InputError(f"fpr_limit must lie in (0, 1], got {fpr_limit!r}")
    values, truth = _maps(maps, masks)
    weights = _region_weights(truth, connectivity)
    if not weights.any() or truth.all():
        return float("nan")
    order = removal_order(values.ravel())
    ends = order.bounds[1:]
    highest_first = np.argsort(order.rank, kind="stable")
    overlap = np.append(0.0, np.cumsum(weights.ravel()[highest_first])[ends - 1])
    rate = np.append(0.0, np.cumsum(~truth.ravel()[highest_first])[ends - 1] / (~truth).sum())
    return _area_up_to(rate, overlap, fpr_limit)


def _area_up_to(x: FloatArray, y: FloatArray, limit: float) -> float:
    """Trapezoids of a curve from (0, 0), cut at ``limit``, over ``limit``."""
    inside = x <= limit
    last = int(inside.sum())
    xs, ys = x[inside], y[inside]
    if last < len(x) and xs[-1] < limit:
        share = (limit - xs[-1]) / (x[last] - xs[-1])
        xs, ys = np.append(xs, limit), np.append(ys, ys[-1] + share * (y[last] - ys[-1]))
    return min(1.0, float(np.trapezoid(ys, xs) / limit))  # sums of shares round above 1


def _region_weights(truth: BoolArray, connectivity: int) -> FloatArray:
    """1 / (number of regions x pixels of its own region) on each defect pixel, so that they sum to 1."""
    from scipy.ndimage import label

    if connectivity not in (4, 8):
        raise InputError(f"connectivity must be 4 or 8, got {connectivity!r}")
    structure = np.ones((3, 3)) if connectivity == 8 else None
    weights, n_regions = np.zeros(truth.shape), 0
    for weight, mask in zip(weights, truth, strict=True):
        regions, count = label(mask, structure)
        sizes = np.bincount(regions.ravel())
        weight[mask] = 1 / sizes[regions[mask]]
        n_regions += count
    return weights / max(1, n_regions)


def _auroc(positives: FloatArray, negatives: FloatArray) -> float:
    p, q = len(positives), len(negatives)
    if not p or not q:
        return float("nan")
    ranks = _midranks(np.concatenate([positives, negatives]))
    return float((ranks[:p].sum() - p * (p + 1) / 2) / (p * q))


def _midranks(values: FloatArray) -> FloatArray:
    _, group, sizes = np.unique(values, return_inverse=True, return_counts=True)
    return np.asarray((np.cumsum(sizes) - (sizes - 1) / 2)[group])


def _delong(value: float, positives: FloatArray, negatives: FloatArray, confidence: float) -> Auroc:
    if np.isnan(value):
        return Auroc(value, np.nan, np.nan, np.nan, "one class only")
    if min(len(positives), len(negatives)) < 2:
        return Auroc(value, np.nan, np.nan, np.nan, "fewer than two of a class")
    parts = (_shares_below(positives, negatives), 1 - _shares_below(negatives, positives))
    error = float(np.sqrt(sum(part.var(ddof=1) / len(part) for part in parts)))
    if value in (0.0, 1.0) or error == 0.0:
        return Auroc(value, np.nan, np.nan, error, "the classes do not overlap" if value in (0.0, 1.0) else "no spread")
    from scipy.special import expit, logit
    from scipy.stats import norm

    half = norm.ppf(0.5 + confidence / 2) * error / (value * (1 - value))
    low, high = expit(logit(value) - half), expit(logit(value) + half)
    return Auroc(value, float(low), float(high), error, "")


def _shares_below(values: FloatArray, others: FloatArray) -> FloatArray:
    """For each value the share of others below it, ties half."""
    ordered = np.sort(others)
    twice = np.searchsorted(ordered, values, side="left") + np.searchsorted(ordered, values, side="right")
    return np.asarray(twice / (2 * len(others)))


def _at_least(values: FloatArray, levels: FloatArray) -> FloatArray:
    return np.asarray(len(values) - np.searchsorted(np.sort(values), levels, side="left"), np.float64)


def _split(scores: Scores, labels: Scores) -> tuple[FloatArray, FloatArray]:
    values, truth = _vector("scores", scores), on_host(labels)
    if truth.shape != values.shape or not np.isin(truth, (0, 1)).all():
        raise InputError(f"labels must be bool or 0/1, one per score {values.shape}, got {truth.dtype} {truth.shape}")
    positive = truth.astype(bool)
    return values[positive], values[~positive]


def _vector(name: str, values: Scores) -> FloatArray:
    array = on_host(values).astype(np.float64)
    if array.ndim != 1 or not np.isfinite(array).all():
        raise InputError(f"{name} must be finite numbers (N,), got shape {array.shape}")
    return array


def _maps(maps: Any, masks: Any) -> tuple[FloatArray, BoolArray]:
    values, truth = on_host(maps).astype(np.float64), on_host(masks)
    values = values[:, 0] if values.ndim == 4 and values.shape[1] == 1 else values
    if values.ndim != 3 or values.shape != truth.shape or not np.isin(truth, (0, 1)).all():
        raise InputError(
            f"maps must be (N, H, W) and masks bool or 0/1 of the same shape, got {values.shape} and {truth.shape}; "
            "fix: xai_ext.metrics.resize_map, masks by the nearest pixel"
        )
    if not np.isfinite(values).all():
        raise InputError("maps must be finite")
    return values, truth.astype(bool)
