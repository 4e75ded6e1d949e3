"""What surrogates are fitted to, and what they return."""

from dataclasses import dataclass, replace
from typing import Protocol

from xai_ext._types import BoolArray, FloatArray, IntArray


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


@dataclass(frozen=True, eq=False)
class Fit:
    """A fitted surrogate.

    Attributes
    ----------
    coefficients, intercept : (n, k), (k,)
    influence : (n, m), optional
        Maps scores times sqrt(weight) to coefficients, where those are linear in the scores.
    design : (m, n), optional
        Rows times sqrt(weight), as fitted.
    free_intercept : bool
        Was an intercept fitted beside `design`?
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
    influence: FloatArray | None = None
    design: FloatArray | None = None
    free_intercept: bool = True
    shrinkage: float = float("nan")
    note: str = ""
    unresolved: tuple[tuple[int, ...], ...] | None = None
    wanted: int = 0

    def predict(self, coalitions: BoolArray) -> FloatArray:
        return coalitions @ self.coefficients + self.intercept


class Surrogate(Protocol):
    """A model that is linear in the players."""

    def fit(self, rows: Rows) -> Fit: ...
