"""The solver of `_multigrid` on a CPU: one system at a time, in cache. Grids carry a frame of zeros."""

import numpy as np
from numba import njit

from xai_ext._types import AnyArray

COARSE_STEP = 1.5
COARSEST_SWEEPS = 8


@njit(cache=True, fastmath=True)  # type: ignore[untyped-decorator]
def _residual(w: AnyArray, b: AnyArray, x: AnyArray, out: AnyArray) -> None:
    """``w`` holds diagonal, east, south, south-east, south-west and step."""
    for i in range(1, x.shape[0] - 1):
        for j in range(1, x.shape[1] - 1):
            out[i, j] = (
                b[i, j]
                - w[0, i, j] * x[i, j]
                + w[1, i, j] * x[i, j + 1]
                + w[1, i, j - 1] * x[i, j - 1]
                + w[2, i, j] * x[i + 1, j]
                + w[2, i - 1, j] * x[i - 1, j]
                + w[3, i, j] * x[i + 1, j + 1]
                + w[3, i - 1, j - 1] * x[i - 1, j - 1]
                + w[4, i, j] * x[i + 1, j - 1]
                + w[4, i - 1, j + 1] * x[i - 1, j + 1]
            )


@njit(cache=True, fastmath=True)  # type: ignore[untyped-decorator]
def _start(w: AnyArray, b: AnyArray, x: AnyArray) -> None:
    for i in range(1, x.shape[0] - 1):
        for j in range(1, x.shape[1] - 1):
            x[i, j] = w[5, i, j] * b[i, j]


@njit(cache=True, fastmath=True)  # type: ignore[untyped-decorator]
def _sweep(w: AnyArray, b: AnyArray, x: AnyArray, r: AnyArray) -> None:
    _residual(w, b, x, r)
    for i in range(1, x.shape[0] - 1):
        for j in range(1, x.shape[1] - 1):
            x[i, j] += w[5, i, j] * r[i, j]


@njit(cache=True, fastmath=True)  # type: ignore[untyped-decorator]
def _restrict(r: AnyArray, coarse: AnyArray) -> None:
    for i in range(1, coarse.shape[0] - 1):
        for j in range(1, coarse.shape[1] - 1):
            coarse[i, j] = r[2 * i - 1, 2 * j - 1] + r[2 * i - 1, 2 * j] + r[2 * i, 2 * j - 1] + r[2 * i, 2 * j]


@njit(cache=True, fastmath=True)  # type: ignore[untyped-decorator]
def _correct(w: AnyArray, coarse: AnyArray, x: AnyArray) -> None:
    for i in range(1, x.shape[0] - 1):
        for j in range(1, x.shape[1] - 1):
            if w[0, i, j] > 0:
                x[i, j] += COARSE_STEP * coarse[(i + 1) // 2, (j + 1) // 2]


@njit(cache=True)  # type: ignore[untyped-decorator]
def _at(flat: AnyArray, sides: AnyArray, n: int) -> AnyArray:
    """Level ``n`` of grids that lie one behind the other."""
    start = 0
    for m in range(n):
        start += sides[m, 0] * sides[m, 1]
    return flat[start : start + sides[n, 0] * sides[n, 1]].reshape(sides[n, 0], sides[n, 1])


@njit(cache=True)  # type: ignore[untyped-decorator]
def _weights(flat: AnyArray, sides: AnyArray, n: int) -> AnyArray:
    start = 0
    for m in range(n):
        start += 6 * sides[m, 0] * sides[m, 1]
    return flat[start : start + 6 * sides[n, 0] * sides[n, 1]].reshape(6, sides[n, 0], sides[n, 1])


@njit(cache=True, fastmath=True)  # type: ignore[untyped-decorator]
def _cycle(w: AnyArray, b: AnyArray, x: AnyArray, r: AnyArray, sides: AnyArray) -> None:
    """One V-cycle: from the finest level of ``b`` to that of ``x``."""
    last = len(sides) - 1
    for n in range(last):
        wn, bn, xn, rn = _weights(w, sides, n), _at(b, sides, n), _at(x, sides, n), _at(r, sides, n)
        _start(wn, bn, xn)
        _residual(wn, bn, xn, rn)
        _restrict(rn, _at(b, sides, n + 1))
    wn, bn, xn, rn = _weights(w, sides, last), _at(b, sides, last), _at(x, sides, last), _at(r, sides, last)
    _start(wn, bn, xn)
    for _ in range(COARSEST_SWEEPS - 1):
        _sweep(wn, bn, xn, rn)
    for n in range(last - 1, -1, -1):
        wn, bn, xn, rn = _weights(w, sides, n), _at(b, sides, n), _at(x, sides, n), _at(r, sides, n)
        _correct(wn, _at(x, sides, n + 1), xn)
        _sweep(wn, bn, xn, rn)


@njit(cache=True, fastmath=True)  # type: ignore[untyped-decorator]
def _dot(a: AnyArray, b: AnyArray) -> float:
    total = 0.0
    for i in range(a.shape[0]):
        row = a[i, 0] * 0  # rows in the arrays' precision, their sum in float64
        for j in range(a.shape[1]):
            row += a[i, j] * b[i, j]
        total += row
    return total


@njit(cache=True, fastmath=True)  # type: ignore[untyped-decorator]
def _add(x: AnyArray, factor: float, p: AnyArray) -> None:
    f = x.dtype.type(factor)
    for i in range(x.shape[0]):
        for j in range(x.shape[1]):
            x[i, j] += f * p[i, j]


@njit(cache=True, fastmath=True)  # type: ignore[untyped-decorator]
def _turn(p: AnyArray, factor: float, z: AnyArray) -> None:
    f = p.dtype.type(factor)
    for i in range(p.shape[0]):
        for j in range(p.shape[1]):
            p[i, j] = z[i, j] + f * p[i, j]


@njit(cache=True, fastmath=True)  # type: ignore[untyped-decorator]
def solve(w: AnyArray, sides: AnyArray, right: AnyArray, x: AnyArray, tol: float, most: int) -> int:
    """Preconditioned conjugate gradients from ``x`` = 0.

    ``w`` holds the weights of all levels, finest first, whose sides with frame are ``sides`` (n, 2). Returns the
    iterations it took, or -1.
    """
    total = 0
    for n in range(len(sides)):
        total += sides[n, 0] * sides[n, 1]
    b, z, work = np.zeros(total, right.dtype), np.zeros(total, right.dtype), np.zeros(total, right.dtype)
    p, ap, nothing = np.zeros_like(right), np.zeros_like(right), np.zeros_like(right)
    finest, r, corrected = _weights(w, sides, 0), _at(b, sides, 0), _at(z, sides, 0)
    r[:] = right
    limit = tol * tol * _dot(right, right)
    rz = 0.0
    for n in range(most + 1):
        if _dot(r, r) <= limit:
            return n
        _cycle(w, b, z, work, sides)
        before, rz = rz, _dot(r, corrected)
        _turn(p, rz / before if n else 0.0, corrected)
        _residual(finest, nothing, p, ap)  # minus the operator
        alpha = -rz / _dot(p, ap)
        _add(x, alpha, p)
        _add(r, alpha, ap)
    return -1
