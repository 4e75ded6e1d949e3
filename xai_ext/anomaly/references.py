"""What a sample would look like if it were normal: inputs (N, ...) -> tensors of the same shape."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from xai_ext._checks import InputError, check_at_least, check_choice
from xai_ext.anomaly._output import check_samples

__all__ = ["Constant", "MeanNormal", "NearestNormal", "Reconstruction"]


@dataclass(frozen=True, eq=False)
class Reconstruction:
    """What a `ReconstructionScore` makes of a sample, ``iterations`` times over."""

    score: Any
    iterations: int = 1

    def __post_init__(self) -> None:
        check_at_least("iterations", self.iterations, 1)
        if not hasattr(self.score, "reconstruct"):
            raise InputError(f"score must be a ReconstructionScore, got {type(self.score).__name__}")

    @torch.no_grad()
    def __call__(self, x: Tensor) -> Tensor:
        """The reference of each sample."""
        made = check_samples(x).detach()
        for _ in range(self.iterations):
            made = self.score.reconstruct(made)
        return made


@dataclass(frozen=True, eq=False)
class NearestNormal:
    """The normal sample of a bank (m, ...) that is nearest to each input, in Euclidean distance.

    Parameters
    ----------
    bank : Tensor (m, ...)
    space : "pixel" or callable
        Where distances are taken; a callable maps samples (N, ...) to features.
    """

    bank: Tensor
    space: str | Callable[[Tensor], Tensor] = "pixel"

    def __post_init__(self) -> None:
        _check_bank(self.bank)
        if not callable(self.space):
            check_choice("space", self.space, ("pixel",))

    @torch.no_grad()
    def __call__(self, x: Tensor) -> Tensor:
        """The reference of each sample."""
        bank = _matching(self.bank, x)
        a, b = (self._features(t) for t in (x.detach(), bank))
        return bank[torch.cdist(a, b).argmin(1)].clone()

    def _features(self, samples: Tensor) -> Tensor:
        made = self.space(samples) if callable(self.space) else samples
        return made.flatten(1).double()


@dataclass(frozen=True, eq=False)
class MeanNormal:
    """The mean of a bank of normals (m, ...): itself rarely a normal sample."""

    bank: Tensor

    def __post_init__(self) -> None:
        _check_bank(self.bank)

    @torch.no_grad()
    def __call__(self, x: Tensor) -> Tensor:
        """The reference of each sample."""
        return _matching(self.bank, x).mean(0, keepdim=True).expand_as(x).clone()


@dataclass(frozen=True)
class Constant:
    """One number everywhere."""

    value: float = 0.0

    def __call__(self, x: Tensor) -> Tensor:
        """The reference of each sample."""
        return torch.full_like(check_samples(x).detach(), self.value)


def _check_bank(bank: Tensor) -> None:
    if not isinstance(bank, Tensor) or bank.dim() < 2 or not len(bank):
        raise InputError(f"bank must be a tensor of normals (m, ...), got {type(bank).__name__}")


def _matching(bank: Tensor, x: Tensor) -> Tensor:
    if bank.shape[1:] != check_samples(x).shape[1:]:
        raise InputError(f"the bank holds samples of shape {tuple(bank.shape[1:])}, the inputs {tuple(x.shape[1:])}")
    return bank.to(x)
