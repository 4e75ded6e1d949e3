"""A tree over regions as the linkage over pixels that SHAP's own algorithms descend."""

import numpy as np

from xai_ext._checks import InputError
from xai_ext._types import FloatArray, IntArray
from xai_ext.hierarchies import Hierarchy

_DEEPEST = 1_000
_MOST_DEPTHS = 20_000_000  # SHAP's mask index takes two ints per ancestor of each pixel
_STOP = -1.0  # SHAP does not descend below a negative distance


def pixel_linkage(hierarchy: Hierarchy, labels: IntArray) -> FloatArray:
    """Linkage (H*W-1, 4): pixels of a region joined by halves at distance -1, regions at rank 1, 2, ..."""
    counts = np.bincount(labels.ravel())
    inside, roots = _halves(np.argsort(labels.ravel(), kind="stable"), counts)
    above = labels.size + len(inside) + np.arange(len(hierarchy.merges))
    children = np.sort(np.concatenate([roots, above])[hierarchy.children], axis=1)
    below = np.concatenate([[0], np.cumsum(counts[hierarchy.order])])
    sizes = (below[hierarchy.stop] - below[hierarchy.start])[hierarchy.n_players :]
    between = np.column_stack([children, 1 + np.arange(len(children)), sizes])
    return check_depths(np.concatenate([inside, between]))


def check_depths(linkage: FloatArray) -> FloatArray:
    """The linkage, if SHAP survives it: its loops over a deep tree overflow the stack or fill the memory."""
    tree = Hierarchy.from_merges(linkage)
    depths = tree.depths[: tree.n_players]
    if depths.max() > _DEEPEST or depths.sum() > _MOST_DEPTHS:
        raise InputError(
            f"SHAP's partition needs a tree of depth at most {_DEEPEST:,} whose pixels' depths sum to at most "
            f"{_MOST_DEPTHS:,}, got depth {depths.max():,} and sum {depths.sum():,}; fix: labels= with fewer regions, "
            "or xai_ext.explainers.BPTOwen, which takes any tree"
        )
    return linkage


def _halves(order: IntArray, counts: IntArray) -> tuple[FloatArray, IntArray]:
    """Rows that join each region's pixels, from the leaves up, and the node of each region."""
    start, stop, inner = _levels(counts)
    nodes = order[start]
    nodes[inner] = len(order) + np.arange(len(inner))[::-1]
    first = len(counts) + 2 * np.arange(len(inner))
    children = np.sort(np.stack([nodes[first], nodes[first + 1]], 1), axis=1)
    rows = np.column_stack([children, np.full(len(inner), _STOP), (stop - start)[inner]])
    return rows[::-1], nodes[: len(counts)]


def _levels(counts: IntArray) -> tuple[IntArray, IntArray, IntArray]:
    """Intervals [start, stop) from the regions down, and which of them are halved: two successive ones each."""
    stop = np.cumsum(counts)
    levels = [np.stack([stop - counts, stop], 1)]
    while len(wide := levels[-1][np.diff(levels[-1]).ravel() > 1]):
        low, high = wide.T
        middle = low + (high - low) // 2
        levels.append(np.stack([low, middle, middle, high], 1).reshape(-1, 2))
    start, stop = np.concatenate(levels).T
    return start, stop, np.flatnonzero(stop - start > 1)
