"""Trees of shap_bpt as ours."""

import numpy as np

from xai_ext.hierarchies import Hierarchy


def as_hierarchy(written):
    """Of its arrays `children`, `pixels`, `leaf_idx`, `cl_start` and `cl_end`: a linkage of pixels."""
    children, n = written["children"].astype(np.int64), len(written["pixels"])
    pixel_of_leaf = written["pixels"][written["leaf_idx"]]
    children = np.where(children < n, pixel_of_leaf[np.minimum(children, n - 1)], children)
    size = written["cl_end"] - written["cl_start"]
    return Hierarchy.from_merges(np.column_stack([children, size, size]))


def pixel_sets(tree):
    """The pixels below each inner node."""
    nodes = range(tree.n_players, 2 * tree.n_players - 1)
    return {frozenset(tree.order[tree.start[v] : tree.stop[v]].tolist()) for v in nodes}
