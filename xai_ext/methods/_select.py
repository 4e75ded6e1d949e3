"""Sparse surrogates: choose players first, then fit those."""

from dataclasses import dataclass, field

import numpy as np

from xai_ext._checks import check_at_least, check_choice
from xai_ext._types import FloatArray, IntArray
from xai_ext.methods._rows import Fit, Rows, Surrogate
from xai_ext.methods._surrogates import Ridge

_HOW = ("auto", "forward", "highest_weights", "lasso_path")
_FEW = 6  # players up to which "auto" goes forward, as in lime
_COLLINEAR = 1e-10


@dataclass(frozen=True)
class Select:
    """lime's feature selection: at most ``k`` players get a coefficient, the others 0.

    Parameters
    ----------
    k : int
        Number of players, for each output by itself.
    how : {"auto", "forward", "highest_weights", "lasso_path"}
        "forward": greedily the player that raises the weighted R2 of least squares most; "highest_weights": the
        largest absolute coefficients of ``Ridge(0.01)``; "lasso_path": the last support of at most k players on the
        LARS-lasso path; "auto": forward if k <= 6, else highest_weights. Ties go to the smaller player.
    final : surrogate
        Fitted to the chosen players.

    References
    ----------
    .. [1] Ribeiro, Singh, Guestrin, "Why should I trust you?", KDD 2016, sec. 3.4; ``lime.lime_base``.
    """

    k: int
    how: str = "auto"
    final: Surrogate = field(default_factory=Ridge)

    def __post_init__(self) -> None:
        check_at_least("k", self.k, 1)
        check_choice("how", self.how, _HOW)

    def fit(self, rows: Rows) -> Fit:
        """The final surrogate on the players chosen for each output."""
        columns = [self._fit_output(rows.output(i)) for i in range(rows.scores.shape[1])]
        coefficients, intercept = (np.stack(c, axis=-1) for c in zip(*columns, strict=True))
        return Fit(coefficients, intercept)

    def _fit_output(self, rows: Rows) -> tuple[FloatArray, float]:
        coefficients = np.zeros(rows.coalitions.shape[1])
        chosen = select(rows, self.k, self.how)
        if not len(chosen):
            return coefficients, float(rows.weights @ rows.scores[:, 0] / rows.weights.sum())
        fit = self.final.fit(rows.players(chosen))
        coefficients[chosen] = fit.coefficients[:, 0]
        return coefficients, float(fit.intercept[0])


def select(rows: Rows, k: int, how: str) -> IntArray:
    """At most ``k`` players of a single output, ascending."""
    if how == "auto":
        how = "forward" if k <= _FEW else "highest_weights"
    chosen = {"forward": _forward, "highest_weights": _highest_weights, "lasso_path": _lasso_path}[how](rows, k)
    return np.sort(chosen)


def _forward(rows: Rows, k: int) -> IntArray:
    """One Gram matrix, from which each chosen player is swept: what is left is orthogonal to the chosen."""
    design, y = _centred(rows)
    gram, inner = design.T @ design, design.T @ y
    original, free = np.diag(gram).copy(), np.ones(len(gram), bool)
    chosen: list[int] = []
    for _ in range(min(k, len(gram))):
        left = np.diag(gram)
        usable = free & (left > _COLLINEAR * original)
        gain = np.divide(inner**2, left, out=np.where(free, 0.0, -1.0), where=usable)
        j = int(np.argmax(gain))
        chosen.append(j)
        free[j] = False
        if usable[j]:
            column = gram[:, j] / gram[j, j]
            inner = inner - column * inner[j]
            gram = gram - np.outer(column, gram[j])
    return np.array(chosen)


def _highest_weights(rows: Rows, k: int) -> IntArray:
    coefficients = Ridge(0.01).fit(rows).coefficients[:, 0]
    return np.argsort(-np.abs(coefficients), kind="stable")[:k]


def _lasso_path(rows: Rows, k: int) -> IntArray:
    from sklearn.linear_model import lars_path

    design, y = _centred(rows)
    path = lars_path(design, y, method="lasso")[2].T[1:]  # the first is all zeros
    supports = [np.flatnonzero(step) for step in path[::-1]]
    return next((s for s in supports if len(s) <= k), np.zeros(0, dtype=np.int64))


def _centred(rows: Rows) -> tuple[FloatArray, FloatArray]:
    """Players and score around their weighted means, times the root of the weights."""
    root, y = np.sqrt(rows.weights), rows.scores[:, 0]
    center = np.average(rows.coalitions, axis=0, weights=rows.weights)
    # from the first row on: exactly 0 for a constant score
    gain = y - y[0]
    return root[:, None] * (rows.coalitions - center), root * (gain - np.average(gain, weights=rows.weights))
