"""Rankings in which ties stay ties: orders of removal, counts along them, and areas under what they give."""

from dataclasses import dataclass

import numpy as np

from xai_ext._checks import InputError, check_choice
from xai_ext._types import BoolArray, FloatArray, IntArray

TIES = ("group", "stable", "reverse", "random")
AREAS = ("trapezoid", "even")
NORMALIZATIONS = ("none", "original", "range", "range_clipped")


@dataclass(frozen=True, eq=False)
class Order:
    """In which order positions leave an input, highest value first.

    Attributes
    ----------
    items : int64 array (n,)
        Highest value first.
    rank : int32 array (n,)
        How many positions leave before item i; once `count` have left, those with ``rank >= count`` remain.
    bounds : int64 array
        The counts that split no item and cut no tie, from 0 to the number of positions, ascending.
    n_groups : int
        Number of distinct values.
    """

    items: IntArray
    rank: np.ndarray[tuple[int], np.dtype[np.int32]]
    bounds: IntArray
    n_groups: int

    def kept(self, count: int, *, insert: bool) -> BoolArray:
        """(n,): what is there once `count` positions were deleted from x, or inserted into the baseline."""
        return np.asarray((self.rank < count) if insert else (self.rank >= count))


def removal_order(
    values: FloatArray,
    ties: str = "group",
    sizes: IntArray | None = None,
    rng: np.random.Generator | None = None,
) -> Order:
    """The order of removal of items with these values.

    Parameters
    ----------
    values : array (n,)
        Finite; larger leaves earlier. Only exactly equal values are tied.
    ties : {"group", "stable", "reverse", "random"}
        Tied items leave together; the lower index first; the higher index first; in random order.
    sizes : int array (n,), optional
        Number of positions of each item; None: 1.
    rng : numpy Generator, optional
        For random order; None: ``default_rng(0)``.
    """
    order = _descending(values, check_choice("ties", ties, TIES), rng)
    bounds = np.arange(len(values) + 1) if sizes is None else np.append(0, np.cumsum(sizes[order]))
    ranked, starts = values[order], bounds[:-1]
    tied = ranked[1:] == ranked[:-1]
    n_tied = int(np.count_nonzero(tied))
    if ties == "group" and n_tied:
        first = np.append(0, np.flatnonzero(~tied) + 1)  # of each tie group
        bounds = np.append(bounds[first], bounds[-1])
        starts = np.repeat(bounds[:-1], np.diff(first, append=len(values)))
    rank = np.empty(len(values), np.int32)
    rank[order] = starts
    return Order(order, rank, bounds, len(values) - n_tied)


def schedule(order: Order, n_steps: int = 28, step_size: int | None = None) -> IntArray:
    """The counts at which a curve is evaluated: ascending, both ends among them, no tie cut.

    Parameters
    ----------
    order : Order
    n_steps : int
        Counts are even, j N / n_steps rounded half up; all bounds when there are no more than `n_steps` groups.
    step_size : int, optional
        Counts 0, s, 2s, ..., N instead; the last step may be shorter.

    Notes
    -----
    Counts move to the nearest bound of the order (the lower one of two), and duplicates are dropped.
    """
    n, bounds = int(order.bounds[-1]), order.bounds
    if step_size is not None:
        return np.unique(_nearest(bounds, np.append(np.arange(0, n, step_size), n)))
    if len(bounds) - 1 <= n_steps:
        return bounds
    return np.unique(_nearest(bounds, rounded_half_up(np.arange(n_steps + 1) * n, n_steps)))


def quantile_counts(values: FloatArray, levels: int, *, insert: bool) -> IntArray:
    """How many positions have moved at each of `levels` even quantiles of the map, both ends among them.

    Deletion removes what lies above a quantile, at the lowest everything; insertion brings back what lies at or above
    it, at the highest nothing. Counts that repeat are dropped.
    """
    at = np.quantile(values, np.arange(levels - 2, -1 if insert else 0, -1) / (levels - 1))
    ascending = np.sort(values)
    moved = len(values) - np.searchsorted(ascending, at, side="left" if insert else "right")
    return np.unique(np.concatenate([[0], moved, [len(values)]]))


