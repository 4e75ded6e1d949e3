"""How far a local surrogate can be believed."""

import copy
import warnings
from typing import Any

import numpy as np

from xai_ext._types import BoolArray, FloatArray
from xai_ext.methods._rows import Fit, Rows, Surrogate
from xai_ext.methods._standard_error import rows_per_cluster
from xai_ext.samplers import Sampler

_FOLDS = 5
_FLAT = 0.9


def of_weights(rows: Rows, draws: slice) -> dict[str, Any]:
    """Kish's effective sample size of the draws."""
    w = rows.weights[draws]
    ess = float(w.sum() ** 2 / (w**2).sum()) if w.any() else 0.0
    return {"ess": ess, "ess_ratio": ess / len(w)}


def of_scores(scores: FloatArray, full: FloatArray, base: FloatArray) -> dict[str, Any]:
    """How much of the score's range the draws (m, k) have seen."""
    low, high = np.quantile(scores, [0.01, 0.99], axis=0)
    return {
        "response_coverage": ratio(high - low, full),
        "response_coverage_range": ratio(high - low, np.abs(full - base)),
    }


def of_coefficients(values: FloatArray) -> dict[str, Any]:
    """Coefficient of variation of the players' values (n, k)."""
    cv, cv_abs = (
        ratio(v.std(0), np.where(np.abs(v.mean(0)) < 1e-12, 0.0, v.mean(0))) for v in (values, np.abs(values))
    )
    return {"cv": cv, "cv_abs": cv_abs, "confused": (cv >= 0) & (cv <= 1)}


def of_fit(rows: Rows, fit: Fit, full: FloatArray) -> dict[str, Any]:
    """The surrogate where it was fitted, and at x."""
    residuals = rows.scores - fit.predict(rows.coalitions)
    local_pred = fit.coefficients.sum(0) + fit.intercept
    return {
        "intercept": fit.intercept,
        "local_pred": local_pred,
        "gap": local_pred - full,
        "score": r2(rows.scores, residuals, rows.weights),
        "score_unweighted": r2(rows.scores, residuals, np.ones(len(residuals))),
        "shrinkage": fit.shrinkage,
    }


def score_cv(surrogate: Surrogate, rows: Rows, sampler: Sampler, rng: np.random.Generator) -> FloatArray:
    """Weighted R2 of draws that the surrogate was not fitted to, in five folds that keep pairs together, (k,).

    NaN for an enumeration and for fewer than two things to tell apart.
    """
    unknown = np.full(rows.scores.shape[1], np.nan)
    n_drawn, width = len(rows.coalitions) - rows.n_fixed, rows_per_cluster(sampler)
    n_clusters = -(-n_drawn // width)
    folds = min(_FOLDS, n_clusters)
    if folds < 2:
        return unknown
    surrogate = copy.deepcopy(surrogate)
    fold = np.concatenate(
        [np.full(rows.n_fixed, -1), (rng.permutation(n_clusters) % folds)[np.arange(n_drawn) // width]]
    )
    residuals = np.zeros_like(rows.scores)
    for i in range(folds):
        train = rows.subset(np.flatnonzero(fold != i))
        if not train.weights.any():
            return unknown
        held = fold == i
        residuals[held] = rows.scores[held] - surrogate.fit(train).predict(rows.coalitions[held])
    draws = slice(rows.n_fixed, None)
    return r2(rows.scores[draws], residuals[draws], rows.weights[draws])


def r2(scores: FloatArray, residuals: FloatArray, weights: FloatArray) -> FloatArray:
    """1 - residual / total variance, (k,); NaN for a constant score."""
    if not weights.any():
        return np.full(scores.shape[1], np.nan)
    gain = scores - scores[0]
    total = weights @ (gain - weights @ gain / weights.sum()) ** 2
    return 1 - ratio(weights @ residuals**2, total)


def warn_of_zeros(argument: str, stacklevel: int) -> None:
    """What to do about coefficients that are all 0; `argument`: the user's name for the surrogate."""
    warnings.warn(
        "all coefficients are 0: either the score does not react to the mask, or the penalty of "
        f"{argument} is too strong for the scale of the score; fix: explain logits, or pass "
        f"{argument}=Ridge(alpha=...) with a smaller alpha",
        stacklevel=stacklevel,
    )


def warn_of_shrinkage(shrinkage: float, stacklevel: int) -> None:
    """Says so where the ridge takes most of what the scores say."""
    if shrinkage > _FLAT:
        warnings.warn(
            f"the penalty of the ridge takes {shrinkage:.0%} of a typical coefficient, because the draws that tell "
            "players apart weigh little; fix: more evaluations, a wider kernel, a smaller alpha, or Linear()",
            stacklevel=stacklevel,
        )


def packed(coalitions: BoolArray) -> Any:
    """One bit per player, (m, ceil(n / 8)) uint8; ``numpy.unpackbits(..., axis=1, count=n)`` is the inverse."""
    return np.packbits(coalitions, axis=1)


def ratio(numerator: FloatArray, denominator: FloatArray) -> FloatArray:
    """The quotient, NaN where the denominator is 0."""
    out = np.full_like(denominator, np.nan, dtype=np.float64)
    with np.errstate(over="ignore"):  # infinite over a score that is nearly nothing
        return np.asarray(np.divide(numerator, denominator, out=out, where=denominator != 0))
