"""What an estimator of Owen values is given, and what it returns."""

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol, runtime_checkable

import numpy as np

from xai_ext._types import FloatArray, IntArray
from xai_ext.game import Game
from xai_ext.hierarchies.hierarchy import Hierarchy
from xai_ext.methods._coalitions import Coalitions
from xai_ext.methods._report import Report

_NO_DIFFERENCE = 1e-12


class Task:
    """A game seen through a tree, with a budget.

    Attributes
    ----------
    budget : int
        Evaluations left: the two of f(x) and f(baseline) are paid.
    full, base : arrays (n_outputs,)
    scale : array (n_outputs,)
        ``abs(full - base)``, kept away from 0: what ratios divide by.
    tol : float or None
    n_evals : int
        Evaluations spent, the two included.
    """

    def __init__(self, game: Game, hierarchy: Hierarchy, budget: int, tol: float | None) -> None:
        self.game, self.hierarchy, self.budget, self.tol = game, hierarchy, budget - 2, tol
        self.full, self.base, self.n_evals = game.full_value, game.base_value, 2
        self.scale = guarded_scale(self.full, self.base)

    @cached_property
    def coalitions(self) -> Coalitions:
        """Made when the first one is asked for: a budget of 2 needs none."""
        return Coalitions(self.game, self.hierarchy)

    def evaluate(self, ids: IntArray) -> FloatArray:
        """Values (k, n_outputs) of coalitions."""
        self.n_evals += len(ids)
        return self.game.masked_model.evaluate(len(ids), lambda rows: self.coalitions.masks(ids[rows]))


def guarded_scale(full: FloatArray, base: FloatArray) -> FloatArray:
    """``abs(full - base)``, at least 1e-12 of the score's size."""
    return np.asarray(np.maximum(np.abs(full - base), _NO_DIFFERENCE * np.maximum(1.0, np.abs(full))))


@dataclass(frozen=True, eq=False)
class Solution:
    """Owen values (n, n_outputs) and their standard errors, None where nothing was sampled."""

    values: FloatArray
    std_error: FloatArray | None
    diagnostics: Report


@runtime_checkable
class Estimator(Protocol):
    """Spends a budget on the coalitions of a tree."""

    def solve(self, task: Task) -> Solution:
        """Values that sum to ``task.full - task.base``, after at most ``task.budget`` evaluations."""
