"""
A sampler of your own
=====================

Coalitions of exactly half of the players, in ten lines. In this vote, decided at half of the weight, they vary least
from run to run, and pairs of complements most: a complement only repeats what its partner said.
"""

import matplotlib.pyplot as plt
import numpy as np
import torch

from xai_ext.attr import StratifiedLime


class Halves:
    """Half of the players, rounded down; rows are independent of each other."""

    group = "row"

    def ask(self, n, size, rng):
        """Coalitions, (size, n) bool."""
        return rng.random((size, n)).argsort(1) < n // 2

    def log_law(self, n):
        """Log-probability of 0..n players."""
        return np.where(np.arange(n + 1) == n // 2, 0.0, -np.inf)


x, weights = torch.ones(1, 12), torch.arange(1.0, 13)
for name, sampler in {"pairs": "antithetic", "coins": "mc", "halves": Halves()}.items():
    lime = StratifiedLime(lambda x: torch.sigmoid((x * weights).sum(1) - 39), sampler=sampler)
    runs = np.stack([lime.attribute(x, n_samples=100, seed=seed)[0].numpy() for seed in range(50)])
    print(f"{name:6} standard deviation of a coefficient {runs.std(0).mean():.4f}")
    plt.plot(weights, runs.std(0), "o-", label=name)
plt.gca().set(xlabel="weight of the voter", ylabel="standard deviation over 50 runs")
plt.legend()
plt.show()
