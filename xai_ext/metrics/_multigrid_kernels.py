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


@njit(cache=True, fastmath=True)  # type: ignore[untyped-decorator]
def _cycle(ws, bs, xs, rs) -> None:  # type: ignore[no-untyped-def] # noqa: ANN001
    """One V-cycle: from ``bs[0]`` to ``xs[0]``."""
    last = len(ws) - 1
    for n in range(last):
        _start(ws[n], bs[n], xs[n])
        _residual(ws[n], bs[n], xs[n], rs[n])
        _restrict(rs[n], bs[n + 1])
    _start(ws[last], bs[last], xs[last])
    for _ in range(COARSEST_SWEEPS - 1):
        _sweep(ws[last], bs[last], xs[last], rs[last])
    for n in range(last - 1, -1, -1):
        _correct(ws[n], xs[n + 1], xs[n])
        _sweep(ws[n], bs[n], xs[n], rs[n])


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
def solve(ws, bs, xs, rs, b, x, tol, most) -> int:  # type: ignore[no-untyped-def] # noqa: ANN001
    """Preconditioned conjugate gradients from ``x`` = 0; the iterations it took, or -1."""
    p, ap, nothing = np.zeros_like(b), np.zeros_like(b), np.zeros_like(b)
    r = bs[0]
    r[:] = b
    limit = tol * tol * _dot(b, b)
    rz = 0.0
    for n in range(most + 1):
        if _dot(r, r) <= limit:
            return n
        _cycle(ws, bs, xs, rs)
        before, rz = rz, _dot(r, xs[0])
        _turn(p, rz / before if n else 0.0, xs[0])
        _residual(ws[0], nothing, p, ap)  # minus the operator
        alpha = -rz / _dot(p, ap)
        _add(x, alpha, p)
        _add(r, alpha, ap)
    return -1
