"""Trees for tests, and Owen values by enumeration."""

import itertools

import numpy as np
import torch

from xai_ext.hierarchies import Hierarchy


def random_tree(n, seed=0, areas=None):
    """Merges a random pair at every step."""
    rng = np.random.default_rng(seed)
    live, rows = [(i, 1) for i in range(n)], []
    for k in range(n - 1):
        first, second = (live.pop(int(rng.integers(len(live)))) for _ in range(2))
        rows.append([*sorted((first[0], second[0])), float(k), first[1] + second[1]])
        live.append((n + k, first[1] + second[1]))
    return Hierarchy.from_merges(np.array(rows).reshape(-1, 4), areas)


def chain(n):
    """As deep as a tree can be: each row adds one player."""
    inner = np.r_[0, np.arange(n, 2 * n - 2)]
    return np.stack([np.minimum(inner, np.arange(1, n)), np.maximum(inner, np.arange(1, n)),
                     np.arange(1.0, n), np.arange(2, n + 1)], 1)  # fmt: skip


def members(hierarchy):
    """The players below each node, from the table alone."""
    sets = [{i} for i in range(len(hierarchy.merges) + 1)]
    for a, b in hierarchy.merges[:, :2].astype(int):
        sets.append(sets[a] | sets[b])
    return sets


def owen_by_flipping(value, hierarchy):
    """The mean marginal contribution over all 2^(n-1) orders that flips of the nodes give."""
    n = hierarchy.n_players
    total = np.zeros(n)
    for flips in itertools.product([False, True], repeat=n - 1):
        orders = [[i] for i in range(n)]
        for flip, (a, b) in zip(flips, hierarchy.merges[:, :2].astype(int), strict=True):
            orders.append(orders[b] + orders[a] if flip else orders[a] + orders[b])
        present = np.tri(n + 1, n, -1)[:, np.argsort(orders[-1])]
        total[orders[-1]] += np.diff(value(torch.from_numpy(present)).numpy())
    return total / 2 ** (n - 1)


def z_order_tree(side):
    """Squares of squares of pixels; the side is a power of two."""
    y, x = np.divmod(np.arange(side * side), side)
    code = sum((x >> b & 1) << 2 * b | (y >> b & 1) << 2 * b + 1 for b in range(side.bit_length()))
    level, rows, n = np.argsort(code), [], side * side
    while len(level) > 1:
        pairs = np.sort(level.reshape(-1, 2), axis=1)
        level = n + len(rows) + np.arange(len(pairs))
        rows += [[a, b, n // len(pairs), n // len(pairs)] for a, b in pairs.tolist()]
    return Hierarchy.from_merges(rows)
