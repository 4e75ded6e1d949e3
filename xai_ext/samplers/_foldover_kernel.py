"""Coordinate exchange for nearly orthogonal rows of signs, compiled."""

import numpy as np
from numba import njit

from xai_ext._types import FloatArray

PASSES = 2


# sums of whole numbers below 2^53 are exact in any order, so that reordered ones have the same bits
@njit(cache=True, fastmath=True)  # type: ignore[untyped-decorator]
def spread(signs: FloatArray) -> None:
    """Change signs (n, m) of one column after the other, in place, where that lowers its energy with those before it.

    The energy of column i with earlier ones is the sum of h^4 + c h^2 over their inner products h with it,
    c = 2 n (n-1) (n-2) / i - (3 n - 2).
    """
    n, m = signs.shape
    inner, slope = np.empty(m), np.empty(m)
    for i in range(1, m):
        c = float(2 * n * (n - 1) * (n - 2) // i - (3 * n - 2))
        inner[:i] = 0.0
        for k in range(n):
            _add(inner, signs[k, i], signs[k], i)
        for _ in range(PASSES):
            constant, changed = _derivatives(inner, slope, c, i), False
            for k in range(n):
                odd = 0.0
                for j in range(i):
                    odd += signs[k, j] * slope[j]
                if constant < signs[k, i] * odd:
                    _add(inner, -2 * signs[k, i], signs[k], i)
                    signs[k, i] = -signs[k, i]
                    constant, changed = _derivatives(inner, slope, c, i), True
            if not changed:
                break


@njit(cache=True, fastmath=True)  # type: ignore[untyped-decorator]
def _add(inner: FloatArray, factor: float, row: FloatArray, i: int) -> None:
    for j in range(i):
        inner[j] += factor * row[j]


@njit(cache=True, fastmath=True)  # type: ignore[untyped-decorator]
def _derivatives(inner: FloatArray, slope: FloatArray, c: float, i: int) -> float:
    """A quarter of what h -> h - 2 s adds to h^4 + c h^2 is constant - s slope: the sum of constants, and slopes."""
    constant = 0.0
    for j in range(i):
        h = inner[j]
        slope[j] = h * (2 * h * h + 8 + c)
        constant += 6 * h * h + 4 + c
    return constant
