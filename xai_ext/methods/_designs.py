"""Which contexts of a node to look at first, and what they tell about the mean over all."""

from dataclasses import dataclass
from functools import lru_cache
from math import comb

import numpy as np

from xai_ext._types import FloatArray, IntArray

JITTER = 1e-9
_AS_GOOD = 1e-9
_AHEAD = (1, 2, 4, 8)


@dataclass(frozen=True, eq=False)
class Design:
    """The contexts of a node at depth d, in the order in which they are looked at.

    Attributes
    ----------
    contexts : int64 array (2^d,)
        Bit j is 1 when the path's sibling at depth j+1 is present.
    covariance : array (2^d, 2^d)
        Of D in these contexts, in this order, in units of the node's variance.
    variances : array (2^d + 1,)
        Variance of the mean of D over all contexts after m of them.
    gains : array (2^d + 1,)
        Largest decrease of the variance per context over the next 1, 2, 4 or 8; 0 at the end.
    """

    contexts: IntArray
    covariance: FloatArray
    variances: FloatArray
    gains: FloatArray

    def mean(self, seen: FloatArray) -> FloatArray:
        """What contexts (m, k) add to the estimate of the mean, without the prior's part; (k,)."""
        if len(seen) == len(self.contexts):
            return np.asarray(seen.mean(0))
        return np.asarray(self.variances[0] * self._solved(seen).sum(0))

    def energy(self, seen: FloatArray) -> FloatArray:
        """``y' K^-1 y`` of contexts y (m, k); (k,)."""
        return np.asarray((seen * self._solved(seen)).sum(0))

    def prior_share(self, m: IntArray) -> FloatArray:
        """Weight of the prior mean after m contexts."""
        return np.asarray(self.variances[m] / self.variances[0])

    def _solved(self, seen: FloatArray) -> FloatArray:
        m = len(seen)
        return np.asarray(np.linalg.solve(self.covariance[:m, :m] + JITTER * np.eye(m), seen), np.float64)


@lru_cache
def design(depth: int, shares: tuple[float, ...]) -> Design:
    """The design of a depth for shares of variance by order of interaction."""
    energies = energy_by_order(depth, shares)
    distance = np.bitwise_count(np.arange(2**depth)[:, None] ^ np.arange(2**depth))
    by_distance = sum(energy * krawtchouk(depth, order) / comb(depth, order) for order, energy in enumerate(energies))
    covariance = np.asarray(by_distance)[distance]
    contexts, variances = _greedy(covariance, energies[0])
    return Design(contexts, covariance[np.ix_(contexts, contexts)], variances, _gains(variances))


def energy_by_order(depth: int, shares: tuple[float, ...]) -> FloatArray:
    """`shares` for the orders 0..depth, those beyond the list half of the one before; they sum to 1."""
    beyond = shares[-1] * 0.5 ** np.arange(1, max(0, depth + 1 - len(shares)) + 1)
    energies = np.concatenate([shares, beyond])[: depth + 1]
    return np.asarray(energies / energies.sum())


def krawtchouk(depth: int, order: int) -> FloatArray:
    """The sum of (-1)^|S & h| over subsets S of `order` of `depth` bits, by number of bits 0..depth in h."""
    return np.array([
        sum((-1) ** j * comb(h, j) * comb(depth - h, order - j) for j in range(min(h, order) + 1))
        for h in range(depth + 1)
    ], dtype=np.float64)  # fmt: skip


def _greedy(covariance: FloatArray, mean_variance: float) -> tuple[IntArray, FloatArray]:
    """Context 0, then the one that lowers the variance of the mean most; ties to the smallest."""
    left = covariance.copy()  # of contexts, given those seen
    with_mean = np.full(len(left), mean_variance)  # the covariance of each context with the mean
    chosen, variances = [0], [mean_variance]
    unseen = np.ones(len(left), bool)
    while True:
        q = chosen[-1]
        unseen[q] = False
        scale = left[q, q] + JITTER
        variances.append(max(0.0, variances[-1] - with_mean[q] ** 2 / scale))
        with_mean = with_mean - with_mean[q] * left[q] / scale
        left -= np.outer(left[q], left[q]) / scale
        if not unseen.any():
            break
        decrease = np.where(unseen, with_mean**2 / (np.diag(left) + JITTER), -np.inf)
        chosen.append(int(np.argmax(decrease >= decrease.max() - _AS_GOOD)))
    return np.array(chosen), np.array([*variances[:-1], 0.0])  # nothing is unknown after the last


def _gains(variances: FloatArray) -> FloatArray:
    last = len(variances) - 1
    ahead = [
        max(((variances[m] - variances[m + t]) / t for t in _AHEAD if m + t <= last), default=0.0)
        for m in range(last + 1)
    ]
    return np.array(ahead)
