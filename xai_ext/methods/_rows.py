"""What surrogates are fitted to, and what they return."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from scipy.linalg import cho_solve

from xai_ext._types import BoolArray, FloatArray, IntArray

_BLOCK = 1_024  # rows that are floats at a time; even, so that pairs stay together


def blocks(count: int, start: int = 0) -> Iterator[slice]:
    """Slices of at most 1,024 rows from ``start`` to ``count``."""
    return (slice(i, min(i + _BLOCK, count)) for i in range(start, count, _BLOCK))


@dataclass(frozen=True, eq=False)
class Rows:
    """What a surrogate is fitted to.

    The first `n_fixed` rows were not drawn (the anchors, or all of an enumeration): they carry no sampling error.
    Of the others, each `together` adjacent ones were drawn together.
    """

    coalitions: BoolArray
    scores: FloatArray
    weights: FloatArray
    n_fixed: int
    together: int = 1

    def subset(self, index: IntArray) -> "Rows":
        return replace(self, coalitions=self.coalitions[index], scores=self.scores[index], weights=self.weights[index])

    def output(self, index: int) -> "Rows":
        return replace(self, scores=self.scores[:, index : index + 1])

    def players(self, index: IntArray) -> "Rows":
        return replace(self, coalitions=self.coalitions[:, index])


class Influence(Protocol):
    """Maps scores times sqrt(weight) to coefficients, where those are linear in the scores."""

    def apply(self, values: FloatArray) -> FloatArray:
        """Coefficients (n,) from (m,)."""
        ...

    def of(self, part: slice) -> tuple[FloatArray, FloatArray]:
        """Of some rows: the design, rows times sqrt(weight) as fitted, and the influence, both (rows, n)."""
        ...


@dataclass(frozen=True, eq=False)
class Dense:
    """Written out: design (m, n), influence (n, m)."""

    design: FloatArray
    influence: FloatArray

    def apply(self, values: FloatArray) -> FloatArray:
        return np.asarray(self.influence @ values)

    def of(self, part: slice) -> tuple[FloatArray, FloatArray]:
        return self.design[part], self.influence[:, part].T


@dataclass(frozen=True, eq=False)
class Normal:
    """By the normal equations: only their matrix is kept, factored, and rows become floats a block at a time."""

    rows: Rows
    center: FloatArray
    factor: tuple[FloatArray, Any]

    def apply(self, values: FloatArray) -> FloatArray:
        inner = np.zeros(len(self.center))
        for part in blocks(len(values)):
            inner += centred(self.rows, self.center, part).T @ values[part]
        return np.asarray(cho_solve(self.factor, inner))

    def of(self, part: slice) -> tuple[FloatArray, FloatArray]:
        design = centred(self.rows, self.center, part)
        return design, cho_solve(self.factor, design.T).T


def centred(rows: Rows, center: FloatArray, part: slice) -> FloatArray:
    """Coalitions minus the centre, times the root of the weight."""
    return np.asarray(np.sqrt(rows.weights[part])[:, None] * (rows.coalitions[part] - center))


@dataclass(frozen=True, eq=False)
class Fit:
    """A fitted surrogate.

    Attributes
    ----------
    coefficients, intercept : (n, k), (k,)
    influence : Influence, optional
        Of a fit that is linear in the scores.
    free_intercept : bool
        Was an intercept fitted beside it?
    shrinkage : float
        Share of its least-squares size that the penalty takes from the coefficient of the median player, were
        players independent; NaN where there is no such penalty.
    note : str
        What the user should be warned of.
    unresolved : tuple, optional
        Of a selection that tests its steps: for each output the steps, from 0, that the rows do not decide.
    wanted : int
        Draws that would decide them; 0 where nothing is left to decide.
    """

    coefficients: FloatArray
    intercept: FloatArray
    influence: Influence | None = None
    free_intercept: bool = True
    shrinkage: float = float("nan")
    note: str = ""
    unresolved: tuple[tuple[int, ...], ...] | None = None
    wanted: int = 0

    def predict(self, coalitions: BoolArray) -> FloatArray:
        predicted = np.empty((len(coalitions), self.coefficients.shape[1]))
        for part in blocks(len(coalitions)):
            predicted[part] = coalitions[part] @ self.coefficients + self.intercept
        return predicted


class Surrogate(Protocol):
    """A model that is linear in the players."""

    def fit(self, rows: Rows) -> Fit: ...
