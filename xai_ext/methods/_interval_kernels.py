"""Masks of unions of tree nodes, compiled."""

import numpy as np
from numba import njit

from xai_ext._types import BoolArray, IntArray


@njit(cache=True)  # type: ignore[untyped-decorator]
def union_masks(
    ids: IntArray, node: IntArray, parent: IntArray, first: IntArray, last: IntArray, elements: IntArray
) -> BoolArray:
    """Masks (len(ids), len(elements)) of the coalitions `ids`.

    Node v of the tree holds ``elements[first[v]:last[v]]``; coalition c is ``node[c]`` joined to coalition
    ``parent[c]``, and coalition 0 is empty.
    """
    keep = np.zeros((len(ids), len(elements)), np.bool_)
    for row in range(len(ids)):
        coalition = ids[row]
        while coalition != 0:
            v = node[coalition]
            for i in range(first[v], last[v]):
                keep[row, elements[i]] = True
            coalition = parent[coalition]
    return keep
