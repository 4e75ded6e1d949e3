"""Harmonic filling of missing pixels: conjugate gradients preconditioned by multigrid, for many masks at once.

Every missing pixel is the weighted mean of its eight neighbours. A level of the hierarchy is a graph on a grid: weights
of the edges to the east, south, south-east and south-west, and the weight that ties each node to known pixels.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate, pad

from xai_ext._types import AnyArray

_ORTHOGONAL, _DIAGONAL = 1 / 6, 1 / 12
_DAMPING = 0.8
_COARSE_STEP = 1.5  # piecewise constant corrections are too short
_COARSEST_SWEEPS = 8
_MOST_ITERATIONS = 500


@dataclass(frozen=True, eq=False)
class Level:
    """Weights (k, 1, H, W); an edge that leaves the grid, or that a known pixel has, weighs 0."""

    east: Tensor
    south: Tensor
    south_east: Tensor
    south_west: Tensor
    known: Tensor

    @cached_property
    def diagonal(self) -> Tensor:
        total = self.known + self.east + self.south + self.south_east + self.south_west
        total[..., 1:] += self.east[..., :-1]
        total[..., 1:, :] += self.south[..., :-1, :]
        total[..., 1:, 1:] += self.south_east[..., :-1, :-1]
        total[..., 1:, :-1] += self.south_west[..., :-1, 1:]
        return total

    @cached_property
    def step(self) -> Tensor:
        """Of a damped Jacobi sweep; 0 where nothing is missing."""
        return torch.where(self.diagonal > 0, _DAMPING / self.diagonal, 0.0)

    def residual(self, b: Tensor, x: Tensor) -> Tensor:
        """``b`` minus the operator applied to ``x`` (k, C, H, W)."""
        r = torch.addcmul(b, self.diagonal, x, value=-1)
        r[..., :-1].addcmul_(self.east[..., :-1], x[..., 1:])
        r[..., 1:].addcmul_(self.east[..., :-1], x[..., :-1])
        r[..., :-1, :].addcmul_(self.south[..., :-1, :], x[..., 1:, :])
        r[..., 1:, :].addcmul_(self.south[..., :-1, :], x[..., :-1, :])
        r[..., :-1, :-1].addcmul_(self.south_east[..., :-1, :-1], x[..., 1:, 1:])
        r[..., 1:, 1:].addcmul_(self.south_east[..., :-1, :-1], x[..., :-1, :-1])
        r[..., :-1, 1:].addcmul_(self.south_west[..., :-1, 1:], x[..., 1:, :-1])
        r[..., 1:, :-1].addcmul_(self.south_west[..., :-1, 1:], x[..., :-1, 1:])
        return r

    def coarser(self) -> "Level":
        """Blocks of 2 x 2 as one node: edges inside a block vanish, parallel edges add up."""
        e, s, se, sw, known = (_even(w) for w in (self.east, self.south, self.south_east, self.south_west, self.known))
        top, low = slice(0, None, 2), slice(1, None, 2)
        # a south-west edge is stored at its north-east end
        from_next = pad(sw[..., top, top][..., 1:], (0, 1))
        east = e[..., top, low] + e[..., low, low] + se[..., top, low] + from_next
        south = s[..., low, top] + s[..., low, low] + se[..., low, top] + sw[..., low, low]
        return Level(east, south, se[..., low, low], sw[..., low, top], 4 * avg_pool2d(known, 2))


def fill(images: Tensor, missing: Tensor, tol: float) -> Tensor:
    """Images with their missing pixels filled.

    Parameters
    ----------
    images : Tensor (C, H, W)
        Floating point.
    missing : bool Tensor (k, H, W)
    tol : float
        Relative norm of the residual at which a system is solved; float64 below 1e-5.

    Returns
    -------
    Tensor (k, C, H, W)
        In the dtype of `images`; an image without any known pixel is its mean colour.
    """
    dtype = torch.float64 if tol < 1e-5 or images.dtype == torch.float64 else torch.float32
    gaps = missing[:, None].to(dtype)
    mean = images.to(dtype).mean((1, 2), keepdim=True)
    centred = images.to(dtype) - mean
    right = _neighbours(centred * (1 - gaps)) * gaps
    levels = _hierarchy(_finest(gaps))
    solved = _solve_in_cache(levels, right, tol) if right.device.type == "cpu" else _solve(levels, right, tol)
    filled = solved + mean
    return torch.where(missing[:, None], filled.to(images.dtype), images)


def _finest(gaps: Tensor) -> Level:
    east, south = _ORTHOGONAL * gaps, _ORTHOGONAL * gaps
    south_east, south_west = _DIAGONAL * gaps, _DIAGONAL * gaps
    east = east * pad(gaps[..., 1:], (0, 1))
    south = south * pad(gaps[..., 1:, :], (0, 0, 0, 1))
    south_east = south_east * pad(gaps[..., 1:, 1:], (0, 1, 0, 1))
    south_west = south_west * pad(gaps[..., 1:, :-1], (1, 0, 0, 1))
    return Level(east, south, south_east, south_west, _neighbours(1 - gaps) * gaps)


def _neighbours(x: Tensor) -> Tensor:
    """Weighted sum over the eight neighbours inside the image: (1, 2, 1) x (1, 2, 1) / 12 without its centre."""
    rows = 2 * x
    rows[..., 1:] += x[..., :-1]
    rows[..., :-1] += x[..., 1:]
    total = 2 * rows
    total[..., 1:, :] += rows[..., :-1, :]
    total[..., :-1, :] += rows[..., 1:, :]
    return total.sub_(x, alpha=4).mul_(_DIAGONAL)


def _hierarchy(level: Level) -> list[Level]:
    levels = [level]
    while max(levels[-1].known.shape[-2:]) > 2:
        levels.append(levels[-1].coarser())
    return levels


def _solve_in_cache(levels: list[Level], b: Tensor, tol: float) -> Tensor:
    """The same, one system after the other: a CPU's cache holds one."""
    from xai_ext.metrics._multigrid_kernels import solve

    framed = [_framed(torch.cat([w.diagonal, w.east, w.south, w.south_east, w.south_west, w.step], 1)) for w in levels]
    sides = np.array([w.shape[2:] for w in framed])
    right = _framed(b)
    found = np.zeros_like(right)
    for i in range(b.shape[0]):
        weights = np.concatenate([w[i].ravel() for w in framed])
        for c in range(b.shape[1]):
            if solve(weights, sides, right[i, c], found[i, c], tol, _MOST_ITERATIONS) < 0:
                raise RuntimeError(_no_convergence(tol))
    return torch.from_numpy(np.ascontiguousarray(found[..., 1:-1, 1:-1]))


