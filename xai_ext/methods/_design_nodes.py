"""The top of a tree, as the table that `Designed` works on."""

from itertools import pairwise

import numpy as np

from xai_ext._types import BoolArray, FloatArray, IntArray
from xai_ext.hierarchies.hierarchy import Hierarchy
from xai_ext.methods._coalitions import Coalitions


class DesignNodes:
    """Nodes down to a depth, sorted by depth, then id; row 0 is the root.

    Attributes
    ----------
    ids, depth : int64 arrays (m,)
    parent : int64 array (m,)
        Rows; the root's is 0.
    sign : array (m, 1)
        +1 for a first child, -1 for a second.
    splittable : bool array (m,)
        Has children in the table.
    imbalance : array (m, 1)
        (area of the first child - area of the second) / area; 0 where there are none.
    levels : list of slice
        Rows of each depth.
    """

    def __init__(self, tree: Hierarchy, max_depth: int) -> None:
        self._tree = tree
        self.ids = _top(tree, max_depth)
        self.depth = tree.depths[self.ids]
        self.splittable: BoolArray = (self.ids >= tree.n_players) & (self.depth < max_depth)
        self.levels = [slice(*ends) for ends in pairwise(np.cumsum([0, *np.bincount(self.depth)]).tolist())]
        self._children = np.where(self.splittable[:, None], _children(tree, self.ids), -1)
        rows = self._rows_of_children()
        self.parent, self.sign = np.zeros_like(self.ids), np.zeros((len(self.ids), 1))
        self.parent[rows] = np.flatnonzero(self.splittable)[:, None]
        self.sign[rows, 0] = 1, -1
        self.imbalance = self._imbalance()
        self._path = self._paths()

    @property
    def regions(self) -> IntArray:
        """Rows without children: they cover each player once."""
        return np.flatnonzero(~self.splittable)

    def link(self, coalitions: Coalitions, steps: list[tuple[int, int]]) -> IntArray:
        """Ids of two coalitions per (row, context): the context joined to the first and to the second child."""
        nodes: list[int] = []
        parents: list[int] = []

        def joined(node: int, coalition: int) -> int:
            nodes.append(node)
            parents.append(coalition)
            return len(coalitions) + len(nodes) - 1

        wanted = []
        for row, pattern in steps:
            context = 0
            for j, sibling in enumerate(self._path[row]):
                context = joined(sibling, context) if pattern >> j & 1 else context
            wanted += [joined(child, context) for child in self._children[row].tolist()]
        coalitions.add(nodes, parents)
        return np.array(wanted)

    def _rows_of_children(self) -> IntArray:
        row = dict(zip(self.ids.tolist(), range(len(self.ids)), strict=True))
        pairs = self._children[self.splittable].tolist()
        return np.array([[row[a], row[b]] for a, b in pairs], np.int64).reshape(-1, 2)

    def _imbalance(self) -> FloatArray:
        areas = self._tree.node_areas
        first, second = areas[self._children].T
        return np.asarray(np.where(self.splittable, (first - second) / areas[self.ids], 0.0)[:, None])

    def _paths(self) -> list[list[int]]:
        """Siblings of each node and its ancestors, the one of smallest depth first."""
        paths: list[list[int]] = [[]]
        for row, node in enumerate(self.ids.tolist()[1:], start=1):
            parent = int(self.parent[row])
            paths.append([*paths[parent], int(self._children[parent].sum()) - node])
        return paths


def _top(tree: Hierarchy, max_depth: int) -> IntArray:
    level = np.array([tree.root])
    levels = [level]
    for _ in range(max_depth):
        level = np.sort(_children(tree, level[level >= tree.n_players]).ravel())
        levels.append(level)
    return np.concatenate(levels)


def _children(tree: Hierarchy, nodes: IntArray) -> IntArray:
    if tree.n_players == 1:
        return np.full((len(nodes), 2), -1)
    return np.asarray(tree.children[np.maximum(nodes - tree.n_players, 0)])
