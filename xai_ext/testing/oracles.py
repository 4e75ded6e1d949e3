"""Values of small games by their definitions; nothing here uses the methods that are tested."""

from collections.abc import Callable
from itertools import combinations, permutations
from math import comb, factorial

import numpy as np

from xai_ext._types import AnyArray, BoolArray, FloatArray

Value = Callable[[frozenset[int]], float]


def all_coalitions(n: int) -> BoolArray:
    """All 2^n coalitions (2^n, n); row i is the binary number i, player 0 the lowest bit."""
    return (np.arange(2**n)[:, None] >> np.arange(n) & 1).astype(bool)


def value_of(table: FloatArray) -> Value:
    """The value function of a table whose entry i belongs to the coalition with the binary number i."""
    return lambda coalition: float(table[sum(1 << i for i in coalition)])


def shapley_by_permutations(value: Value, n: int) -> FloatArray:
    """The mean marginal contribution over all n! orders."""
    total = np.zeros(n)
    for order in permutations(range(n)):
        before: frozenset[int] = frozenset()
        for player in order:
            after = before | {player}
            total[player] += value(after) - value(before)
            before = after
    return total / factorial(n)


def shapley_by_subsets(value: Value, n: int) -> FloatArray:
    """The weighted sum of marginal contributions over all coalitions without the player."""
    values = np.zeros(n)
    for player in range(n):
        others = [i for i in range(n) if i != player]
        for size in range(n):
            weight = 1 / (n * comb(n - 1, size))
            for chosen in combinations(others, size):
                before = frozenset(chosen)
                values[player] += weight * (value(before | {player}) - value(before))
    return values


def banzhaf(value: Value, n: int) -> FloatArray:
    """The plain mean of marginal contributions over all coalitions without the player."""
    values = np.zeros(n)
    for player in range(n):
        others = [i for i in range(n) if i != player]
        for size in range(n):
            for chosen in combinations(others, size):
                before = frozenset(chosen)
                values[player] += (value(before | {player}) - value(before)) / 2 ** (n - 1)
    return values


def owen(value: Value, merges: AnyArray) -> FloatArray:
    """Owen values of a binary tree: at each node the two children share as two players do, in every context."""
    n = len(merges) + 1
    leaves = [frozenset([i]) for i in range(n)]
    children: list[tuple[int, int]] = []
    for left, right in np.asarray(merges)[:, :2].astype(int):
        children.append((left, right))
        leaves.append(leaves[left] | leaves[right])
    values = np.zeros(n)

    def share(node: int, contexts: list[tuple[float, frozenset[int]]]) -> None:
        if node < n:
            values[node] = sum(w * (value(c | leaves[node]) - value(c)) for w, c in contexts)
            return
        for mine, other in (children[node - n], children[node - n][::-1]):
            share(mine, [(w / 2, context) for w, c in contexts for context in (c, c | leaves[other])])

    share(2 * n - 2, [(1.0, frozenset())])
    return values


def cosine_surrogate(table: FloatArray, n: int, width: float = 0.25) -> FloatArray:
    """The limit of lime: least squares over all coalitions, equally likely, weighted by the cosine kernel."""
    coalitions = all_coalitions(n)
    distance = 1 - np.sqrt(coalitions.sum(1) / n)
    weights = np.sqrt(np.exp(-((distance / width) ** 2)))
    design = np.column_stack([np.ones(2**n), coalitions])
    gram = design.T @ (weights[:, None] * design)
    return np.asarray(np.linalg.solve(gram, design.T @ (weights * table)))[1:]


def linear(weights: FloatArray, x: FloatArray, baseline: FloatArray, labels: AnyArray) -> FloatArray:
    """Players' values of a linear model: w (x - b), summed over each player's elements."""
    contributions = (weights * (x - baseline)).reshape(-1, *labels.shape).sum(0)
    return np.asarray(np.bincount(labels.ravel(), contributions.ravel()), dtype=np.float64)
