"""From the items of a finished recursion to players' values and diagnostics."""

from functools import partial
from typing import Any

import numpy as np

from xai_ext._types import FloatArray, IntArray
from xai_ext.hierarchies.hierarchy import Hierarchy
from xai_ext.methods._frontier import Frontier, Splits
from xai_ext.methods._owen_task import Solution, Task
from xai_ext.methods._report import Report
from xai_ext.methods._spread import node_values, spread


def solution(task: Task, splits: Splits, frontiers: list[Frontier]) -> Solution:
    """Values of one frontier for all outputs, or of one per output."""
    tree = task.hierarchy
    values, left = np.empty((tree.n_players, len(task.full))), list[FloatArray]()
    for frontier in frontiers:
        for columns in frontier.blocks():
            values[:, columns] = spread(tree, frontier.nodes, frontier.sums(columns))
        blocks = [frontier.sums(columns, frontier.open, absolute=True) for columns in frontier.blocks()]
        left.append(np.concatenate(blocks, axis=1))
    nodes = [frontier.nodes for frontier in frontiers]
    known = {
        "leftover": np.concatenate([sums.sum(0) for sums in left]) / task.scale,
        "converged": all(f.exact for f in frontiers),
        **resolution(tree.depths[splits.nodes], len(np.unique(splits.nodes))),
    }
    report = Report(
        known,
        leftover_map=partial(_spread_each, tree, nodes, left),
        nodes=partial(with_values, tree, np.unique(np.concatenate(nodes)), values),
    )
    return Solution(values, None, report)


def _spread_each(tree: Hierarchy, nodes: list[IntArray], sums: list[FloatArray]) -> FloatArray:
    """Of one walk or more, side by side."""
    return np.concatenate([spread(tree, *of_walk) for of_walk in zip(nodes, sums, strict=True)], axis=1)


def with_values(tree: Hierarchy, nodes: IntArray, values: FloatArray) -> tuple[IntArray, FloatArray]:
    """The nodes and the sum of the values below each."""
    return nodes, node_values(tree, nodes, values)


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
