"""The contract of a sampler."""

from typing import Literal, Protocol

import numpy as np

from xai_ext._checks import check_at_least
from xai_ext._types import BoolArray, FloatArray

Group = Literal["row", "pair", "orthogonal pair", "stratum", "stratum of pairs"]


def empty_coalitions(n: int, size: int) -> BoolArray:
    """Room for ``size`` coalitions of n players."""
    return np.empty((check_at_least("size", size, 0), check_at_least("n", n, 0)), dtype=bool)


class Sampler(Protocol):
    """Draws coalitions of n players.

    Attributes
    ----------
    group : {"row", "pair", "orthogonal pair", "stratum", "stratum of pairs"}
        What is independent of what: single rows; rows 2i and 2i+1 together; such pairs that are nearly
        orthogonal to each other; rows given the sizes that the sampler fixed in advance; pairs given their sizes.
    """

    @property
    def group(self) -> Group: ...

    def ask(self, n: int, size: int, rng: np.random.Generator) -> BoolArray:
        """``size`` coalitions, (size, n) bool; True keeps a player."""
        ...

    def log_law(self, n: int) -> FloatArray:
        """Log-probability of each coalition size 0..n, (n+1,); -inf where a size is never drawn.

        Coalitions of equal size are equally probable.
        """
        ...
