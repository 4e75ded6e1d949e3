"""The recursion of Owen values, as a list of items: a node in a context, split or still whole."""

from collections.abc import Iterator

import numpy as np

from xai_ext._types import BoolArray, FloatArray, IntArray
from xai_ext.methods._growing import Column
from xai_ext.methods._owen_task import Task

_ITEM = np.dtype([("node", "i8"), ("low", "i8"), ("high", "i8"), ("depth", "i4"), ("whole", "?"), ("last", "?")])
_BLOCK = 256  # items whose differences are in memory at once
_COLUMNS = 64  # outputs of which all sums are
_ROOM = 4096  # rows of values that are expected without knowing better


class Splits:
    """Values of the coalitions that splits need; a split asked for twice is evaluated once.

    Splitting node T with children T1, T2 in context Q takes the values of Q | T1 and Q | T2. Row r of `values`
    belongs to coalition r.
    """

    def __init__(self, task: Task) -> None:
        self._task, self._first_row = task, dict[tuple[int, int], int]()
        self._values = Column(np.stack([task.base, task.full]), room=min(task.budget + 2, _ROOM))

    @property
    def values(self) -> FloatArray:
        """Values (rows, n_outputs): 0 is the empty coalition, 1 that of all players."""
        return self._values.rows

    @property
    def nodes(self) -> IntArray:
        """The node of every split made."""
        return np.array([node for node, _ in self._first_row], np.int64)

    def rows(self, nodes: IntArray, contexts: IntArray) -> IntArray:
        """Row of Q | T1 of each split; that of Q | T2 is the next."""
        keys = list(zip(nodes.tolist(), contexts.tolist(), strict=True))
        new = [k for k, key in enumerate(keys) if key not in self._first_row]
        if new:
            size = len(self._values)
            self._evaluate(nodes[new], contexts[new])
            self._first_row |= {keys[k]: size + 2 * i for i, k in enumerate(new)}
        return np.array([self._first_row[key] for key in keys])

    def _evaluate(self, nodes: IntArray, contexts: IntArray) -> None:
        children = self._task.hierarchy.children[nodes - self._task.hierarchy.n_players]
        ids = self._task.coalitions.add(children.ravel(), np.repeat(contexts, 2))
        self._values.append(self._task.evaluate(ids))


class Frontier:
    """Items (node T, context Q), weight 2^-depth each, that together make up f(x) - f(baseline).

    ``low`` and ``high`` are the rows of Q and Q | T, and so are the ids of these coalitions; ``whole`` items are
    not split, ``last`` ones never will be.

    Parameters
    ----------
    task : Task
    splits : Splits
    columns : slice
        The outputs it is about.
    min_area, min_weight : float
        Nodes of at most this area, and items of at most this weight, are never split.
    """

    def __init__(
        self, task: Task, splits: Splits, columns: slice, *, min_area: float = 0, min_weight: float = 0.0
    ) -> None:
        self.task, self.splits, self.columns = task, splits, columns
        self._min_area, self._min_weight = min_area, min_weight
        self._items = Column(np.empty(0, _ITEM))
        self.newest = self._push(np.array([task.hierarchy.root]), np.array([0]), np.array([1]), np.array([0]))

    @property
    def open(self) -> IntArray:
        """Items that can be split."""
        items = self._items.rows
        return np.flatnonzero(items["whole"] & ~items["last"])

    @property
    def exact(self) -> bool:
        """Is every whole item a single player?"""
        items = self._items.rows
        return bool((items["node"][items["whole"]] < self.task.hierarchy.n_players).all())

    @property
    def nodes(self) -> IntArray:
        """All nodes that are or were in the list, increasing."""
        return np.unique(self._items.rows["node"])

    def can_split(self, which: IntArray | slice) -> BoolArray:
        """Per item."""
        return np.asarray(~self._items.rows["last"][which])

    def areas(self, which: IntArray | slice) -> FloatArray:
        """Of the items' nodes."""
        return np.asarray(self.task.hierarchy.node_areas[self._items.rows["node"][which]])

    def weights(self, which: IntArray | slice) -> FloatArray:
        """2^-depth: the share of contexts that an item stands for."""
        return np.asarray(np.ldexp(1.0, -self._items.rows["depth"][which]))

    def differences(self, which: IntArray | slice, columns: slice) -> FloatArray:
        """Values of Q | T minus those of Q for some outputs, (k, n_columns)."""
        items, values = self._items.rows[which], self.splits.values[:, columns]
        return np.asarray(values[items["high"]] - values[items["low"]])

    def split(self, which: IntArray) -> None:
        """Replace items by (T1 in Q), (T2 in Q), (T2 in Q | T1), (T1 in Q | T2); `newest` says where these are."""
        items = self._items.rows[which]
        first = self.splits.rows(items["node"], items["low"])
        self._items.rows["whole"][which] = False
        children = self.task.hierarchy.children[items["node"] - self.task.hierarchy.n_players]
        low, high, one, two = items["low"], items["high"], first, first + 1
        self.newest = self._push(
            children[:, [0, 1, 1, 0]].ravel(),
            np.stack([low, low, one, two], 1).ravel(),
            np.stack([one, two, high, high], 1).ravel(),
            np.repeat(items["depth"] + 1, 4),
        )

    def blocks(self) -> Iterator[slice]:
        """Its outputs, some at a time: what is summed over many nodes for a thousand outputs would be large."""
        last = len(self.task.full)
        for start in range(*self.columns.indices(last)[:2], _COLUMNS):
            yield slice(start, min(start + _COLUMNS, self.columns.indices(last)[1]))

    def sums(self, columns: slice, which: IntArray | None = None, *, absolute: bool = False) -> FloatArray:
        """Weighted differences of the whole items (or of `which`), summed per node of `nodes`."""
        items, nodes = self._items.rows, self.nodes
        which = np.flatnonzero(items["whole"]) if which is None else which
        sums = np.zeros((len(nodes), self.task.full[columns].size))
        for some in (which[start : start + _BLOCK] for start in range(0, len(which), _BLOCK)):
            change = self.differences(some, columns) * self.weights(some)[:, None]
            np.add.at(sums, np.searchsorted(nodes, items["node"][some]), np.abs(change) if absolute else change)
        return sums

    def leftover(self) -> FloatArray:
        """Mass of items that could still be split, relative to f(x) - f(baseline); (n_columns,)."""
        mass = np.concatenate([self.sums(c, self.open, absolute=True).sum(0) for c in self.blocks()])
        return np.asarray(mass / self.task.scale[self.columns])

    def _push(self, nodes: IntArray, low: IntArray, high: IntArray, depth: IntArray) -> slice:
        items = np.empty(len(nodes), _ITEM)
        items["node"], items["low"], items["high"], items["depth"], items["whole"] = nodes, low, high, depth, True
        small = self.task.hierarchy.node_areas[nodes] <= self._min_area
        items["last"] = (nodes < self.task.hierarchy.n_players) | small | (np.ldexp(1.0, -depth) <= self._min_weight)
        return self._items.append(items)
