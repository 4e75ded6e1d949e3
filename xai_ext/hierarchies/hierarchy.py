"""A binary tree over players, whatever it was built from."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

import numpy as np

from xai_ext._checks import InputError, check_at_least
from xai_ext._types import AnyArray, FloatArray, IntArray
from xai_ext.hierarchies._checks import check_areas, check_counts, check_merges

_LIMB = 64  # bits
_Array = TypeVar("_Array", bound=AnyArray)


@dataclass(frozen=True, eq=False)
class Hierarchy:
    """Binary tree over n players; make one with `from_merges` or a builder such as `bpt`.

    Nodes 0..n-1 are the players, node n+k is made by row k of `merges`, the last one is the root.

    Attributes
    ----------
    merges : array (n-1, 4)
        SciPy linkage rows: smaller id, larger id, height, number of players.
    areas : array (n,)
        Pixels per player; ones for players without an extent.
    order : int64 array (n,)
        The players in tree order: each node is an interval of it.
    start, stop : int64 arrays (2n-1,)
        Node v holds players ``order[start[v]:stop[v]]``.
    structure : str
        What the tree is, with its settings; methods repeat it in their diagnostics.
    """

    merges: FloatArray
    areas: FloatArray
    order: IntArray
    start: IntArray
    stop: IntArray
    structure: str = "linkage"

    @classmethod
    def from_merges(cls, merges: Any, areas: Any = None, *, structure: str = "linkage") -> "Hierarchy":
        """The tree of a linkage table, checked.

        Parameters
        ----------
        merges : array (n-1, 4)
            Any valid SciPy linkage; the two ids of a row may come in either order. (0, 4) is one player.
        areas : array (n,), optional
            Positive; None = ones.
        structure : str
            A name for diagnostics.
        """
        from xai_ext.hierarchies import _kernels  # numba is imported with the first tree

        children, table = check_merges(merges)
        n = len(children) + 1
        size = _kernels.sizes(children)
        check_counts(table, size[n:])
        start = _kernels.starts(children, size)
        order = np.empty(n, np.int64)
        order[start[:n]] = np.arange(n)
        arrays = (_frozen(table), _frozen(check_areas(areas, n)), _frozen(order), _frozen(start), _frozen(start + size))
        return cls(*arrays, structure=structure)

    @property
    def n_players(self) -> int:
        """Leaves of the tree."""
        return len(self.order)

    @property
    def root(self) -> int:
        """The node of all players."""
        return len(self.start) - 1

    @cached_property
    def children(self) -> IntArray:
        """The two children of each internal node, (n-1, 2); row k belongs to node n+k."""
        return _frozen(self.merges[:, :2].astype(np.int64))

    @cached_property
    def depths(self) -> IntArray:
        """Edges between the root and each node, (2n-1,)."""
        from xai_ext.hierarchies import _kernels

        return _frozen(np.asarray(_kernels.depths(self.children)))

    @cached_property
    def node_areas(self) -> FloatArray:
        """Pixels of each node, (2n-1,)."""
        below = np.concatenate([[0.0], np.cumsum(self.areas[self.order])])
        return _frozen(np.asarray(below[self.stop] - below[self.start]))

    @cached_property
    def exact_cost(self) -> int:
        """Evaluations after which Owen values are exact, f(x) and f(baseline) included.

        2 + the sum of 2^(depth+1) over internal nodes. An int of as many bits as the tree is deep.
        """
        counts = np.bincount(self.depths[self.n_players :] + 1, minlength=1).astype("<u8")
        return 2 + sum(int.from_bytes(counts[r::_LIMB].tobytes(), "little") << r for r in range(_LIMB))

    def cut(self, *, depth: int | None = None, regions: int | None = None) -> tuple[IntArray, "Hierarchy"]:
        """The top of the tree, with regions as its players.

        Parameters
        ----------
        depth : int
            Nodes at this depth, and players above it, become the regions.
        regions : int
            Undo the last ``regions - 1`` merges. Exactly one of the two is given.

        Returns
        -------
        player_to_region : int64 array (n,)
            Regions are numbered by their node's id; ``player_to_region[labels]`` are the labels of the new tree.
        hierarchy : Hierarchy
            Over the regions; heights and areas carried over.
        """
        if (depth is None) == (regions is None):
            raise InputError(f"cut takes exactly one of depth and regions, got depth={depth} and regions={regions}")
        kept = self._kept_by_depth(depth) if depth is not None else self._kept_by_regions(regions)
        tops = np.setdiff1d(self.children[kept].ravel(), self.n_players + kept)
        tops = tops if len(kept) else np.array([self.root])
        return self._region_of_player(tops), self._top(kept, tops)

    def _kept_by_depth(self, depth: int) -> IntArray:
        return np.flatnonzero(self.depths[self.n_players :] < check_at_least("depth", depth, 0))

    def _kept_by_regions(self, regions: int | None) -> IntArray:
        n = self.n_players
        if check_at_least("regions", regions or 0, 1) > n:
            raise InputError(f"regions must be at most the {n} players, got {regions}")
        return np.arange(n - (regions or 0), n - 1)

    def _region_of_player(self, tops: IntArray) -> IntArray:
        """`tops` are disjoint nodes that cover all players, by increasing id."""
        by_position = np.argsort(self.start[tops])
        region = np.empty(self.n_players, np.int64)
        sizes = (self.stop - self.start)[tops]
        region[self.order] = np.repeat(by_position, sizes[by_position])
        return region

    def _top(self, kept: IntArray, tops: IntArray) -> "Hierarchy":
        renamed = np.empty(len(self.start), np.int64)
        renamed[np.concatenate([tops, self.n_players + kept])] = np.arange(len(tops) + len(kept))
        merges = self.merges[kept]
        merges[:, :2] = renamed[self.children[kept]]
        merges[:, 3] = _sizes(merges)
        return Hierarchy.from_merges(merges, self.node_areas[tops], structure=f"{self.structure}, cut to {len(tops)}")


def _sizes(merges: FloatArray) -> IntArray:
    from xai_ext.hierarchies import _kernels

    return np.asarray(_kernels.sizes(merges[:, :2].astype(np.int64))[len(merges) + 1 :])


def _frozen(array: _Array) -> _Array:
    array.flags.writeable = False
    return array
