"""Owen values by splitting first what matters most."""

from dataclasses import dataclass
from heapq import heappop, heappush

import numpy as np

from xai_ext._checks import InputError, InputTypeError, check_at_least, check_choice
from xai_ext._types import FloatArray, IntArray
from xai_ext.methods._frontier import Frontier, Splits
from xai_ext.methods._owen_task import Solution, Task
from xai_ext.methods._summary import solution


@dataclass(frozen=True)
class BestFirst:
    """Split the node and context with the largest share of f(x) - f(baseline), until the budget ends.

    Parameters
    ----------
    wave : int
        Items split per request. Part of the algorithm: it changes the numbers, the batch size does not.
    floor : float
        Added to each difference, as a share of the largest ``abs(f(x) - f(baseline))``: above 0, nodes whose
        difference is small are split too.
    by_area : bool
        Prefer large nodes.
    steer : {"joint", "each"} or int
        What decides: the largest difference of all outputs; that of one output; or each output has a walk of its
        own with an equal share of the budget, so that its values do not depend on which others are explained.
    min_area : float
        Nodes of at most this area are not split.
    min_weight : float
        Neither are items that stand for at most this share of the contexts.
    """

    wave: int = 32
    floor: float = 0.0
    by_area: bool = False
    steer: str | int = "joint"
    min_area: float = 1
    min_weight: float = 0.0

    def __post_init__(self) -> None:
        check_at_least("wave", self.wave, 1)
        for name in ("floor", "min_area", "min_weight"):
            if not 0 <= getattr(self, name) < np.inf:
                raise InputError(f"{name} must be a finite number >= 0, got {getattr(self, name)!r}")
        if isinstance(self.steer, bool) or not isinstance(self.steer, str | int | np.integer):
            raise InputTypeError(f"steer must be 'joint', 'each' or the number of an output, got {self.steer!r}")
        if isinstance(self.steer, str):
            check_choice("steer", self.steer, ("joint", "each"))

    def solve(self, task: Task) -> Solution:
        """Values that are complete at every budget; finer, the larger it is."""
        splits = Splits(task)
        outputs = self._outputs(len(task.full))
        walks = [_Walk(self, task, splits, columns, steering) for columns, steering in outputs]
        for walk in walks:
            walk.run(2 * (task.budget // (2 * len(walks))))
        return solution(task, splits, [walk.frontier for walk in walks])

    def _outputs(self, n: int) -> list[tuple[slice, slice]]:
        """Per walk: the outputs whose values it gives, and those that steer it."""
        if self.steer == "each":
            return [(slice(c, c + 1), slice(c, c + 1)) for c in range(n)]
        if self.steer == "joint":
            return [(slice(None), slice(None))]
        c = int(self.steer)
        if not 0 <= c < n:
            raise InputError(f"steer must be one of the outputs 0..{n - 1}, got {c}")
        return [(slice(None), slice(c, c + 1))]


class _Walk:
    """A queue of items, largest priority first; among equals the one that came first."""

    def __init__(self, estimator: BestFirst, task: Task, splits: Splits, columns: slice, steering: slice) -> None:
        self._estimator, self._task, self._steering = estimator, task, steering
        self.frontier = Frontier(task, splits, columns, min_area=estimator.min_area, min_weight=estimator.min_weight)
        self._floor = estimator.floor * np.abs(task.full - task.base)[steering].max()
        self._queue: list[tuple[float, int]] = []
        self._enqueue_newest()

    def run(self, budget: int) -> None:
        while self._queue and budget >= 2:
            taken = self._take(min(self._estimator.wave, budget // 2))
            self.frontier.split(taken)
            self._enqueue_newest()
            budget -= 2 * len(taken)
            if self._task.tol is not None and (self.frontier.leftover() <= self._task.tol).all():
                return

    def _take(self, most: int) -> IntArray:
        return np.array([heappop(self._queue)[1] for _ in range(min(most, len(self._queue)))])

    def _enqueue_newest(self) -> None:
        which = self.frontier.newest
        candidates = np.arange(which.start, which.stop)[self.frontier.can_split(which)]
        for item in zip((-self._priorities(candidates)).tolist(), candidates.tolist(), strict=True):
            heappush(self._queue, item)

    def _priorities(self, which: IntArray) -> FloatArray:
        largest = np.abs(self.frontier.differences(which, self._steering)).max(1)
        size = self.frontier.areas(which) if self._estimator.by_area else 1.0
        return np.asarray((largest + self._floor) * self.frontier.weights(which) * size)
