"""What surrogates are fitted to, and what they return."""

from dataclasses import dataclass
from typing import Protocol

from xai_ext._types import BoolArray, FloatArray, IntArray


@dataclass(frozen=True, eq=False)
class Rows:
    """What a surrogate is fitted to.

    The first `n_fixed` rows were not drawn (the anchors, or all of an enumeration): they carry no sampling error.
    """

    coalitions: BoolArray
    scores: FloatArray
    weights: FloatArray
    n_fixed: int

    def subset(self, index: IntArray) -> "Rows":
        return Rows(self.coalitions[index], self.scores[index], self.weights[index], self.n_fixed)

    def output(self, index: int) -> "Rows":
        return Rows(self.coalitions, self.scores[:, index : index + 1], self.weights, self.n_fixed)

    def players(self, index: IntArray) -> "Rows":
        return Rows(self.coalitions[:, index], self.scores, self.weights, self.n_fixed)


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
    """

    coefficients: FloatArray
    intercept: FloatArray
    influence: FloatArray | None = None
    design: FloatArray | None = None
    free_intercept: bool = True
    shrinkage: float = float("nan")
    note: str = ""

    def predict(self, coalitions: BoolArray) -> FloatArray:
        return coalitions @ self.coefficients + self.intercept


class Surrogate(Protocol):
    """A model that is linear in the players."""

    def fit(self, rows: Rows) -> Fit: ...
