"""Coalition sizes in fixed proportions."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from xai_ext._checks import InputError, check_at_least, check_choice
from xai_ext._types import AnyArray, BoolArray, FloatArray, IntArray
from xai_ext.samplers import _laws
from xai_ext.samplers._base import Group


@dataclass(frozen=True)
class Stratified:
    """Coalition sizes after a law, a random subset of that size in each row.

    Parameters
    ----------
    law : {"uniform", "binomial", "shapley", "kernel"} or array (n+1,)
        Probability of each size s = 0..n: 1/(n+1), the target of stratified LIME [1]_; C(n, s)/2^n, fair coins;
        proportional to 1/(s(n-s)), KernelSHAP's [2]_; proportional to C(n, s) kernel(s), drawing from LIME's
        weighted law itself [3]_.
    pairs : bool
        Rows 2i and 2i+1 are complements; needs P(s) = P(n-s).
    allocation : {"fixed", "iid"}
        "fixed": the number of rows of each size is floor or ceil of ``size * P(s)``, by systematic sampling (with
        pairs, that of s = n/2 is off by less than 2). "iid": each row draws its own size, as published in [1]_.
    kernel : callable, optional
        Coalitions (m, n) -> weights (m,), of the size alone; for ``law="kernel"``.

    References
    ----------
    .. [1] Rashid, Amparore, Ferrari, Verda, "Using stratified sampling to improve LIME image explanations",
       AAAI 2024.
    .. [2] Lundberg, Lee, "A unified approach to interpreting model predictions", NeurIPS 2017.
    .. [3] Tan, Tian, Li, "GLIME: general, stable and local LIME explanation", NeurIPS 2023.
    """

    law: str | Sequence[float] | AnyArray = "uniform"
    pairs: bool = False
    allocation: str = "fixed"
    kernel: _laws.Kernel | None = None

    def __post_init__(self) -> None:
        check_choice("allocation", self.allocation, ("fixed", "iid"))
        if not isinstance(self.law, str):
            object.__setattr__(self, "law", _probabilities(self.law))  # hashable, and no longer the caller's array
        elif (check_choice("law", self.law, (*_laws.LAWS, "kernel")) == "kernel") != callable(self.kernel):
            raise InputError(
                f"law='kernel' and kernel=, a callable of coalitions, go together, got {self.law!r}, {self.kernel!r}"
            )
        if self.pairs and self.law == "kernel":
            raise InputError("pairs need P(s) = P(n-s), which law='kernel' does not have; fix: pairs=False")

    @property
    def group(self) -> Group:
        """Strata where sizes were allocated, pairs or rows where they were drawn."""
        if self.allocation == "iid":
            return "pair" if self.pairs else "row"
        return "stratum of pairs" if self.pairs else "stratum"

    def ask(self, n: int, size: int, rng: np.random.Generator) -> BoolArray:
        """``size`` coalitions, (size, n) bool, in random order."""
        check_at_least("size", size, 0)
        law = np.exp(self.log_law(n))
        if not self.pairs:
            return rng.permutation(random_subsets(n, self._sizes(law, size, rng), rng))
        folded = np.zeros_like(law)
        folded[: n // 2 + 1] = (law + law[::-1])[: n // 2 + 1]
        if n % 2 == 0:
            folded[n // 2] /= 2
        return _with_complements(random_subsets(n, self._sizes(folded, (size + 1) // 2, rng), rng), size, rng)

    def log_law(self, n: int) -> FloatArray:
        """Log-probability of each size."""
        law = self._log_law(n)
        if self.pairs and not np.allclose(np.exp(law), np.exp(law[::-1]), atol=1e-12):
            raise InputError(f"pairs need a law with P(s) = P(n-s), got {self.law}; fix: pairs=False")
        return law

    def _log_law(self, n: int) -> FloatArray:
        if not isinstance(self.law, str):
            return _laws.given(self.law, n)
        return _laws.LAWS[self.law](n) if self.kernel is None else _laws.of_kernel(self.kernel, n)

    def _sizes(self, law: FloatArray, size: int, rng: np.random.Generator) -> IntArray:
        points = (np.arange(size) + rng.random()) / size if self.allocation == "fixed" else rng.random(size)
        sizes = np.searchsorted(np.cumsum(law), points, side="right")
        return np.asarray(np.minimum(sizes, np.flatnonzero(law)[-1]))  # the cumulative sum may end below 1


def random_subsets(n: int, sizes: np.ndarray, rng: np.random.Generator) -> BoolArray:
    """One uniformly random subset of each size, (len(sizes), n) bool."""
    coalitions = np.zeros((len(sizes), n), dtype=bool)
    for row, s in zip(coalitions, sizes, strict=True):
        row[rng.permutation(n)[:s]] = True
    return coalitions


def _with_complements(first: BoolArray, size: int, rng: np.random.Generator) -> BoolArray:
    """Shuffled pairs; which of a pair comes first is a coin, for the sake of a last row without partner."""
    first = rng.permutation(first) ^ (rng.random((len(first), 1)) < 0.5)
    return np.stack([first, ~first], axis=1).reshape(2 * len(first), first.shape[1])[:size]


def _probabilities(law: Sequence[float] | AnyArray) -> tuple[float, ...]:
    array = np.asarray(law, dtype=np.float64)
    if array.ndim != 1 or not (array >= 0).all() or not np.isclose(array.sum(), 1, atol=1e-9):
        raise InputError(f"law must be a name or probabilities (n+1,) that sum to 1, got {law!r}")
    return tuple((array / array.sum()).tolist())
