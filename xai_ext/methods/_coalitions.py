"""Coalitions that are unions of tree nodes, and their masks."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from xai_ext._types import IntArray
from xai_ext.game import Game
from xai_ext.hierarchies.hierarchy import Hierarchy
from xai_ext.methods._growing import Column


class Coalitions:
    """Unions of disjoint nodes as linked pairs: each coalition is one node joined to an earlier coalition.

    Coalition 0 is empty and coalition 1 holds all players. A coalition takes two numbers however many players it
    has; masks exist only for the batch that is being evaluated.
    """

    def __init__(self, game: Game, hierarchy: Hierarchy) -> None:
        self._node, self._parent = Column(np.array([-1, hierarchy.root])), Column(np.array([-1, 0]))
        self._inputs = [
            _masks(labels, x.device, hierarchy) for labels, x in zip(game.labels, game.masked_model.inputs, strict=True)
        ]

    def __len__(self) -> int:
        return len(self._node)

    def add(self, nodes: Any, parents: Any) -> IntArray:
        """Ids of the coalitions that join each node to a coalition; the next ones are ``len(self), ...``."""
        added = self._node.append(nodes)
        self._parent.append(parents)
        return np.arange(added.start, added.stop)

    def masks(self, ids: IntArray) -> tuple[Tensor, ...]:
        """Bool masks (len(ids), *spatial), one per input, on its device."""
        return tuple(masks(ids, self._node.rows, self._parent.rows) for masks in self._inputs)


_Masks = Callable[[IntArray, IntArray, IntArray], Tensor]


def _masks(labels: IntArray, device: torch.device, hierarchy: Hierarchy) -> _Masks:
    position = np.empty(hierarchy.n_players, np.int64)
    position[hierarchy.order] = np.arange(hierarchy.n_players)
    at = position[labels.ravel()]
    masks = HostMasks(at, hierarchy) if device.type == "cpu" else DeviceMasks(at, hierarchy, device)
    return lambda ids, node, parent: masks(ids, node, parent).view(len(ids), *labels.shape)


class HostMasks:
    """On the CPU, writing only what is kept: four times faster than marks and sums.

    Parameters
    ----------
    at : int64 array (n_elements,)
        Position of each element's player in the tree's order.
    hierarchy : Hierarchy
    """

    def __init__(self, at: IntArray, hierarchy: Hierarchy) -> None:
        counts = np.bincount(at, minlength=hierarchy.n_players)
        bounds = np.concatenate([[0], np.cumsum(counts)])
        self._first, self._last = bounds[hierarchy.start], bounds[hierarchy.stop]
        self._elements = _inverse(at) if (counts == 1).all() else np.argsort(at, kind="stable")

    def __call__(self, ids: IntArray, node: IntArray, parent: IntArray) -> Tensor:
        from xai_ext.methods._interval_kernels import union_masks  # numba is imported with the first mask

        return torch.from_numpy(union_masks(ids, node, parent, self._first, self._last, self._elements))


class DeviceMasks:
    """On an accelerator: +1 and -1 where a node's interval starts and stops, their sum, one gather."""

    def __init__(self, at: IntArray, hierarchy: Hierarchy, device: torch.device) -> None:
        self._at, self._hierarchy = torch.from_numpy(at).to(device), hierarchy

    def __call__(self, ids: IntArray, node: IntArray, parent: IntArray) -> Tensor:
        device, tree = self._at.device, self._hierarchy
        marks = torch.zeros(len(ids), tree.n_players + 1, dtype=torch.int8, device=device)
        for rows, nodes in _links(ids, node, parent):
            where = torch.from_numpy(rows).to(device)
            # the nodes of a coalition are disjoint: no position is marked twice by one statement
            marks[where, torch.from_numpy(tree.start[nodes]).to(device)] += 1
            marks[where, torch.from_numpy(tree.stop[nodes]).to(device)] -= 1
        return marks.cumsum(1, dtype=torch.int8).index_select(1, self._at).bool()


def _links(ids: IntArray, node: IntArray, parent: IntArray) -> Iterator[tuple[IntArray, IntArray]]:
    """(rows, nodes): the last node of every coalition, then the one before, and so on."""
    rows = np.arange(len(ids))
    while len(rows := rows[ids > 0]):
        ids = ids[ids > 0]
        yield rows, node[ids]
        ids = parent[ids]


def _inverse(permutation: IntArray) -> IntArray:
    inverse = np.empty_like(permutation)
    inverse[permutation] = np.arange(len(permutation))
    return inverse
