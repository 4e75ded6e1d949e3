"""Loops over the nodes of a tree, compiled: trees have millions of nodes and may be as deep as they are large.

Parents have larger ids than their children, so one pass up or down the ids visits a tree in order.
"""

import numpy as np
from numba import njit

from xai_ext._types import IntArray


@njit(cache=True)  # type: ignore[untyped-decorator]
def sizes(children: IntArray) -> IntArray:
    """Players below each node, (2n-1,)."""
    n = len(children) + 1
    size = np.ones(2 * n - 1, np.int64)
    for k in range(n - 1):
        size[n + k] = size[children[k, 0]] + size[children[k, 1]]
    return size


@njit(cache=True)  # type: ignore[untyped-decorator]
def starts(children: IntArray, size: IntArray) -> IntArray:
    """First position of each node when the players are laid out in tree order, (2n-1,)."""
    n = len(children) + 1
    start = np.zeros(2 * n - 1, np.int64)
    for k in range(n - 2, -1, -1):
        first, second = children[k]
        start[first] = start[n + k]
        start[second] = start[n + k] + size[first]
    return start


@njit(cache=True)  # type: ignore[untyped-decorator]
def depths(children: IntArray) -> IntArray:
    """Edges between the root and each node, (2n-1,)."""
    n = len(children) + 1
    depth = np.zeros(2 * n - 1, np.int64)
    for k in range(n - 2, -1, -1):
        depth[children[k, 0]] = depth[children[k, 1]] = depth[n + k] + 1
    return depth
