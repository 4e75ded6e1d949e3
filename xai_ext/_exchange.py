"""Numba kernel that writes masked inputs on the CPU, in one pass; imported with the first game that needs it."""

import numpy as np
from numba import njit

from xai_ext._types import AnyArray


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def exchange(switches: AnyArray, players: AnyArray, difference: AnyArray, base: AnyArray, out: AnyArray) -> None:
    """Set ``out[r, a, p, b] = (switches[r, players[p]] & difference[a, p, b]) ^ base[a, p, b]``.

    `switches` (k, n) have all bits set or none; an empty `base` stands for zeros.
    """
    row = np.empty(len(players), switches.dtype)
    for r in range(len(switches)):
        for p in range(len(players)):
            row[p] = switches[r, players[p]]
        for a in range(len(difference)):
            _write(row, difference[a], out[r, a])
        if base.size:
            out[r] ^= base


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _write(row: AnyArray, difference: AnyArray, out: AnyArray) -> None:
    if out.shape[1] == 1:  # a loop of its own, because only this one becomes vector instructions
        for p in range(len(row)):
            out[p, 0] = row[p] & difference[p, 0]
        return
    for p in range(len(row)):
        for b in range(out.shape[1]):
            out[p, b] = row[p] & difference[p, b]
