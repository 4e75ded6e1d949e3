"""Linear surrogates of scores over coalitions."""

import inspect
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from xai_ext._checks import InputError, InputTypeError, check_choice, check_positive
from xai_ext._types import AnyArray, FloatArray
from xai_ext.methods._rows import Dense, Fit, Influence, Normal, Rows, Surrogate, blocks, centred

__all__ = ["Fit", "Lasso", "Linear", "Ridge", "Rows", "ScikitLearn", "Surrogate", "as_surrogate"]


@dataclass(frozen=True)
class Ridge:
    """Weighted ridge regression with an unpenalised intercept: lime's surrogate.

    Parameters
    ----------
    alpha : float
        Penalty on the squared coefficients, on the scale of the weights as they are (they are not normalised).
        With 0, least squares of minimum norm.
    prior : array (n,) or (n, k), optional
        The coefficients that the penalty pulls towards, 0 by default: BayLIME with a fixed prior [1]_.

    References
    ----------
    .. [1] Zhao, Huang, Huang, Robu, Flynn, "BayLIME: Bayesian local interpretable model-agnostic explanations",
       UAI 2021.
    """

    alpha: float = 1.0
    prior: AnyArray | None = None

    def __post_init__(self) -> None:
        if not np.isfinite(self.alpha) or self.alpha < 0:
            raise InputError(f"alpha must be a finite number >= 0, got {self.alpha}")

    def fit(self, rows: Rows) -> Fit:
        """Coefficients in closed form, of whichever system is smaller: players or rows."""
        root = np.sqrt(rows.weights)
        total = rows.weights.sum()
        center = _weighted_sums(rows) / total
        influence, spread, rank = self._influence(rows, center)
        prior = self._prior(rows)
        columns = []
        # output by output: one column of a matrix product has other bits than the product of one column
        for y, b in zip(rows.scores.T, prior.T, strict=True):
            y = y - rows.coalitions @ b if self.prior is not None else y
            gain = y - y[0]  # exactly 0 for a constant score
            mean = rows.weights @ gain / total
            beta = influence.apply(root * (gain - mean))
            columns.append((beta + b, y[0] + mean - center @ beta))
        coefficients, intercept = (np.stack(c, axis=-1) for c in zip(*columns, strict=True))
        shrinkage = float(np.median(self.alpha / (self.alpha + spread))) if self.alpha else 0.0
        note = "" if rank == len(center) else _rank_note(rank, len(center))
        return Fit(coefficients, intercept, influence, shrinkage=shrinkage, note=note)

    def _prior(self, rows: Rows) -> FloatArray:
        n, k = rows.coalitions.shape[1], rows.scores.shape[1]
        if self.prior is None:
            return np.zeros((n, k))
        prior = np.asarray(self.prior, dtype=np.float64)
        if prior.shape not in ((n,), (n, k)):
            raise InputError(f"prior must have shape ({n},) or ({n}, {k}), got {prior.shape}")
        return np.broadcast_to(prior.reshape(n, -1), (n, k))

    def _influence(self, rows: Rows, center: FloatArray) -> tuple[Influence, FloatArray, int]:
        """With each player's sum of squares (n,), and the rank."""
        m, n = rows.coalitions.shape
        if self.alpha and n <= m:
            gram = sum((d.T @ d for d in (centred(rows, center, part) for part in blocks(m))), np.zeros((n, n)))
            penalised = gram + self.alpha * np.eye(n)
            return Normal(rows, center, cho_factor(penalised, overwrite_a=True)), np.diag(gram), n
        design = centred(rows, center, slice(None))
        spread = (design**2).sum(0)
        if self.alpha:
            dual = cho_factor(design @ design.T + self.alpha * np.eye(m))
            return Dense(design, np.asarray(cho_solve(dual, design).T)), spread, n
        u, s, v = np.linalg.svd(design, full_matrices=False)
        kept = s > 1e-10 * s.max(initial=0)
        return Dense(design, (v[kept].T / s[kept]) @ u[:, kept].T), spread, int(kept.sum())


@dataclass(frozen=True)
class Linear:
    """Weighted least squares; of minimum norm, with a warning, where the rows do not determine the coefficients."""

    def fit(self, rows: Rows) -> Fit:
        """As `Ridge` without penalty."""
        return Ridge(0.0).fit(rows)


