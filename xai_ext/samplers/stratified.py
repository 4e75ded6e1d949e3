"""Coalition sizes in fixed proportions."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from xai_ext._types import BoolArray, FloatArray
from xai_ext.samplers._base import Group


@dataclass(frozen=True)
class Stratified:
    """Every coalition size 0..n equally often, a random subset of that size in each row.

    The law is the target of stratified LIME [1]_; there rows draw their size at random, here the number of rows
    of each size is fixed up to one, by systematic sampling.

    References
    ----------
    .. [1] Rashid, Amparore, Ferrari, Verda, "Using stratified sampling to improve LIME image explanations",
       AAAI 2024.
    """

    group: ClassVar[Group] = "stratum"

    def ask(self, n: int, size: int, rng: np.random.Generator) -> BoolArray:
        """``size`` coalitions, (size, n) bool; sizes are counted within one of size / (n + 1)."""
        sizes = ((np.arange(size) + rng.random()) / size * (n + 1)).astype(int).clip(0, n)
        return rng.permutation(random_subsets(n, sizes, rng))

    def log_law(self, n: int) -> FloatArray:
        """Log-probability of each size: uniform."""
        return np.full(n + 1, -np.log(n + 1))


def random_subsets(n: int, sizes: np.ndarray, rng: np.random.Generator) -> BoolArray:
    """One uniformly random subset of each size, (len(sizes), n) bool."""
    coalitions = np.zeros((len(sizes), n), dtype=bool)
    for row, s in zip(coalitions, sizes, strict=True):
        row[rng.permutation(n)[:s]] = True
    return coalitions