def _framed(x: Tensor) -> AnyArray:
    return pad(x, (1, 1, 1, 1)).contiguous().numpy()


def _no_convergence(tol: float) -> str:
    return f"imputation did not converge to {tol} in {_MOST_ITERATIONS} iterations; fix: a larger tol"


def _solve(levels: list[Level], b: Tensor, tol: float) -> Tensor:
    """Conjugate gradients; each system (k, C) stops on its own."""
    x, r = torch.zeros_like(b), b
    limit = tol * _norm(b)
    z = p = _cycle(levels, r)
    rz = _dot(r, z)
    for _ in range(_MOST_ITERATIONS):
        active = _norm(r) > limit
        if not bool(active.any()):
            return x
        minus_ap = levels[0].residual(torch.zeros_like(p), p)
        alpha = torch.where(active, rz / -_dot(p, minus_ap), 0.0)
        x, r = torch.addcmul(x, alpha, p), torch.addcmul(r, alpha, minus_ap)
        z = _cycle(levels, r)
        before, rz = rz, _dot(r, z)
        p = torch.addcmul(z, torch.where(active, rz / before, 0.0), p)
    raise RuntimeError(_no_convergence(tol))


def _cycle(levels: list[Level], b: Tensor) -> Tensor:
    """One V-cycle from 0: the preconditioner."""
    level, coarser = levels[0], levels[1:]
    x = level.step * b
    if not coarser:
        for _ in range(_COARSEST_SWEEPS - 1):
            x = torch.addcmul(x, level.step, level.residual(b, x))
        return x
    coarse = _cycle(coarser, 4 * avg_pool2d(_even(level.residual(b, x)), 2))
    height, width = b.shape[-2:]
    up = interpolate(coarse, scale_factor=2, mode="nearest")[..., :height, :width]
    x = torch.where(level.diagonal > 0, x.add(up, alpha=_COARSE_STEP), 0.0)
    return x.addcmul_(level.step, level.residual(b, x))


def _even(x: Tensor) -> Tensor:
    height, width = x.shape[-2:]
    return x if height % 2 == width % 2 == 0 else pad(x, (0, width % 2, 0, height % 2))


def _dot(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).sum((2, 3), keepdim=True)


def _norm(a: Tensor) -> Tensor:
    return _dot(a, a).sqrt()