@dataclass(frozen=True)
class Lasso:
    """Weighted lasso [1]_, each output by itself.

    Parameters
    ----------
    alpha : float
        Penalty on the absolute coefficients, as in scikit-learn (weights are normalised there).
    scale : {"score", "raw"}
        "score": the penalty is in units of the weighted standard deviation of the score, so that coefficients do
        not vanish because the score is a probability. "raw": on the score as it is, Captum's default.

    References
    ----------
    .. [1] Tibshirani, "Regression shrinkage and selection via the lasso", JRSS B 58 (1996).
    """

    alpha: float = 0.01
    scale: str = "score"

    def __post_init__(self) -> None:
        check_positive("alpha", self.alpha)
        check_choice("scale", self.scale, ("score", "raw"))

    def fit(self, rows: Rows) -> Fit:
        """Coefficients by coordinate descent."""
        mean = rows.weights @ rows.scores / rows.weights.sum()
        spread = np.ones_like(mean)
        if self.scale == "score":
            spread = np.sqrt(rows.weights @ (rows.scores - mean) ** 2 / rows.weights.sum())
        spread = np.where(spread > 1e-12 * np.abs(rows.scores).max(0), spread, 1.0)
        columns = [self._column(rows, y) for y in ((rows.scores - mean) / spread).T]
        coefficients, intercept = (np.stack(c, axis=-1) for c in zip(*columns, strict=True))
        return Fit(coefficients * spread, mean + intercept * spread)

    def _column(self, rows: Rows, y: FloatArray) -> tuple[FloatArray, float]:
        from sklearn.linear_model import Lasso as SkLasso

        if not y.any():
            return np.zeros(rows.coalitions.shape[1]), 0.0
        model = SkLasso(self.alpha, tol=1e-10, max_iter=100_000)
        model.fit(rows.coalitions.astype(np.float64), y, sample_weight=rows.weights)
        return model.coef_, model.intercept_


@dataclass(frozen=True, eq=False)
class ScikitLearn:
    """A linear regressor of scikit-learn, or one like it, cloned for each output.

    Parameters
    ----------
    regressor : estimator
        With ``fit(X, y, sample_weight=)`` and, once fitted, ``coef_``.
    """

    regressor: Any

    def __post_init__(self) -> None:
        fit = getattr(self.regressor, "fit", None)
        if fit is None or "sample_weight" not in inspect.signature(fit).parameters:
            raise _unusable(self.regressor)

    def fit(self, rows: Rows) -> Fit:
        """A clone fitted to each output."""
        from sklearn.base import clone

        columns = []
        for y in rows.scores.T:
            model = clone(self.regressor)
            model.fit(rows.coalitions.astype(np.float64), np.ascontiguousarray(y), sample_weight=rows.weights)
            if not hasattr(model, "coef_"):
                raise _unusable(self.regressor)
            columns.append((np.ravel(model.coef_), np.ravel(getattr(model, "intercept_", 0.0))[0]))
        coefficients, intercept = (np.stack(c, axis=-1) for c in zip(*columns, strict=True))
        return Fit(coefficients, intercept)


def _weighted_sums(rows: Rows) -> FloatArray:
    """Of each player, (n,)."""
    sums = np.zeros(rows.coalitions.shape[1])
    for part in blocks(len(rows.weights)):
        sums += rows.weights[part] @ rows.coalitions[part]
    return sums


def as_surrogate(model: Any) -> Surrogate:
    """A surrogate of this package as it is, a regressor of scikit-learn wrapped; None is ``Ridge(1.0)``."""
    if model is None:
        return Ridge()
    if hasattr(model, "get_params"):
        return ScikitLearn(model)
    if not hasattr(model, "fit"):
        raise _unusable(model)
    surrogate: Surrogate = model
    return surrogate


def _unusable(model: Any) -> InputTypeError:
    return InputTypeError(
        "surrogate must be Ridge, Linear, Lasso, Select or a regressor with fit(X, y, sample_weight=) and coef_, "
        f"got {type(model).__name__}"
    )


def _rank_note(rank: int, n: int) -> str:
    return (
        f"the rows determine {rank} of {n} coefficients: these are the least squares of minimum norm; "
        "fix: a larger budget, fewer players, or Ridge()"
    )
