"""Cooperative games whose answers are known in closed form."""

import itertools
from math import factorial

import numpy as np
import torch

from xai_ext import Game, MaskedModel


def game_of(value, n, batch_size=None):
    """The game of a function of presence vectors (k, n) float64 -> (k,) or (k, m)."""
    return Game(MaskedModel(value, torch.ones(1, n, dtype=torch.float64), batch_size=batch_size), np.arange(n))


def additive(weights, constant=0.0):
    w = torch.as_tensor(weights, dtype=torch.float64)
    return lambda z: z @ w + constant


def xor_and(z):
    """XOR of players 0 and 1, plus 2 AND of players 2 and 3; further players are dummies."""
    return (z[:, 0] - z[:, 1]).abs() + 2 * z[:, 2] * z[:, 3]


def unanimity(coefficients):
    """Sum of c(S) [S is present]; its Shapley value is the sum of c(S) / |S| over the S of a player."""

    def value(z):
        return sum(c * z[:, list(s)].prod(1) for s, c in coefficients.items())

    return value


def unanimity_shapley(coefficients, n):
    values = np.zeros(n)
    for s, c in coefficients.items():
        values[list(s)] += c / len(s)
    return values


def shapley(value, n):
    """By enumeration of all coalitions."""
    coalitions = all_coalitions(n)
    v = value(torch.from_numpy(coalitions.astype(float))).numpy()
    index = {tuple(z): i for i, z in enumerate(coalitions)}
    result = np.zeros(n)
    for z in coalitions:
        s = int(z.sum())
        for i in np.flatnonzero(~z):
            joined = z.copy()
            joined[i] = True
            weight = factorial(s) * factorial(n - s - 1) / factorial(n)
            result[i] += weight * (v[index[tuple(joined)]] - v[index[tuple(z)]])
    return result


def all_coalitions(n):
    return np.array(list(itertools.product([False, True], repeat=n)))


def bent(n, seed=0):
    """A smooth game with interactions of all orders."""
    rng = np.random.default_rng(seed)
    w, pairs = torch.from_numpy(rng.normal(size=n)), torch.from_numpy(0.3 * rng.normal(size=(n, n)))
    return lambda z: torch.sigmoid((z @ w + ((z @ pairs) * z).sum(1)) * 0.5)
