"""Compiled: Shapley values of games that count positions up to a rank."""

import numpy as np
from numba import njit

from xai_ext._types import FloatArray, IntArray


@njit(cache=True)  # type: ignore[untyped-decorator]
def integrated_games(
    levels: FloatArray, owners: IntArray, n: int, worth: FloatArray, nodes: FloatArray, weights: FloatArray
) -> FloatArray:
    """Sum over levels of the values of "the worth of how many positions above the level are present".

    Positions come with descending ``levels`` and the region that owns each; ``worth`` (k + 1,) counts up to k.
    """
    values, counts, game = np.zeros(n), np.zeros(n, np.int64), np.zeros(n)
    changed = True
    for p in range(len(levels)):
        if counts[owners[p]] < len(worth) - 1:
            counts[owners[p]] += 1
            changed = True
        below = levels[p + 1] if p + 1 < len(levels) else 0.0
        if levels[p] > below:
            if changed:
                game = _values(counts, worth, nodes, weights)
                changed = False
            values += (levels[p] - below) * game
    return values


@njit(cache=True)  # type: ignore[untyped-decorator]
def _values(counts: IntArray, worth: FloatArray, nodes: FloatArray, weights: FloatArray) -> FloatArray:
    """Shapley values: the mean, over q, of what a player adds when every other one is there with probability q."""
    n, k = len(counts), len(worth) - 1
    values, after = np.zeros(n), np.empty((n + 1, k + 1))
    for node in range(len(nodes)):
        q = nodes[node]
        after[n] = worth  # expected worth, given how many the players before i bring, over those after i
        for i in range(n - 1, -1, -1):
            for a in range(k + 1):
                after[i, a] = (1 - q) * after[i + 1, a] + q * after[i + 1, min(k, a + counts[i])]
        before = np.zeros(k + 1)
        before[0] = 1.0
        for i in range(n):
            added = np.zeros(k + 1)
            for a in range(k + 1):
                to = min(k, a + counts[i])
                values[i] += weights[node] * before[a] * (after[i + 1, to] - after[i + 1, a])
                added[a] += (1 - q) * before[a]
                added[to] += q * before[a]
            before = added
    return values
