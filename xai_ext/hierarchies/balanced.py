"""A tree for players without geometry."""

import numpy as np

from xai_ext._checks import check_at_least
from xai_ext._types import IntArray
from xai_ext.hierarchies.hierarchy import Hierarchy


def balanced(n: int) -> Hierarchy:
    """Halves of the index range, the first of n // 2 players.

    Rows are ordered by (number of players, first player); the height is the number of players.
    """
    check_at_least("n", n, 1)
    low, high = _intervals(n)
    rows = np.lexsort((low, high - low))
    low, high = low[rows], high[rows]
    middle = low + (high - low) // 2
    ids = np.arange(n, 2 * n - 1)
    merges = np.stack([_ids(low, middle, low, high, ids), _ids(middle, high, low, high, ids)], 1)
    size = (high - low)[:, None]
    return Hierarchy.from_merges(np.concatenate([merges, size, size], 1), structure="balanced")


def _intervals(n: int) -> tuple[IntArray, IntArray]:
    """[low, high) of every node of two or more players."""
    low, high = np.zeros(1, np.int64), np.full(1, n, np.int64)
    levels = []
    while len(low := low[keep := high - low > 1]):
        high = high[keep]
        levels.append((low, high))
        middle = low + (high - low) // 2
        low, high = np.concatenate([low, middle]), np.concatenate([middle, high])
    lows, highs = zip(*levels, strict=True) if levels else ((low,), (low,))
    return np.concatenate(lows), np.concatenate(highs)


def _ids(low: IntArray, high: IntArray, lows: IntArray, highs: IntArray, ids: IntArray) -> IntArray:
    """Node of each interval [low, high): a player, or the row of `lows`, `highs` (sorted by size, then low)."""
    width = highs.max(initial=0) + 1
    found = np.searchsorted((highs - lows) * width + lows, (high - low) * width + low)
    return np.where(high - low == 1, low, ids[np.minimum(found, len(ids) - 1)] if len(ids) else low)
