"""Pairs of a coalition and its complement."""

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from xai_ext._checks import InputError
from xai_ext._types import BoolArray, FloatArray
from xai_ext.samplers._base import Group, Sampler, empty_coalitions
from xai_ext.samplers.bernoulli import Bernoulli


@dataclass(frozen=True)
class Antithetic:
    """Rows 2i and 2i+1 are complements, so that even-order interactions cancel in every pair [1]_.

    Parameters
    ----------
    base : Sampler
        Draws the first of each pair; its law must be symmetric, P(s) = P(n-s), or the pairs would follow
        another law than the one they are weighted with.

    References
    ----------
    .. [1] Covert, Lee, "Improving KernelSHAP", AISTATS 2021, sec. 3.3.
    """

    base: Sampler = field(default_factory=Bernoulli)
    group: ClassVar[Group] = "pair"

    def ask(self, n: int, size: int, rng: np.random.Generator) -> BoolArray:
        """``size`` coalitions, (size, n) bool; the last row of an odd size has no partner."""
        self.log_law(n)
        coalitions = empty_coalitions(n, size)
        coalitions[::2] = self.base.ask(n, (size + 1) // 2, rng)
        np.logical_not(coalitions[: size - size % 2 : 2], out=coalitions[1::2])
        return coalitions

    def log_law(self, n: int) -> FloatArray:
        """Log-probability of each size: that of the base."""
        law = self.base.log_law(n)
        if not np.allclose(np.exp(law), np.exp(law[::-1]), atol=1e-12):
            raise InputError(f"Antithetic needs a law with P(s) = P(n-s), got {self.base}; fix: Bernoulli(0.5)")
        return law
