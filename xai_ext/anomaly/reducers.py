"""Evidence per position -> one number per sample.

Every reducer maps residuals (N, 1, h, w), not below 0, to scores (N,).
"""

import math
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from xai_ext._checks import InputError, InputTypeError, check_at_least, check_choice, check_positive
from xai_ext._types import BoolArray

__all__ = ["KthLargest", "LogSumExp", "Max", "Mean", "Quantile", "Reducer", "Region", "Sum", "TopK", "named_reducer"]


class Reducer(Protocol):
    """What every reducer offers."""

    def __call__(self, evidence: Tensor) -> Tensor:
        """Scores (N,) of evidence (N, 1, h, w)."""
        ...


@dataclass(frozen=True)
class Max:
    """The largest position; its gradient sees that position alone."""

    def __call__(self, evidence: Tensor) -> Tensor:
        """See `Reducer`."""
        return evidence.flatten(1).amax(1)


@dataclass(frozen=True)
class Mean:
    """The mean over positions."""

    def __call__(self, evidence: Tensor) -> Tensor:
        """See `Reducer`."""
        return evidence.flatten(1).mean(1)


@dataclass(frozen=True)
class Sum:
    """The sum over positions."""

    def __call__(self, evidence: Tensor) -> Tensor:
        """See `Reducer`."""
        return evidence.flatten(1).sum(1)


@dataclass(frozen=True)
class TopK:
    """The mean of the ``k`` largest positions; an int counts, a float is a share: max(1, floor(k P + 1/2))."""

    k: int | float

    def __post_init__(self) -> None:
        if isinstance(self.k, float) and not 0 < self.k <= 1:
            raise InputError(f"a share k must lie in (0, 1], got {self.k}; fix: an int counts positions")
        if not isinstance(self.k, float):
            check_at_least("k", self.k, 1)

    def count(self, n_positions: int) -> int:
        """How many of ``n_positions``."""
        if isinstance(self.k, float):
            return max(1, math.floor(self.k * n_positions + 0.5))
        return _at_most(self.k, n_positions)

    def __call__(self, evidence: Tensor) -> Tensor:
        """See `Reducer`."""
        flat = evidence.flatten(1)
        return flat.topk(self.count(flat.shape[1]), dim=1).values.mean(1)


@dataclass(frozen=True)
class KthLargest:
    """The k-th largest position."""

    k: int

    def __post_init__(self) -> None:
        check_at_least("k", self.k, 1)

    def count(self, n_positions: int) -> int:
        """Its rank among ``n_positions``."""
        return _at_most(self.k, n_positions)

    def __call__(self, evidence: Tensor) -> Tensor:
        """See `Reducer`."""
        flat = evidence.flatten(1)
        return flat.topk(self.count(flat.shape[1]), dim=1).values[:, -1]


@dataclass(frozen=True)
class Quantile:
    """The smallest position with at least a share ``q`` of positions at or below it."""

    q: float

    def __post_init__(self) -> None:
        if not 0 <= self.q <= 1:
            raise InputError(f"q must lie in 0..1, got {self.q}")

    def count(self, n_positions: int) -> int:
        """Its rank from above among ``n_positions``."""
        return n_positions + 1 - max(1, math.ceil(self.q * n_positions))

    def __call__(self, evidence: Tensor) -> Tensor:
        """See `Reducer`."""
        return KthLargest(self.count(evidence[0].numel()))(evidence)


@dataclass(frozen=True)
class LogSumExp:
    """(1/beta) ln mean exp(beta r): between mean (beta -> 0) and maximum."""

    beta: float

    def __post_init__(self) -> None:
        check_positive("beta", self.beta)

    def __call__(self, evidence: Tensor) -> Tensor:
        """See `Reducer`."""
        flat = evidence.flatten(1)
        return (torch.logsumexp(self.beta * flat, 1) - math.log(flat.shape[1])) / self.beta


@dataclass(frozen=True, eq=False)
class Region:
    """``inner`` over the positions of ``mask``, bool (h, w): explains one defect of several."""

    mask: BoolArray
    inner: Reducer

    def __call__(self, evidence: Tensor) -> Tensor:
        """See `Reducer`."""
        mask = torch.as_tensor(self.mask, dtype=torch.bool, device=evidence.device)
        if mask.shape != evidence.shape[2:] or not mask.any():
            raise InputError(
                f"the mask of a Region must be bool of the map's shape {tuple(evidence.shape[2:])} and not empty, got "
                f"{tuple(mask.shape)}; fix: xai_ext.metrics.resize_map(mask[None], shape), which takes the nearest"
            )
        return self.inner(evidence[:, :, mask][:, :, None])


def named_reducer(reduce: str | Reducer) -> Reducer:
    """A reducer by name ("max", "mean", "sum"), or itself."""
    named: dict[str, Reducer] = {"max": Max(), "mean": Mean(), "sum": Sum()}
    if isinstance(reduce, str):
        return named[check_choice("reduce", reduce, named)]
    if isinstance(reduce, type) or not callable(reduce):
        raise InputTypeError(f"reduce must be a reducer such as Max() or TopK(10), got {reduce!r}")
    return reduce


def _at_most(k: int, n_positions: int) -> int:
    if k > n_positions:
        raise InputError(f"k must be at most the {n_positions} positions of the map, got {k}")
    return k
