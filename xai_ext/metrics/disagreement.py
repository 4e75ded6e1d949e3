"""How far do two maps agree?"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Unpack

import numpy as np
import torch
from torch import Tensor

from xai_ext._checks import InputError, check_choice
from xai_ext._types import IntArray
from xai_ext.metrics._adapt import Attributions, named, unnamed
from xai_ext.metrics._agreeing import BY_MAGNITUDE, TOP, WHOLE, Ranked, ceiling, n_chosen
from xai_ext.metrics._maps import MapOptions, MapReading, ReadMap, read_maps
from xai_ext.metrics._metric import Status, metric

MEASURES = (*TOP, *WHOLE, "ssim")
K = float | Sequence[float]


@dataclass(frozen=True, eq=False)
class Agreement:
    """Agreement of B pairs of maps.

    Attributes
    ----------
    value : float64 Tensor (B,) or (B, len(k))
        NaN where undefined.
    status : int8 Tensor (B,)
    ceiling : float64 Tensor like `value`
        What these two maps could reach: below 1 where k cuts a group of tied values.
    n_features : int64 Tensor (B,)
    """

    value: Tensor
    status: Tensor
    ceiling: Tensor
    n_features: Tensor


@dataclass(frozen=True, eq=False)
class Question:
    """Which measure of which values."""

    measure: str = "spearman"
    k: K = 0.1
    ranking: str | None = None
    ties: str = "expected"
    normalize: str | None = None
    win_size: int = 7
    features: Sequence[int] | IntArray | None = None

    def __post_init__(self) -> None:
        check_choice("metric", self.measure, MEASURES)
        check_choice("ties", self.ties, ("expected", "half"))
        if self.ranking is not None:
            check_choice("ranking", self.ranking, ("signed", "abs"))
        if self.normalize is not None:
            check_choice("normalize", self.normalize, ("minmax", "none"))

    @property
    def by_magnitude(self) -> bool:
        """Are magnitudes compared?"""
        return (self.ranking or ("abs" if self.measure in BY_MAGNITUDE else "signed")) == "abs"

    @property
    def ks(self) -> list[float | None]:
        """One entry per value."""
        if self.measure not in TOP:
            return [None]
        return list(self.k) if isinstance(self.k, Sequence | np.ndarray) else [self.k]

    @property
    def has_k_axis(self) -> bool:
        """Does the result have a dimension for k?"""
        return self.measure in TOP and isinstance(self.k, Sequence | np.ndarray)


class Candidate:
    """A map and what the measures derive from it, each once."""

    def __init__(self, given: ReadMap) -> None:
        self.given = given
        self._known: dict[tuple[Any, ...], Ranked] = {}

    def ranked(self, question: Question) -> Ranked:
        """The values that a question is about."""
        subset = question.features
        key = (question.by_magnitude, None if subset is None else tuple(int(i) for i in subset))
        if key not in self._known:
            values = self.given.values if subset is None else self.given.values[_checked(subset, self.given)]
            scores = np.abs(values) if question.by_magnitude else values
            self._known[key] = Ranked(scores, np.sign(values))
        return self._known[key]


@metric(higher_is_better=True, range=(-1.0, 1.0), needs=["map"])
def agreement(
    a: Attributions,
    b: Attributions,
    metric: str = "spearman",
    *,
    k: K = 0.1,
    ranking: str | None = None,
    ties: str = "expected",
    normalize: str | None = None,
    win_size: int = 7,
    features: Sequence[int] | IntArray | None = None,
    return_details: bool = False,
    **options: Unpack[MapOptions],
) -> Tensor | Agreement | dict[str, Tensor | Agreement]:
    """How far two maps agree, over positions or over shared regions.

    Parameters
    ----------
    a, b : Tensor, array, shap.Explanation, Explanation(s), tuple or dict
        Maps of the same inputs: (B, F), (B, H, W) or, with channels, (B, C, H, W). A tuple holds one map per input,
        compared together; a tuple or list of `Explanation` one per example. `a` may be a dict of names, which gives
        a dict of results.
    metric : str
        Of the k highest [1]_: "feature_agreement" (the same features), "rank_agreement" (at the same rank),
        "sign_agreement", "signed_rank_agreement" (with the same sign), "topq_iou" (intersection over union). Over
        all: "rank_correlation" (Spearman), "pairwise_rank_agreement" (pairs in the same order), "pearson", "spearman",
        "kendall" (tau-b), "weighted_tau", "cosine". Of images: "ssim".
    k : int, float or sequence
        An int is a count, a float in (0, 1] a fraction, rounded, at least one: 1 is one feature, 1.0 all.
        A sequence adds a dimension to the result.
    ranking : {"signed", "abs"}, optional
        Compare the values or their magnitudes. None: magnitudes for the six of [1]_, else values.
    ties : {"expected", "half"}
        Ties are broken at random in both maps, and the expectation is returned; in
        "pairwise_rank_agreement" a pair that is tied in one map counts one half, in both 1. Two names of one rule.
    normalize : {"minmax", "none"}, optional
        For "ssim": bring each map to 0..1 first (None does), or compare raw maps.
    win_size : int
        Window of "ssim", pixels, odd.
    features : sequence of int, optional
        Compare these features only.
    feature_mask : integer array or tuple, optional
        Compare regions instead of positions: with superpixels all pixels of a region are tied, and a shared mask makes
        a region one feature.
    map_kind : {"density", "region"}
        How an array relates to `feature_mask`: a region's value is the sum over its positions, or their mean.
    channel_dim : int or None
        Where maps of four dimensions and more have their channels.
    channel_reduce : {"sum", "mean", "abs_sum", "max", "max_abs"}
        The value of a position with several channels.
    layout : {"channels_first", "channels_last"}
        Of maps that are arrays or tensors and have channels.
    output : int or str, optional
        Which output of an explanation that has several.
    return_details : bool
        Return an `Agreement` with status and ceiling instead of the values alone.

    Returns
    -------
    float64 Tensor (B,), or (B, len(k))
        -1..1 for correlations, "cosine" and "ssim"; 0..1 for the rest. NaN for a map that is not finite; for
        correlations and "ssim" also for a constant map, in both argument orders.

    Raises
    ------
    InputError, InputTypeError
        Maps whose shapes differ (see `resize_map`), k beyond the number of features, "ssim" of something else
        than one image.

    References
    ----------
    .. [1] Krishna et al., "The disagreement problem in explainable machine learning: a practitioner's perspective",
       TMLR 2024, sec. 3.

    Examples
    --------
    >>> import torch
    >>> from xai_ext.metrics import agreement
    >>> agreement(torch.tensor([[1.0, 2.0, 3.0]]), torch.tensor([[1.0, 4.0, 9.0]]))
    tensor([1.], dtype=torch.float64)
    """
    question = Question(metric, k, ranking, ties, normalize, win_size, features)
    reading = MapReading.of("agreement", options)
    second = candidates(b, reading)
    found = {name: _answers(candidates(one, reading), second, question) for name, one in named(a).items()}
    return unnamed(a, {name: f if return_details else f.value for name, f in found.items()})


def candidates(attributions: Attributions, reading: MapReading) -> list[Candidate | None]:
    """One per example; None for a map that is not finite."""
    return [None if m is None else Candidate(m) for m in read_maps(attributions, reading)]


def _answers(first: list[Candidate | None], second: list[Candidate | None], question: Question) -> Agreement:
    if len(first) != len(second):
        raise InputError(f"both arguments must hold as many examples, got {len(first)} and {len(second)}")
    found = [compared(x, y, question) for x, y in zip(first, second, strict=True)]
    values, ceilings = (torch.tensor([f[i] for f in found], dtype=torch.float64) for i in (0, 2))
    if not question.has_k_axis:
        values, ceilings = values[:, 0], ceilings[:, 0]
    return Agreement(
        values,
        torch.tensor([status for _, status, _ in found], dtype=torch.int8),
        ceilings,
        torch.tensor([0 if x is None else len(x.given.values) for x in first]),
    )


def compared(
    first: Candidate | None, second: Candidate | None, question: Question
) -> tuple[list[float], Status, list[float]]:
    """Values, one per k, the status, and the ceilings."""
    missing = [np.nan] * len(question.ks)
    if first is None or second is None:
        return missing, Status.NON_FINITE, missing
    shapes = first.given.shapes, second.given.shapes
    if shapes[0] != shapes[1]:
        raise InputError(
            f"maps must have the same shapes, got {list(shapes[0])} and {list(shapes[1])}; fix: resize_map(b, size)"
        )
    a, b = first.ranked(question), second.ranked(question)
    if question.measure == "ssim":
        return [_ssim(first.given, second.given, question)], _status(a, b), [1.0]
    if question.measure in WHOLE:
        return [WHOLE[question.measure](a, b)], _status(a, b), [1.0]
    counts = [n_chosen(k, len(a.scores)) for k in question.ks if k is not None]
    values = [TOP[question.measure](a, b, k) for k in counts]
    return values, _status(a, b), [ceiling(question.measure, a, b, k) for k in counts]


def _status(a: Ranked, b: Ranked) -> Status:
    if len(a.scores) < 2:
        return Status.TOO_FEW
    return Status.CONSTANT if a.is_constant or b.is_constant else Status.OK


def _ssim(first: ReadMap, second: ReadMap, question: Question) -> float:
    if not (first.is_image and second.is_image):
        raise InputError("ssim compares images, maps (B, H, W) of one input without feature_mask")
    shape, side = first.shapes[0], question.win_size
    if side % 2 == 0 or not 1 < side <= min(shape):
        raise InputError(f"win_size must be odd, at least 3 and at most the shorter side of {shape}, got {side}")
    values = [np.abs(m.values) if question.by_magnitude else m.values for m in (first, second)]
    if any(v.min() == v.max() for v in values):
        return np.nan
    if question.normalize != "none":
        values = [(v - v.min()) / (v.max() - v.min()) for v in values]
    from skimage.metrics import structural_similarity

    data_range = max(v.max() for v in values) - min(v.min() for v in values)
    images = [v.reshape(shape) for v in values]
    return float(structural_similarity(*images, win_size=side, data_range=data_range))


def _checked(features: Sequence[int] | IntArray, given: ReadMap) -> IntArray:
    index, n = np.asarray(features), len(given.values)
    if index.ndim != 1 or index.dtype.kind not in "iu" or not len(index) or not (0 <= index).all() or index.max() >= n:
        raise InputError(f"features must hold indices of the {n} features, got {features!r}")
    return index
