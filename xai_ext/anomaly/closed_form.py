"""Exact Shapley values of frozen residuals, without a single evaluation.

The frozen game keeps the reconstruction fixed: v(S) is a reducer of the residuals of the positions in S, zero
elsewhere. Its value is an integral over levels t of a game that only counts players above t, and such a game is
symmetric in those players; with sorted residuals the integral is a cumulative sum.
"""

import numpy as np

from xai_ext._checks import InputError, check_at_least
from xai_ext._types import FloatArray, IntArray
from xai_ext.anomaly.reducers import KthLargest, Max, Mean, Quantile, Reducer, Region, Sum, TopK

__all__ = [
    "additive_values",
    "frozen_values",
    "kth_largest_values",
    "region_levels",
    "region_rank_values",
    "top_k_values",
]

_MOST_STEPS = 1e10  # about half a minute


def top_k_values(levels: FloatArray, k: int = 1) -> FloatArray:
    """Shapley values of "mean of the k largest present levels".

    Parameters
    ----------
    levels : array (n,)
        At least 0; one per player.
    k : int
        1 is the maximum: the airport game [1]_.

    Returns
    -------
    array (n,)
        Sums to the mean of the k largest; equal levels share equally.

    References
    ----------
    .. [1] Littlechild, Owen, "A simple expression for the Shapley value in a special case", Management Science 20
       (1973).

    Examples
    --------
    >>> top_k_values(np.array([0.0, 3.0, 1.0]))
    array([0. , 2.5, 0.5])
    """
    k = _rank(k, len(levels))
    above = np.arange(len(levels), 0, -1)
    return _integrated(levels, np.minimum(k, above) / (k * above))


def kth_largest_values(levels: FloatArray, k: int) -> FloatArray:
    """Shapley values of "the k-th largest present level, 0 where fewer are present"; see `top_k_values`."""
    k = _rank(k, len(levels))
    above = np.arange(len(levels), 0, -1)
    return _integrated(levels, (above >= k) / above)


def additive_values(
    residuals: FloatArray, weights: FloatArray | float = 1.0, baseline: FloatArray | float = 0.0
) -> FloatArray:
    """Shapley (also Owen, also unregularised LIME) values of a weighted sum of residuals (n,).

    Parameters
    ----------
    residuals : array (n,)
    weights : array (n,) or float
        Of each residual in the score.
    baseline : array (n,) or float
        Residuals of what takes the place of an absent position; 0: the reconstruction itself.
    """
    return np.asarray((residuals - baseline) * weights)


def region_levels(residuals: FloatArray, labels: IntArray) -> FloatArray:
    """(n_regions,): the largest residual of each region 0..n-1."""
    levels = np.zeros(int(labels.max()) + 1)
    np.maximum.at(levels, labels.ravel(), residuals.ravel())
    return levels


def region_rank_values(residuals: FloatArray, labels: IntArray, reduce: TopK | KthLargest | Quantile) -> FloatArray:
    """Exact Shapley values of regions 0..n-1 under a score of ranked positions, in polynomial time.

    Above each level the game counts positions, up to the rank k. The Shapley value of such a game is the mean over q
    in 0..1 of what a region adds when every other is present with probability q: a polynomial in q, which
    Gauss-Legendre nodes integrate exactly, of a sum of independent counts, whose distribution is built one by one [1]_.

    Parameters
    ----------
    residuals : array (h, w)
    labels : int array (h, w)
    reduce : TopK, KthLargest or Quantile

    Raises
    ------
    InputError
        About n^3 k^2 steps would take minutes.

    References
    ----------
    .. [1] Owen, "Multilinear extensions of games", Management Science 18 (1972).
    """
    from xai_ext.anomaly._capped_kernels import integrated_games

    n, k = int(labels.max()) + 1, reduce.count(residuals.size)
    nodes, weights = np.polynomial.legendre.leggauss((n + 1) // 2)
    games = np.minimum(np.bincount(labels.ravel(), minlength=n), k).sum()
    if games * len(nodes) * n * (k + 1) > _MOST_STEPS:
        raise _unknown(f"{reduce} with {n} regions in reasonable time")
    count = np.arange(k + 1.0)
    worth = count / k if isinstance(reduce, TopK) else (count >= k).astype(float)
    order = np.argsort(-residuals.ravel(), kind="stable")
    found: FloatArray = integrated_games(
        residuals.ravel()[order].astype(np.float64), labels.ravel()[order], n, worth, (nodes + 1) / 2, weights / 2
    )
    return found


def frozen_values(
    residuals: FloatArray, reduce: Reducer, labels: IntArray | None = None, *, smooth_weights: FloatArray | None = None
) -> FloatArray:
    """Exact values of the players of one frozen residual map.

    Parameters
    ----------
    residuals : array (h, w)
        At least 0, before smoothing.
    reduce : Reducer
        `Sum`, `Mean`, `Max`, `TopK`, `KthLargest`, `Quantile`; `Region` of these.
    labels : int array (h, w), optional
        Regions 0..n-1; None: every position is a player.
    smooth_weights : array (h, w), optional
        Weight of each position in the sum of the smoothed map; None: no smoothing.

    Raises
    ------
    InputError
        No closed form is known; sampling methods explain ``score.frozen()``.
    """
    if residuals.min(initial=0.0) < 0:
        raise InputError(f"the closed form needs evidence of at least 0, got {residuals.min():.3g}")
    if isinstance(reduce, Sum | Mean):
        scale = 1.0 if isinstance(reduce, Sum) else 1.0 / residuals.size
        values = additive_values(residuals, scale if smooth_weights is None else scale * smooth_weights)
        return values.ravel() if labels is None else np.asarray(np.bincount(labels.ravel(), values.ravel()), float)
    if smooth_weights is not None:
        raise _unknown(f"{reduce} of a smoothed map")
    if isinstance(reduce, Region):
        return _inside(residuals, reduce, labels)
    if isinstance(reduce, Max):
        return top_k_values(residuals.ravel() if labels is None else region_levels(residuals, labels))
    if not isinstance(reduce, TopK | KthLargest | Quantile):
        raise _unknown(f"{reduce}")
    if labels is not None:
        return region_rank_values(residuals, labels, reduce)
    count, values_of = reduce.count(residuals.size), top_k_values if isinstance(reduce, TopK) else kth_largest_values
    return values_of(residuals.ravel(), count)


def _inside(residuals: FloatArray, reduce: Region, labels: IntArray | None) -> FloatArray:
    """Players outside of the region are dummies."""
    players = np.arange(residuals.size).reshape(residuals.shape) if labels is None else labels
    inside = np.asarray(reduce.mask, dtype=bool)
    ids, local = np.unique(players[inside], return_inverse=True)
    values = np.zeros(int(players.max()) + 1)
    part = residuals[inside][None]
    values[ids] = frozen_values(part, reduce.inner, None if labels is None else local.reshape(part.shape))
    return values


def _integrated(levels: FloatArray, share: FloatArray) -> FloatArray:
    order = np.argsort(levels, kind="stable")
    ascending = levels[order]
    values = np.empty(len(levels))
    values[order] = np.cumsum(np.diff(ascending, prepend=0.0) * share)
    return values


def _rank(k: int, n: int) -> int:
    if check_at_least("k", k, 1) > n:
        raise InputError(f"k must be at most the {n} players, got {k}")
    return int(k)


def _unknown(what: str) -> InputError:
    return InputError(
        f"no closed form is known for {what}; fix: a sampling method on score.frozen(), such as "
        "BPTOwen(score.frozen()).attribute(x, baselines=ref, additional_forward_args=(ref,)), ref = score.reference(x)"
    )
