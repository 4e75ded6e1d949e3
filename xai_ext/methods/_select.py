"""Sparse surrogates: choose players first, then fit those."""

from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from scipy.stats import norm

from xai_ext._checks import InputError, check_at_least, check_choice
from xai_ext._types import BoolArray, FloatArray, IntArray
from xai_ext.methods._rows import Fit, Rows, Surrogate
from xai_ext.methods._surrogates import Ridge

_HOW = ("auto", "forward", "highest_weights", "lasso_path")
_FEW = 6  # players up to which "auto" goes forward, as in lime
_COLLINEAR = 1e-10
_MOST_DRAWS = 10**9


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
    stable : float in (0, 0.5), optional
        With "lasso_path": each player that enters must be ahead of the runner-up at this level of significance, or
        `xai_ext.methods.lime.lime` draws as many coalitions as that should take, within its budget, and begins the
        path again [2]_; without it the whole budget is drawn. Steps that stay open are in the diagnostics.

    References
    ----------
    .. [1] Ribeiro, Singh, Guestrin, "Why should I trust you?", KDD 2016, sec. 3.4; ``lime.lime_base``.
    .. [2] Zhou, Hooker, Wang, "S-LIME: stabilized-LIME for model explanation", KDD 2021.
    """

    k: int
    how: str = "auto"
    final: Surrogate = field(default_factory=Ridge)
    stable: float | None = None

    def __post_init__(self) -> None:
        check_at_least("k", self.k, 1)
        check_choice("how", self.how, _HOW)
        if self.stable is not None and self.how != "lasso_path":
            raise InputError(f"stable tests the steps of how='lasso_path', got how={self.how!r}; fix: leave one out")
        if self.stable is not None and not 0 < self.stable < 0.5:
            raise InputError(f"stable must lie strictly between 0 and 0.5, got {self.stable}")

    def fit(self, rows: Rows) -> Fit:
        """The final surrogate on the players chosen for each output."""
        outputs = [rows.output(i) for i in range(rows.scores.shape[1])]
        columns = [self._fit_output(output) for output in outputs]
        coefficients, intercept = (np.stack(c, axis=-1) for c in zip(*columns, strict=True))
        if self.stable is None:
            return Fit(coefficients, intercept)
        unresolved, wanted = zip(*(open_steps(output, self.k, self.stable) for output in outputs), strict=True)
        return Fit(coefficients, intercept, unresolved=unresolved, wanted=max(wanted))

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
    return np.flatnonzero(_path(*_centred(rows), k)[-1])


def _path(design: FloatArray, y: FloatArray, k: int) -> FloatArray:
    """Coefficients (steps, n) at the knots of the path, from zeros to the last support of at most k players."""
    from sklearn.linear_model import lars_path

    path = lars_path(design, y, method="lasso")[2].T
    last = np.flatnonzero((path != 0).sum(1) <= k)[-1]
    return np.asarray(path[: last + 1])


def open_steps(rows: Rows, k: int, level: float) -> tuple[tuple[int, ...], int]:
    """Steps of the lasso path that the draws do not decide, and how many draws would decide them all.

    Where a player enters, its correlation with the residual is compared with that of the runner-up: the sum over
    rows of the difference of the two products, in units of its standard error.
    """
    design, y = _centred(rows)
    path, quantile = _path(design, y, k), float(norm.isf(level))
    n_drawn = len(y) - rows.n_fixed
    unresolved, wanted = [], 0
    for step, (before, after) in enumerate(pairwise(path)):
        t = _lead(design, y - design @ before, np.flatnonzero(before == 0), (before == 0) & (after != 0), rows)
        if t < quantile:
            unresolved.append(step)
            wanted = max(wanted, int(min(n_drawn * (quantile / max(t, 1e-3)) ** 2, _MOST_DRAWS)))
    return tuple(unresolved), wanted


def _lead(design: FloatArray, residual: FloatArray, free: IntArray, entering: BoolArray, rows: Rows) -> float:
    """How many standard errors the entering player's correlation is ahead; infinite where nobody competes."""
    others = free[~entering[free]]
    drawn = slice(rows.n_fixed, None)
    if not entering.any() or not len(others) or rows.n_fixed == len(residual):
        return np.inf
    products = design * residual[:, None]
    total = products.sum(0)
    first, second = np.flatnonzero(entering)[0], others[np.argmax(np.abs(total[others]))]
    lead = np.sign(total[first]) * products[:, first] - np.sign(total[second]) * products[:, second]
    clusters = np.add.reduceat(lead[drawn], np.arange(0, len(lead[drawn]), rows.together))
    spread = np.sqrt(len(clusters) * np.var(clusters, ddof=1))
    return float(lead.sum() / spread) if spread > 0 else np.inf


def _centred(rows: Rows) -> tuple[FloatArray, FloatArray]:
    """Players and score around their weighted means, times the root of the weights."""
    root, y = np.sqrt(rows.weights), rows.scores[:, 0]
    center = np.average(rows.coalitions, axis=0, weights=rows.weights)
    # from the first row on: exactly 0 for a constant score
    gain = y - y[0]
    return root[:, None] * (rows.coalitions - center), root * (gain - np.average(gain, weights=rows.weights))
