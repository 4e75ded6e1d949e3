"""From the items of a finished recursion to players' values and diagnostics."""

from typing import Any

import numpy as np

from xai_ext._types import IntArray
from xai_ext.methods._frontier import Frontier, Splits
from xai_ext.methods._owen_task import Solution, Task
from xai_ext.methods._spread import node_values, spread


def solution(task: Task, splits: Splits, frontiers: list[Frontier]) -> Solution:
    """Values of one frontier for all outputs, or of one per output."""
    tree, shape = task.hierarchy, (task.hierarchy.n_players, len(task.full))
    values, leftover_map = np.empty(shape), np.empty(shape)
    for frontier in frontiers:
        nodes, left = frontier.nodes, frontier.open
        for columns in frontier.blocks():
            values[:, columns] = spread(tree, nodes, frontier.sums(columns))
            leftover_map[:, columns] = spread(tree, nodes, frontier.sums(columns, left, absolute=True))
    visited = np.unique(np.concatenate([f.nodes for f in frontiers]))
    diagnostics = {
        "leftover": np.concatenate([f.leftover() for f in frontiers]),
        "leftover_map": leftover_map,
        "converged": all(f.exact for f in frontiers),
        **resolution(tree.depths[splits.nodes], len(np.unique(splits.nodes))),
        "nodes": (visited, node_values(tree, visited, values)),
    }
    return Solution(values, None, diagnostics)


def resolution(split_depths: IntArray, n_split: int) -> dict[str, Any]:
    """How fine an answer is.

    Parameters
    ----------
    split_depths : int64 array
        Depth of the node of every split evaluated.
    n_split : int
        Distinct nodes among them.
    """
    return {
        "n_regions": n_split + 1,
        "max_depth": int(split_depths.max(initial=-1)) + 1,
        "evals_by_depth": 2 * np.bincount(split_depths),
    }
