"""Pairs in the same order in two rankings, item by item: what weighted rank correlations are made of."""

import numpy as np
from numba import njit

from xai_ext._types import FloatArray, IntArray


def weighted_tau(x: IntArray, y: IntArray) -> float:
    """Kendall's tau with hyperbolic weights, added, of two rankings (n,) with 0 the lowest level of each [1]_.

    A pair weighs 1/(1 + i) + 1/(1 + j) at positions i and j, the highest first; the mean over the positions by
    (x, y) and by (y, x), as in SciPy. All pairs of an item share its weight, so that the sums over pairs are sums
    over items.

    References
    ----------
    .. [1] Vigna, "A weighted correlation index for rankings with ties", WWW 2015.
    """
    net = net_concordance(x, y)
    free = [len(x) - np.bincount(levels)[levels] for levels in (x, y)]
    weights = (_hyperbolic(x, y), _hyperbolic(y, x))
    taus = [w @ net / np.sqrt((w @ free[0]) * (w @ free[1])) for w in weights]
    return float(np.clip(np.mean(taus), -1.0, 1.0))


def _hyperbolic(first: IntArray, then: IntArray) -> FloatArray:
    """(n,): 1 / (1 + position), highest first; of items that are equal in both, the one with the higher index first."""
    weights = np.empty(len(first))
    weights[np.lexsort((then, first))[::-1]] = 1 / np.arange(1.0, len(first) + 1)
    return weights


def net_concordance(x: IntArray, y: IntArray) -> IntArray:
    """(n,): for each item the pairs in the same order minus those in opposite orders; O(n log n)."""
    order = np.argsort(x)
    return np.asarray(_net_concordance(order, x[order], y, np.bincount(y)))


@njit(cache=True)  # type: ignore[untyped-decorator]
def _net_concordance(order: IntArray, ranked: IntArray, y: IntArray, sizes: IntArray) -> IntArray:
    """``ranked`` is x in ascending order, ``sizes`` how many items each level of y has."""
    n, below = len(y), np.cumsum(sizes) - sizes
    tree, net = np.zeros(len(sizes) + 1, np.int64), np.zeros(n, np.int64)
    start = 0
    while start < n:
        stop = start + 1
        while stop < n and ranked[stop] == ranked[start]:
            stop += 1
        for i in order[start:stop]:  # with a lower x: a lower y is concordant, a higher one is not
            net[i] += _up_to(tree, y[i]) + _up_to(tree, y[i] + 1) - start
        for i in order[start:stop]:
            level = y[i] + 1
            while level < len(tree):
                tree[level] += 1
                level += level & -level
        for i in order[start:stop]:  # with a higher x, of those that are not yet in the tree
            lower = below[y[i]] - _up_to(tree, y[i])
            not_higher = below[y[i]] + sizes[y[i]] - _up_to(tree, y[i] + 1)
            net[i] += n - stop - lower - not_higher
        start = stop
    return net


@njit(cache=True)  # type: ignore[untyped-decorator]
def _up_to(tree: IntArray, level: int) -> int:
    """How many of the items in a Fenwick tree have one of the first ``level`` levels."""
    found = 0
    while level > 0:
        found += tree[level]
        level -= level & -level
    return found
