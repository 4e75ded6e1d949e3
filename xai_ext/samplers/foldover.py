"""Pairs of complements, each nearly orthogonal to the others."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from xai_ext._types import BoolArray, FloatArray
from xai_ext.samplers._base import Group, empty_coalitions
from xai_ext.samplers.bernoulli import Bernoulli

_BLOCK = 1_000  # pairs that are told apart; work grows with their square
_MOST_PLAYERS = 2_000  # beyond, fair coins are as good as orthogonal, and cheaper
_MOST_PER_PAIR = 3  # beyond, the first players would be exchanged in all pairs alike, and not be told apart


@dataclass(frozen=True)
class Foldover:
    """Rows 2i and 2i+1 are complements; each pair is chosen to say what the pairs before it have not said.

    With +1 for a player kept and -1 for one absent, a pair starts as fair coins, and its signs are exchanged [1]_, one
    after the other, twice, wherever that lowers the sum of ``h^4 + c h^2`` over its inner products h with the i pairs
    before it, ``c = 2 n (n-1) (n-2) / i - (3 n - 2)``. Every single row is a row of fair coins: negating a player in
    all rows negates it in what comes out.

    Notes
    -----
    Complements cancel effects of even order [2]_. Of order q, the others leave in the coefficients a mean square
    proportional to the sum over pairs of rows of ``h K_q(h) / C(n, q)``, K_q the Krawtchouk polynomial: in proportion
    ``h^4 - (3 n - 2) h^2`` for triples; where players are not orthogonal, all that is left counts by ``h^2``. The
    energy above is the sum, if triples are half of what is left. Blocks of 1,000 pairs are independent of each other.
    With more than three players per pair the rows are fair coins.

    References
    ----------
    .. [1] Meyer, Nachtsheim, "The coordinate-exchange algorithm for constructing exact optimal experimental designs",
       Technometrics 37 (1995).
    .. [2] Box, Hunter, "The 2^(k-p) fractional factorial designs", Technometrics 3 (1961).
    """

    group: ClassVar[Group] = "orthogonal pair"

    def ask(self, n: int, size: int, rng: np.random.Generator) -> BoolArray:
        """``size`` coalitions, (size, n) bool; the last row of an odd size has no partner."""
        coalitions = empty_coalitions(n, size)
        for start in range(0, size, 2 * _BLOCK):
            part = coalitions[start : start + 2 * _BLOCK]
            first = Bernoulli().ask(n, (len(part) + 1) // 2, rng)
            part[::2] = _spread(first) if n <= min(_MOST_PLAYERS, _MOST_PER_PAIR * len(first)) else first
            np.logical_not(part[: len(part) - len(part) % 2 : 2], out=part[1::2])
        return coalitions

    def log_law(self, n: int) -> FloatArray:
        """Log-probability of each size: that of fair coins."""
        return Bernoulli().log_law(n)


def _spread(coalitions: BoolArray) -> BoolArray:
    from xai_ext.samplers._foldover_kernel import spread  # numba is imported with the first design

    signs = np.ascontiguousarray(np.where(coalitions.T, 1.0, -1.0))
    spread(signs)
    return signs.T > 0
