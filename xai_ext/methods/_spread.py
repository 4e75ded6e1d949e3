"""From sums over nodes to the players below them, and back."""

import numpy as np

from xai_ext._types import FloatArray, IntArray
from xai_ext.hierarchies.hierarchy import Hierarchy

_COLUMNS = 64  # outputs that are copied into tree order at once


def spread(hierarchy: Hierarchy, nodes: IntArray, sums: FloatArray) -> FloatArray:
    """Values (n, k) of players when the sum of each node goes to its players by area.

    Parameters
    ----------
    hierarchy : Hierarchy
    nodes : int64 array (m,), increasing
        Holds the root, and of every other node its parent and its sibling too.
    sums : array (m, k)
        Sums over the contexts in which a node stayed whole.
    """
    sums, row = sums.copy(), {v: i for i, v in enumerate(nodes.tolist())}
    whole = []
    for v in reversed(nodes.tolist()):  # parents before children
        children = hierarchy.children[v - hierarchy.n_players].tolist() if v >= hierarchy.n_players else [-1]
        if children[0] not in row:
            whole.append(v)
            continue
        for child in children:
            sums[row[child]] += sums[row[v]] * (hierarchy.node_areas[child] / hierarchy.node_areas[v])
    return spread_disjoint(hierarchy, np.array(whole), sums[[row[v] for v in whole]])


def spread_disjoint(hierarchy: Hierarchy, nodes: IntArray, sums: FloatArray) -> FloatArray:
    """The same for nodes that cover each player once, in any order."""
    rank = np.argsort(hierarchy.start[nodes])
    row = np.empty(hierarchy.n_players, np.int64)
    row[hierarchy.order] = np.repeat(rank, (hierarchy.stop - hierarchy.start)[nodes[rank]])
    # one array of the result's size: there may be a thousand outputs
    values = np.take(sums / hierarchy.node_areas[nodes, None], row, axis=0)
    values *= hierarchy.areas[:, None]
    return values


def node_values(hierarchy: Hierarchy, nodes: IntArray, values: FloatArray) -> FloatArray:
    """Sums (m, k) of players' values over nodes."""
    bounds = np.stack([hierarchy.start[nodes], hierarchy.stop[nodes]], 1).ravel()
    totals = np.empty((len(nodes), values.shape[1]))
    for first in range(0, values.shape[1], _COLUMNS):
        some = slice(first, first + _COLUMNS)
        in_order = np.pad(values[hierarchy.order, some], ((0, 1), (0, 0)))  # a node may stop at n
        totals[:, some] = np.add.reduceat(in_order, bounds, axis=0)[::2]
    return totals
