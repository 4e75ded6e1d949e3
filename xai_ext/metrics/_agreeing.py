"""Measures of agreement of two vectors; ties are broken at random in both, and the expectation is returned."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from xai_ext._checks import InputError
from xai_ext._types import FloatArray, IntArray
from xai_ext.metrics._ranking import scaled


@dataclass(frozen=True, eq=False)
class Ranked:
    """What is compared, ``scores`` (n,), with the signs of what they came from; ranks are computed once."""

    scores: FloatArray
    signs: FloatArray

    @cached_property
    def _groups(self) -> tuple[IntArray, IntArray]:
        """For each item its tie group, highest first, and the size of each group."""
        order = np.argsort(-self.scores)
        ranked = self.scores[order]
        starts = np.flatnonzero(np.append(True, ranked[1:] != ranked[:-1]))
        sizes = np.diff(np.append(starts, len(ranked)))
        group = np.empty(len(ranked), np.int64)
        group[order] = np.repeat(np.arange(len(starts)), sizes)
        return group, sizes

    @cached_property
    def low(self) -> IntArray:
        """(n,): items in higher groups."""
        group, sizes = self._groups
        return np.asarray((np.cumsum(sizes) - sizes)[group])

    @cached_property
    def size(self) -> IntArray:
        """(n,): items of the same group."""
        group, sizes = self._groups
        return np.asarray(sizes[group])

    @cached_property
    def ranks(self) -> FloatArray:
        """(n,): average ranks, the highest item first, centred."""
        ranks = self.low + (self.size + 1) / 2
        return np.asarray(ranks - ranks.mean())

    @property
    def dense(self) -> IntArray:
        """(n,): the number of higher groups, negative: equal order as the scores."""
        return -self._groups[0]

    @property
    def levels(self) -> IntArray:
        """(n,): the number of lower groups."""
        group, sizes = self._groups
        return np.asarray(len(sizes) - 1 - group)

    @cached_property
    def tied_pairs(self) -> int:
        """Pairs of equal items."""
        sizes = self._groups[1]
        return int((sizes * (sizes - 1) // 2).sum())

    @property
    def is_constant(self) -> bool:
        return bool(self.scores.min() == self.scores.max())

    def inclusion(self, k: int) -> FloatArray:
        """(n,): how likely each item is among the k highest."""
        return np.asarray(np.clip((k - self.low) / self.size, 0.0, 1.0))


Measure = Callable[[Ranked, Ranked], float]
TopMeasure = Callable[[Ranked, Ranked, int], float]


def feature_agreement(a: Ranked, b: Ranked, k: int) -> float:
    return float(a.inclusion(k) @ b.inclusion(k) / k)


def sign_agreement(a: Ranked, b: Ranked, k: int) -> float:
    return float((a.inclusion(k) * (a.signs == b.signs)) @ b.inclusion(k) / k)


def rank_agreement(a: Ranked, b: Ranked, k: int) -> float:
    return float(_same_rank(a, b, k).sum() / k)


def signed_rank_agreement(a: Ranked, b: Ranked, k: int) -> float:
    return float(_same_rank(a, b, k)[a.signs == b.signs].sum() / k)


def topq_iou(a: Ranked, b: Ranked, k: int) -> float:
    shared = feature_agreement(a, b, k)
    return shared / (2 - shared)


def _same_rank(a: Ranked, b: Ranked, k: int) -> FloatArray:
    """(n,): how likely each item has the same rank, at most k, in both."""
    common = np.minimum(np.minimum(a.low + a.size, b.low + b.size), k) - np.maximum(a.low, b.low)
    return np.asarray(np.maximum(common, 0) / (a.size * b.size))


def pairwise_rank_agreement(a: Ranked, b: Ranked) -> float:
    """A pair in the same order, or tied in both, counts 1; tied in one, 1/2."""
    n_pairs = len(a.scores) * (len(a.scores) - 1) // 2
    if not n_pairs:
        return np.nan
    free = [n_pairs - m.tied_pairs for m in (a, b)]
    tau_a = kendall(a, b) * np.sqrt(float(free[0]) * free[1]) / n_pairs if all(free) else 0.0
    both = _tied_in_both(a, b)
    return float((tau_a + 1) / 2 + both / (2 * n_pairs))


def _tied_in_both(a: Ranked, b: Ranked) -> int:
    if not a.tied_pairs or not b.tied_pairs:
        return 0
    joint = a.dense.astype(np.int64) * -(len(b.dense) + 1) - b.dense
    _, sizes = np.unique(joint, return_counts=True)
    return int((sizes * (sizes - 1) // 2).sum())


def kendall(a: Ranked, b: Ranked) -> float:
    from scipy.stats import kendalltau

    return np.nan if a.is_constant or b.is_constant else float(kendalltau(a.dense, b.dense).statistic)


def weighted_tau(a: Ranked, b: Ranked) -> float:
    from xai_ext.metrics import _concordant  # numba, whose import takes long

    return np.nan if a.is_constant or b.is_constant else _concordant.weighted_tau(a.levels, b.levels)


def spearman(a: Ranked, b: Ranked) -> float:
    if a.is_constant or b.is_constant:
        return np.nan
    return float(np.clip(a.ranks @ b.ranks / np.sqrt((a.ranks @ a.ranks) * (b.ranks @ b.ranks)), -1.0, 1.0))


def pearson(a: Ranked, b: Ranked) -> float:
    if a.is_constant or b.is_constant:
        return np.nan
    x, y = scaled(a.scores)[0], scaled(b.scores)[0]
    return _cosine(x - x.mean(), y - y.mean())


def cosine(a: Ranked, b: Ranked) -> float:
    if not a.scores.any() or not b.scores.any():
        return np.nan
    return _cosine(a.scores, b.scores)


def _cosine(a: FloatArray, b: FloatArray) -> float:
    a, b = a / np.abs(a).max(), b / np.abs(b).max()  # no overflow or underflow of squares
    return float(np.clip(a @ b / np.sqrt((a @ a) * (b @ b)), -1.0, 1.0))


TOP: dict[str, TopMeasure] = {
    "feature_agreement": feature_agreement,
    "rank_agreement": rank_agreement,
    "sign_agreement": sign_agreement,
    "signed_rank_agreement": signed_rank_agreement,
    "topq_iou": topq_iou,
}
WHOLE: dict[str, Measure] = {
    "rank_correlation": spearman,
    "pairwise_rank_agreement": pairwise_rank_agreement,
    "pearson": pearson,
    "spearman": spearman,
    "kendall": kendall,
    "weighted_tau": weighted_tau,
    "cosine": cosine,
}
# the six of Krishna et al. compare magnitudes
BY_MAGNITUDE = (*[name for name in TOP if name != "topq_iou"], "rank_correlation", "pairwise_rank_agreement")


def ceiling(metric: str, a: Ranked, b: Ranked, k: int | None) -> float:
    """What the measure can reach at most: below 1 where k cuts a tie group."""
    if k is None or metric not in TOP:
        return 1.0
    base = rank_agreement if "rank" in metric else feature_agreement
    highest = float(np.sqrt(base(a, a, k) * base(b, b, k)))
    return highest / (2 - highest) if metric == "topq_iou" else highest


def n_chosen(k: float, n: int) -> int:
    """A count as it is, a fraction in (0, 1] of n, rounded, at least 1: the type decides."""
    if isinstance(k, bool) or not isinstance(k, int | float | np.integer | np.floating):
        raise InputError(f"k must be an int (a count) or a float (a fraction), got {k!r}")
    if isinstance(k, int | np.integer):
        if not 1 <= k <= n:
            raise InputError(f"k must be between 1 and the {n} features, got {k}")
        return int(k)
    if not 0 < k <= 1:
        raise InputError(f"k as a fraction must lie in (0, 1], got {k!r}; fix: an int for a count")
    return max(1, int(k * n + 0.5))
