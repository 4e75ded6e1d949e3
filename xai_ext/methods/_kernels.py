"""LIME's weights of coalitions: exp(-distance^2 / (2 width^2))."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from xai_ext._checks import InputTypeError, check_choice, check_positive
from xai_ext._types import BoolArray, FloatArray
from xai_ext.game import Game

Weigh = Callable[[BoolArray], FloatArray]


@dataclass(frozen=True)
class Cosine:
    """Cosine distance of the coalition to the grand coalition, 1 - sqrt(s / n): the kernel of lime.

    Parameters
    ----------
    width : float
        In units of that distance.
    """

    width: float = 0.25

    def __post_init__(self) -> None:
        check_positive("width", self.width)

    def __call__(self, coalitions: BoolArray) -> FloatArray:
        """Weights (m,) of coalitions (m, n)."""
        return _gauss(self.distance(coalitions), self.width)

    def distance(self, coalitions: BoolArray) -> FloatArray:
        """Distances (m,) to the grand coalition."""
        return np.asarray(1 - np.sqrt(coalitions.mean(1)))

    def width_for(self, n: int) -> float:
        """The width with n players."""
        return self.width


@dataclass(frozen=True)
class Euclidean:
    """Euclidean distance of the coalition to the grand coalition, sqrt(n - s).

    Parameters
    ----------
    width : float, optional
        In units of that distance; None is 0.75 sqrt(n).
    """

    width: float | None = None

    def __post_init__(self) -> None:
        if self.width is not None:
            check_positive("width", self.width)

    def __call__(self, coalitions: BoolArray) -> FloatArray:
        """Weights (m,) of coalitions (m, n)."""
        return _gauss(self.distance(coalitions), self.width_for(coalitions.shape[1]))

    def distance(self, coalitions: BoolArray) -> FloatArray:
        """Distances (m,) to the grand coalition."""
        return np.asarray(np.sqrt(coalitions.shape[1] - coalitions.sum(1)))

    def width_for(self, n: int) -> float:
        """The width with n players."""
        return float(0.75 * np.sqrt(n)) if self.width is None else self.width


@dataclass(frozen=True)
class PixelCosine:
    """Cosine distance between the flattened input and the flattened masked input: Captum's default kernel.

    Computed without making an image: with ``p_i = <x, x>``, ``q_i = <x, b>``, ``r_i = <b, b>`` over the elements
    of player i, the cosine is ``(z.p + (1-z).q) / sqrt(sum(p) (z.p + (1-z).r))``.

    Parameters
    ----------
    width : float
        In units of that distance.
    """

    width: float = 1.0

    def __post_init__(self) -> None:
        check_positive("width", self.width)

    def on(self, game: Game) -> Weigh:
        """The kernel of one input: coalitions (m, n) -> weights (m,)."""
        xx, xb, bb = _inner_products(game)
        norm = xx.sum()

        def weigh(coalitions: BoolArray) -> FloatArray:
            inner = coalitions @ (xx - xb) + xb.sum()
            squared = norm * (coalitions @ (xx - bb) + bb.sum())
            cosine = np.divide(inner, np.sqrt(squared), out=np.zeros_like(inner), where=squared > 0)
            return _gauss(1 - cosine, self.width)

        return weigh


Kernel = Cosine | Euclidean | PixelCosine | Weigh


KERNELS: dict[str, type[Cosine | Euclidean | PixelCosine]] = {
    "cosine": Cosine,
    "euclidean": Euclidean,
    "pixel_cosine": PixelCosine,
}


def named_kernel(kernel: str | Kernel, width: float) -> Kernel:
    """The kernel of that name and width, or the given one."""
    if isinstance(kernel, str):
        return KERNELS[check_choice("kernel", kernel, KERNELS)](width)
    if not callable(kernel) and not isinstance(kernel, PixelCosine):
        raise InputTypeError(f"kernel must be a name or a callable of coalitions, got {type(kernel).__name__}")
    return kernel


def _gauss(distance: FloatArray, width: float) -> FloatArray:
    return np.asarray(np.exp(-(distance**2) / (2 * width**2)))


def _inner_products(game: Game) -> FloatArray:
    """<x, x>, <x, b>, <b, b> over the elements of each player, (3, n)."""
    totals = torch.zeros(3, game.n_players, dtype=torch.float64)
    inputs, baselines = game.masked_model.inputs, game.masked_model.baselines
    for x, b, labels in zip(inputs, baselines, game.labels, strict=True):
        x64, b64 = x.cpu().double(), b.cpu().double()
        products = torch.stack([x64 * x64, x64 * b64, b64 * b64]).reshape(3, -1)
        totals.index_add_(1, torch.from_numpy(labels).expand(x.shape).flatten(), products)
    return np.asarray(totals.numpy())
