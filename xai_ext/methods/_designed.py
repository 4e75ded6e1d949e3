"""Owen values from a few well-chosen contexts per node, with standard errors."""

from dataclasses import dataclass
from functools import partial

import numpy as np

from xai_ext._checks import InputError, check_at_least, check_positive
from xai_ext._types import BoolArray, FloatArray, IntArray
from xai_ext.methods._design_nodes import DesignNodes
from xai_ext.methods._designs import Design, design
from xai_ext.methods._owen_task import Solution, Task
from xai_ext.methods._report import Report
from xai_ext.methods._spread import spread_disjoint
from xai_ext.methods._summary import resolution, with_values

_WAVE = 16
_DEEPEST = 10  # a node at depth 9 has 512 contexts, and its design takes half a second


@dataclass(frozen=True)
class Designed:
    """Estimate how each node divides its value between its children from few contexts.

    The difference D of two children, as a function of which siblings along the path are present, has most of its
    variance in interactions of low order. A subset of contexts, chosen for that, nearly fixes the mean of D; a
    Gaussian prior says how nearly, and where the next two evaluations lower the uncertainty most.

    Parameters
    ----------
    max_depth : int, 1 to 10
        Regions are the nodes at this depth; deeper ones are never split.
    shares : tuple of float
        Prior share of D's variance by order of interaction; orders beyond get half of the one before.
    decay : float
        Prior variance of a node relative to its parent's.
    strength : float
        Weight of that prior, in contexts.
    """

    max_depth: int = 6
    shares: tuple[float, ...] = (0.20, 0.30, 0.25, 0.15, 0.07, 0.03)
    decay: float = 0.4
    strength: float = 4.0

    def __post_init__(self) -> None:
        if check_at_least("max_depth", self.max_depth, 1) > _DEEPEST:
            raise InputError(f"max_depth must be at most {_DEEPEST}, got {self.max_depth}; fix: BestFirst goes deeper")
        object.__setattr__(self, "shares", tuple(float(s) for s in self.shares))
        if not self.shares or self.shares[0] <= 0 or not all(0 <= s < np.inf for s in self.shares):
            raise InputError(f"shares must be finite numbers >= 0, the first above 0, got {self.shares}")
        check_positive("decay", self.decay)
        check_positive("strength", self.strength)

    def solve(self, task: Task) -> Solution:
        """Complete values, and standard errors of the regions shared by area like the values."""
        run = _Run(self, task)
        budget = task.budget
        while budget >= 2 and (steps := run.steps(min(_WAVE, budget // 2))):
            run.take(steps)
            budget -= 2 * len(steps)
            if task.tol is not None and (run.largest_std_error() <= task.tol).all():
                break
        return run.solution()


class _Run:
    """Estimates for the top of the tree; arrays have one row per node of `DesignNodes`."""

    def __init__(self, estimator: Designed, task: Task) -> None:
        self._estimator, self._task = estimator, task
        self._nodes = nodes = DesignNodes(task.hierarchy, estimator.max_depth)
        depths = range(min(len(nodes.levels), estimator.max_depth))
        self._designs = [design(d, estimator.shares) for d in depths]
        shape = (len(nodes.ids), len(task.full))
        self._seen: list[FloatArray] = [np.empty((0, shape[1]))] * shape[0]
        self._n_seen = np.zeros(shape[0], np.int64)
        self._mean, self._energy = np.zeros(shape), np.zeros(shape)  # of the contexts seen
        self._division, self._scale, self._unknown = np.zeros(shape), np.zeros(shape), np.zeros((shape[0], 1))
        self._value, self._variance = np.zeros(shape), np.zeros(shape)
        self._update()

    def steps(self, most: int) -> list[tuple[int, int]]:
        """The next (row, context), by decrease of variance per context; scales are frozen meanwhile."""
        worth = (self._scale / self._task.scale**2).max(1)
        rows = np.flatnonzero(self._open() & self._reached()).tolist()
        seen = dict(zip(rows, self._n_seen[rows].tolist(), strict=True))
        gain = {row: worth[row] * self._plan(row).gains[seen[row]] for row in rows}
        steps: list[tuple[int, int]] = []
        while gain and len(steps) < most:
            row = max(gain, key=gain.__getitem__)  # the first of equals: rows are sorted by depth, then id
            steps.append((row, int(self._plan(row).contexts[seen[row]])))
            seen[row] += 1
            gain[row] = worth[row] * self._plan(row).gains[seen[row]]
            if seen[row] == len(self._plan(row).contexts):
                del gain[row]
        return steps

    def take(self, steps: list[tuple[int, int]]) -> None:
        """Evaluate two coalitions per step: each child of the node joined to the context."""
        pairs = self._task.evaluate(self._nodes.link(self._task.coalitions, steps)).reshape(len(steps), 2, -1)
        for (row, _), (first, second) in zip(steps, pairs, strict=True):
            self._seen[row] = np.concatenate([self._seen[row], [first - second]])
        for row in {row for row, _ in steps}:
            plan = self._plan(row)
            self._n_seen[row] = len(self._seen[row])
            self._mean[row], self._energy[row] = plan.mean(self._seen[row]), plan.energy(self._seen[row])
        self._update()

    def largest_std_error(self) -> FloatArray:
        """Of any region, relative to f(x) - f(baseline); (n_outputs,)."""
        return np.asarray(np.sqrt(self._variance[self._nodes.regions].max(0)) / self._task.scale)

    def solution(self) -> Solution:
        """The regions' values and errors, spread by area."""
        tree, nodes, ids = self._task.hierarchy, self._nodes, self._nodes.ids
        regions, whole, split = nodes.regions, self._whole(), np.flatnonzero(self._n_seen)
        values = spread_disjoint(tree, ids[regions], self._value[regions])
        leftover = np.abs(self._value[whole]) * (ids[whole] >= tree.n_players)[:, None]
        known = {
            "leftover": leftover.sum(0) / self._task.scale,
            "converged": bool((ids[regions] < tree.n_players).all() and not self._open().any()),
            **resolution(np.repeat(nodes.depth[split], self._n_seen[split]), len(split)),
        }
        report = Report(
            known,
            leftover_map=partial(spread_disjoint, tree, ids[whole], leftover),
            nodes=partial(with_values, tree, np.sort(ids), values),
        )
        return Solution(values, spread_disjoint(tree, ids[regions], np.sqrt(self._variance[regions])), report)

    def _whole(self) -> IntArray:
        """Largest nodes that no context has divided: they cover each player once."""
        return np.flatnonzero((self._n_seen == 0) & self._reached())

    def _plan(self, row: int) -> Design:
        return self._designs[int(self._nodes.depth[row])]

    def _open(self) -> BoolArray:
        """Nodes with contexts left."""
        return np.asarray(self._nodes.splittable & (self._n_seen < 2**self._nodes.depth))

    def _reached(self) -> BoolArray:
        """Nodes whose value is more than an area share: the root, and children of divided nodes."""
        reached = self._n_seen[self._nodes.parent] > 0
        reached[0] = True
        return np.asarray(reached)

    def _update(self) -> None:
        """Values, their variances and the scales of D, from the root down."""
        difference, nodes = self._task.full - self._task.base, self._nodes
        prior = difference[None] ** 2
        self._value[0] = difference
        for level, plan in zip(nodes.levels, [*self._designs, None], strict=False):
            if level.start > 0:
                above = nodes.parent[level]
                self._value[level] = (self._value[above] + nodes.sign[level] * self._division[above]) / 2
                self._variance[level] = (self._variance[above] + self._scale[above] * self._unknown[above]) / 4
                prior = self._estimator.decay * self._scale[above]
            if plan is not None:
                self._divide(level, plan, prior)

    def _divide(self, level: slice, plan: Design, prior: FloatArray) -> None:
        """How the nodes of a level divide their values between their children."""
        strength, seen = self._estimator.strength, self._n_seen[level, None]
        self._scale[level] = (self._energy[level] + strength * prior) / (seen + strength)
        self._unknown[level] = plan.variances[seen]
        guess = self._nodes.imbalance[level] * self._value[level]
        self._division[level] = guess * plan.prior_share(seen) + self._mean[level]
