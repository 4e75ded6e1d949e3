"""Laws of the coalition size, as log-probabilities of s = 0..n."""

from collections.abc import Callable, Sequence

import numpy as np
from scipy.special import gammaln, logsumexp

from xai_ext._checks import InputError, check_at_least
from xai_ext._types import AnyArray, BoolArray, FloatArray

Kernel = Callable[[BoolArray], FloatArray]


def log_binomial(n: int) -> FloatArray:
    """Log C(n, s) for s = 0..n, (n+1,)."""
    s = np.arange(check_at_least("n", n, 0) + 1)
    return np.asarray(gammaln(n + 1) - gammaln(s + 1) - gammaln(n - s + 1))


def uniform(n: int) -> FloatArray:
    """1 / (n + 1): the target of stratified LIME."""
    return np.full(check_at_least("n", n, 0) + 1, -np.log(n + 1))


def binomial(n: int) -> FloatArray:
    """C(n, s) / 2^n: fair coins."""
    return np.asarray(log_binomial(n) - n * np.log(2))


def shapley(n: int) -> FloatArray:
    """Proportional to 1 / (s (n - s)) for s = 1..n-1; uniform where there is no such s."""
    if n < 2:
        return uniform(n)
    law = log_shapley_weight(n)
    return np.asarray(law - logsumexp(law))


def log_shapley_weight(n: int) -> FloatArray:
    """-log(s (n - s)), and -inf for the empty and the grand coalition."""
    s = np.arange(n + 1)
    log = np.log(s * (n - s), out=np.full(n + 1, np.inf), where=(s > 0) & (s < n))
    return np.asarray(-log)


def of_kernel(kernel: Kernel, n: int) -> FloatArray:
    """Proportional to C(n, s) kernel(s): the law of the fair coins times the kernel."""
    if n == 0:
        return uniform(n)
    weights = kernel_by_size(kernel, n)
    if not weights.any():
        raise InputError(
            f"law='kernel' needs a kernel that is positive somewhere, got {kernel}, 0 for every size 0..{n}"
        )
    law = log_binomial(n) + np.log(weights, out=np.full(n + 1, -np.inf), where=weights > 0)
    return np.asarray(law - logsumexp(law))


def kernel_by_size(kernel: Kernel, n: int) -> FloatArray:
    """The kernel of each size 0..n; refuses one that tells coalitions of equal size apart."""
    first = np.tri(n + 1, check_at_least("n", n, 0), -1, dtype=bool)
    weights = np.asarray(kernel(first), dtype=np.float64)
    if weights.shape != (n + 1,) or not (np.isfinite(weights) & (weights >= 0)).all():
        raise InputError(
            f"a kernel must give coalitions (m, n) weights (m,), finite and >= 0, got {kernel}: {weights!r}"
        )
    shuffled = np.random.default_rng(0).permutation(first, axis=1)
    for other in (first[:, ::-1], shuffled):
        if not np.allclose(kernel(other), weights, rtol=1e-9, atol=0):
            raise InputError(
                f"law='kernel' needs a kernel of the coalition's size alone, got {kernel}; "
                "fix: Cosine or Euclidean, or another law with weighting='importance'"
            )
    return weights


def given(probabilities: Sequence[float] | AnyArray, n: int) -> FloatArray:
    """The logarithm of probabilities that a user wrote down."""
    law = np.asarray(probabilities, dtype=np.float64)
    if len(law) != n + 1:
        raise InputError(f"law must hold one probability per size 0..{n} ({n + 1} numbers), got {len(law)}")
    return np.asarray(np.log(law, out=np.full(n + 1, -np.inf), where=law > 0))


LAWS: dict[str, Callable[[int], FloatArray]] = {"uniform": uniform, "binomial": binomial, "shapley": shapley}
