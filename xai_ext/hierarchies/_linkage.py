"""From merges in the order they were found to a linkage table in the order of the greedy sequence."""

import numpy as np
from numba import njit

from xai_ext._types import AnyArray, FloatArray, IntArray
from xai_ext.hierarchies._graph import records

_DIGIT = 16  # bits per pass of the radix sort


def linkage(rows: AnyArray) -> FloatArray:
    """Linkage (n-1, 4) of rows (height, number, first, second), each after its children; its ids come in any order."""
    moment = records(len(rows), rows.dtype)
    _moments(rows, moment)
    order = np.arange(len(rows), dtype=np.int32)
    for name in ("number", "height"):
        bits = np.ascontiguousarray(moment[name])
        order = _sorted_by(order, bits.view(f"u{bits.itemsize}"))
    return np.asarray(_table(rows, order))


@njit(cache=True)  # type: ignore[untyped-decorator]
def _moments(rows: AnyArray, moment: AnyArray) -> None:
    """When a merge is due: at its own key, but not before those below it."""
    n = len(rows) + 1
    for k in range(n - 1):
        row, due = rows[k], moment[k]
        due.height, due.number = row.height, row.number
        for child in (row.first, row.second):
            if child >= n:
                below = moment[child - n]
                if below.height > due.height or (below.height == due.height and below.number > due.number):
                    due.height, due.number = below.height, below.number


@njit(cache=True)  # type: ignore[untyped-decorator]
def _sorted_by(order: IntArray, keys: AnyArray) -> IntArray:
    """`order` by increasing key, stably; keys are unsigned (the bits of a positive float sort like the float)."""
    mask = np.uint64(2**_DIGIT - 1)
    for shift in range(0, 8 * keys.itemsize, _DIGIT):
        start = np.zeros(2**_DIGIT + 1, np.int64)
        for key in keys:
            start[(np.uint64(key) >> np.uint64(shift) & mask) + np.uint64(1)] += 1
        if start.max() < len(keys):  # else all have this digit in common
            start = np.cumsum(start)
            moved = np.empty_like(order)
            for k in order:
                digit = np.uint64(keys[k]) >> np.uint64(shift) & mask
                moved[start[digit]] = k
                start[digit] += 1
            order = moved
    return order


@njit(cache=True)  # type: ignore[untyped-decorator]
def _table(rows: AnyArray, order: IntArray) -> FloatArray:
    n = len(rows) + 1
    place, players = np.arange(2 * n - 1), np.ones(2 * n - 1)
    table = np.empty((n - 1, 4))
    for t in range(n - 1):
        row = rows[order[t]]
        first, second = place[row.first], place[row.second]
        place[n + order[t]] = n + t
        players[n + t] = players[first] + players[second]
        table[t, 0], table[t, 1] = first, second
        table[t, 2], table[t, 3] = row.height, players[n + t]
    return table