def top_mask(values: FloatArray, k: float, ties: str = "stable", rng: np.random.Generator | None = None) -> BoolArray:
    """The k highest positions, exactly k of them whatever the ties.

    Parameters
    ----------
    values : array (*shape)
        Finite.
    k : int or float
        A count, 0..N, or a fraction of N, rounded half up.
    ties : {"stable", "reverse", "random"}
        Of tied values: the lower index first; the higher index first; in random order.
    rng : numpy Generator, optional
        For random order; None: ``default_rng(0)``.

    Returns
    -------
    bool array (*shape)
    """
    check_choice("ties", ties, TIES[1:])
    n = values.size
    wanted = k if isinstance(k, int | np.integer) else np.floor(k * n + 0.5)
    if not 0 <= wanted <= n:
        raise InputError(f"k must be between 0 and the {n} positions, or a fraction, got {k}")
    count, flat = int(wanted), np.asarray(values, dtype=np.float64).ravel()
    if not np.isfinite(flat).all():
        raise InputError("values must be finite: NaN has no rank")
    order = _descending(flat, ties, rng)
    mask = np.zeros(n, np.bool_)
    mask[order[:count]] = True
    return mask.reshape(values.shape)


def rounded_half_up(numerator: IntArray, denominator: int) -> IntArray:
    """floor(numerator / denominator + 1/2), exactly."""
    return np.asarray((2 * numerator + denominator) // (2 * denominator))


def scaled(values: FloatArray) -> tuple[FloatArray, int]:
    """Divided by a power of 2, which is exact, and its exponent: sums and ranges of huge values overflow."""
    exponent = int(np.frexp(np.abs(values).max(initial=0.0))[1])
    return np.ldexp(values, -exponent), exponent


def inclusion_probability(values: FloatArray, k: int) -> FloatArray:
    """(n,): how likely each item is among the k highest when ties are broken at random."""
    if not 0 <= k <= len(values):
        raise InputError(f"k must be between 0 and the {len(values)} positions, got {k}")
    _, group, sizes = np.unique(values, return_inverse=True, return_counts=True)
    higher = len(values) - np.cumsum(sizes)
    return np.asarray(np.clip((k - higher) / sizes, 0.0, 1.0)[group])


def curve_auc(
    curve: FloatArray,
    fractions: FloatArray | None = None,
    *,
    f_input: float | None = None,
    f_baseline: float | None = None,
    normalize: str = "none",
    rule: str = "trapezoid",
) -> float:
    """Area under one curve, trapezoidal over the true fractions.

    Parameters
    ----------
    curve : array (P,)
        Scores.
    fractions : array (P,), optional
        Where they were taken, 0..1; None: evenly.
    f_input, f_baseline : float, optional
        f(x) and f(baseline), for `normalize`.
    normalize : {"none", "original", "range", "range_clipped"}
        y; y / f(x); (y - f(baseline)) / (f(x) - f(baseline)); the same after y was clipped to between the two.
    rule : {"trapezoid", "even"}
        "even" takes all steps as equally wide.

    Returns
    -------
    float
        NaN where the denominator is 0.
    """
    scores, even = np.asarray(curve, dtype=np.float64), check_choice("rule", rule, AREAS) == "even" or fractions is None
    at = np.linspace(0.0, 1.0, len(scores)) if even else np.asarray(fractions)
    if scores.ndim != 1 or not len(scores) or at.shape != scores.shape:
        raise InputError(f"a curve needs a score at each fraction, got scores {scores.shape} at {at.shape}")
    return float(np.trapezoid(_normalized(scores, f_input, f_baseline, normalize), at))


def _normalized(curve: FloatArray, f_input: float | None, f_baseline: float | None, how: str) -> FloatArray:
    if check_choice("normalize", how, NORMALIZATIONS) == "none":
        return curve
    if f_input is None or (f_baseline is None and how != "original"):
        raise InputError(f'normalize="{how}" needs f_input{"" if how == "original" else " and f_baseline"}')
    low = 0.0 if f_baseline is None or how == "original" else f_baseline
    if f_input == low:
        return np.full_like(curve, np.nan)
    if how == "range_clipped":
        curve = np.clip(curve, min(f_input, low), max(f_input, low))
    return np.asarray((curve - low) / (f_input - low))


def _descending(values: FloatArray, ties: str, rng: np.random.Generator | None) -> IntArray:
    if ties == "group":  # the order inside a group is never seen, so the fastest sort will do
        return np.argsort(values)[::-1]
    if ties == "random":
        shuffled = (np.random.default_rng(0) if rng is None else rng).permutation(len(values))
        return np.asarray(shuffled[np.argsort(-values[shuffled], kind="stable")])
    return np.argsort(-values, kind="stable") if ties == "stable" else np.argsort(values, kind="stable")[::-1]


def _nearest(bounds: IntArray, wanted: IntArray) -> IntArray:
    above = np.searchsorted(bounds, wanted)
    below = np.maximum(above - 1, 0)
    return np.where(wanted - bounds[below] <= bounds[above] - wanted, bounds[below], bounds[above])
