"""Independent players: the plain Monte Carlo of LIME."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from scipy.special import xlog1py, xlogy

from xai_ext._checks import InputError
from xai_ext._types import BoolArray, FloatArray
from xai_ext.samplers._base import Group, empty_coalitions
from xai_ext.samplers._laws import log_binomial

_CHUNK = 2**20  # random numbers held at once


@dataclass(frozen=True)
class Bernoulli:
    """Each player is kept with probability ``p``, independently.

    Parameters
    ----------
    p : float in (0, 1)
        0.5 is the law of LIME [1]_.

    References
    ----------
    .. [1] Ribeiro, Singh, Guestrin, "Why should I trust you?", KDD 2016, sec. 3.3.
    """

    p: float = 0.5
    group: ClassVar[Group] = "row"

    def __post_init__(self) -> None:
        if not 0 < self.p < 1:
            raise InputError(f"p must lie strictly between 0 and 1, got {self.p}")

    def ask(self, n: int, size: int, rng: np.random.Generator) -> BoolArray:
        """``size`` coalitions, (size, n) bool. Asking twice gives what asking once for the sum gives."""
        coalitions = empty_coalitions(n, size)
        rows = max(1, _CHUNK // max(1, n))
        for start in range(0, size, rows):
            part = coalitions[start : start + rows]
            np.less(rng.random(part.shape), self.p, out=part)
        return coalitions

    def log_law(self, n: int) -> FloatArray:
        """Log-probability of each size: binomial."""
        log_sizes, s = log_binomial(n), np.arange(n + 1)
        return np.asarray(log_sizes + xlogy(s, self.p) + xlog1py(n - s, -self.p))
