"""LIME: a weighted linear surrogate of the scores of random coalitions."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

import numpy as np

from xai_ext._checks import InputError, check_at_least, check_positive
from xai_ext._progress import progress
from xai_ext._randomness import default_rng
from xai_ext._types import BoolArray, FloatArray
from xai_ext.explanation import Explanation
from xai_ext.game import Game
from xai_ext.methods._kernels import Cosine, Euclidean, Kernel, PixelCosine, Weigh, weights
from xai_ext.methods._surrogates import Fit, Ridge, Rows, Surrogate, standard_error
from xai_ext.samplers import Antithetic, Sampler
from xai_ext.samplers.bernoulli import log_binomial

__all__ = ["Cosine", "Euclidean", "PixelCosine", "Ridge", "lime"]

_FIRST_STOP, _STOP_FACTOR = 64, 1.5


def lime(
    game: Game,
    sampler: Sampler | None = None,
    *,
    budget: int = 1000,
    weighting: str = "kernel",
    kernel: Kernel | None = None,
    surrogate: Surrogate | None = None,
    tol: float | None = None,
    rng: np.random.Generator | int | None = None,
    show_progress: bool = False,
) -> Explanation:
    """Coefficients of a linear model of the score, fitted to random coalitions near the input.

    Parameters
    ----------
    game : Game
    sampler : Sampler, optional
        How coalitions are drawn; default `Antithetic`. When all 2^n coalitions fit into the budget, each is
        evaluated once instead, weighted by how often the sampler would have drawn it.
    budget : int
        Model evaluations, f(x) and f(baseline) included. A coalition drawn twice is evaluated once and counts
        twice in the fit; the evaluation saved is not spent.
    weighting : {"kernel", "importance", "none"}
        Weight of a coalition z: ``kernel(z)``; the same divided by the sampler's law relative to fair coins, so
        that LIME is estimated under any sampler; 1.
    kernel : kernel, optional
        Default ``Cosine(0.25)``, lime's.
    surrogate : surrogate, optional
        Default ``Ridge(1.0)``, lime's.
    tol : float, optional
        Stop early once the largest standard error is at most ``tol * abs(f(x) - f(baseline))``.
    rng : numpy Generator or int, optional
        None draws fresh entropy.
    show_progress : bool
        A tqdm bar of evaluations.

    Returns
    -------
    Explanation
        Diagnostics: ``intercept``; ``score``, the weighted R2 (NaN for constant scores); ``ess`` and
        ``ess_ratio``, the effective sample size of the draws and its share of them; ``n_drawn``, ``n_distinct``,
        ``enumerated``, ``stopped_by`` ("budget" or "tol"); ``local_pred``, the surrogate at x.

    Notes
    -----
    With the weighting "kernel" and a sampler other than fair coins, the fit is weighted by the sampler's law
    too: uniform strata move it towards Shapley values. The estimand says which of the two was computed.

    The standard error is a cluster-robust sandwich with small-sample correction [2]_ for `Ridge`, a
    delete-group jackknife for other surrogates.

    References
    ----------
    .. [1] Ribeiro, Singh, Guestrin, "Why should I trust you?", KDD 2016, eq. 1 and sec. 3.4.
    .. [2] Bell, McCaffrey, "Bias reduction in standard errors for linear regression with multi-stage samples",
       Survey Methodology 28 (2002).
    """
    check_at_least("budget", budget, 4, "f(x), f(baseline) and two coalitions")
    if tol is not None:
        check_positive("tol", tol)
    rng = default_rng(rng)
    run = _Run(game, sampler or Antithetic(), surrogate or Ridge(), rng.spawn(1)[0])
    weigh = weights(kernel or Cosine(), weighting, run.sampler, game)
    with progress(game.masked_model, "LIME", budget, enabled=show_progress):
        if game.n_players < budget.bit_length():
            result = run.enumerated(weigh, budget)
        else:
            result = run.sampled(weigh, _stops(game.n_players, budget - 2, tol), tol, rng)
    return run.explanation(result, _estimand(run.sampler, weighting, game.n_players))


@dataclass(frozen=True, eq=False)
class _Result:
    rows: Rows
    fit: Fit
    std_error: FloatArray
    stopped_by: str


class _Run:
    """One call of `lime`: evaluates each distinct coalition once."""

    def __init__(self, game: Game, sampler: Sampler, surrogate: Surrogate, fold_rng: np.random.Generator) -> None:
        self.game, self.sampler, self.surrogate, self.fold_rng = game, sampler, surrogate, fold_rng
        self._scores = np.stack([game.full_value, game.base_value])
        self._anchors = np.stack([np.ones(game.n_players, bool), np.zeros(game.n_players, bool)])
        self._index = {key: i for i, key in enumerate(_keys(self._anchors))}

    def enumerated(self, weigh: Weigh, budget: int) -> _Result:
        """All coalitions, each with the multiplicity that the sampler's draws would have on average."""
        n = self.game.n_players
        coalitions = (np.arange(2**n)[:, None] >> np.arange(n) & 1).astype(bool)
        log_share = self.sampler.log_law(n) - log_binomial(n)
        multiplicity = (budget - 2) * np.exp(log_share[coalitions.sum(1)])
        rows = Rows(coalitions, self.scores(coalitions), weigh(coalitions) * multiplicity, len(coalitions))
        return self._fitted(rows, "budget")

    def sampled(self, weigh: Weigh, stops: Iterator[int], tol: float | None, rng: np.random.Generator) -> _Result:
        """The anchors f(x), f(baseline) and as many draws as it takes."""
        coalitions = self._anchors
        limit = np.inf if tol is None else tol * np.abs(self.game.full_value - self.game.base_value)
        for stop in stops:
            drawn = self.sampler.ask(self.game.n_players, stop + 2 - len(coalitions), rng)
            coalitions = np.concatenate([coalitions, drawn])
            result = self._fitted(Rows(coalitions, self.scores(coalitions), weigh(coalitions), 2), "budget")
            if tol is not None and (result.std_error <= limit).all():
                return replace(result, stopped_by="tol")
        return result

    def scores(self, coalitions: BoolArray) -> FloatArray:
        """Scores (m, k), from memory where a coalition was seen before."""
        keys = _keys(coalitions)
        new = {key: row for row, key in reversed(list(enumerate(keys))) if key not in self._index}
        rows = sorted(new.values())
        self._scores = np.concatenate([self._scores, self.game(coalitions[rows])])
        self._index |= {keys[row]: i for i, row in enumerate(rows, start=len(self._index))}
        return np.asarray(self._scores[[self._index[key] for key in keys]])

    def explanation(self, result: _Result, estimand: str) -> Explanation:
        rows, fit, shape = result.rows, result.fit, self.game.masked_model.output_shape
        return Explanation(
            values=fit.coefficients.reshape(-1, *shape),
            std_error=result.std_error.reshape(-1, *shape),
            labels=self.game.labels,
            base_value=self.game.base_value.reshape(shape),
            full_value=self.game.full_value.reshape(shape),
            n_evals=self.game.n_evals,
            estimand=estimand,
            diagnostics=MappingProxyType(_diagnostics(rows, fit, len(self._index), result.stopped_by)),
        )

    def _fitted(self, rows: Rows, stopped_by: str) -> _Result:
        if not rows.weights.any():
            raise InputError("the kernel gives every coalition weight 0; fix: a larger kernel width")
        fit = self.surrogate.fit(rows)
        return _Result(rows, fit, standard_error(self.surrogate, rows, fit, self.sampler, self.fold_rng), stopped_by)


def _stops(n: int, most: int, tol: float | None) -> Iterator[int]:
    """Numbers of draws after which to look at the standard error, the last one is `most`."""
    stop = max(_FIRST_STOP, 4 * n)
    while tol is not None and stop < most:
        yield stop
        stop = 2 * int(_STOP_FACTOR * stop / 2)
    yield most


def _keys(coalitions: BoolArray) -> list[bytes]:
    return [row.tobytes() for row in np.packbits(coalitions, axis=1)]


def _estimand(sampler: Sampler, weighting: str, n: int) -> str:
    fair = log_binomial(n) - n * np.log(2)
    if weighting == "importance" or (weighting == "kernel" and np.allclose(sampler.log_law(n), fair)):
        return "LIME"
    return f"linear fit under the law of {sampler}" + (" times the kernel" if weighting == "kernel" else "")


def _diagnostics(rows: Rows, fit: Fit, n_distinct: int, stopped_by: str) -> dict[str, Any]:
    enumerated = rows.n_fixed == len(rows.coalitions)
    drawn = rows.weights[0 if enumerated else rows.n_fixed :]
    ess = drawn.sum() ** 2 / (drawn**2).sum() if drawn.any() else 0.0
    return {
        "intercept": fit.intercept,
        "local_pred": fit.coefficients.sum(0) + fit.intercept,
        "score": _weighted_r2(rows, fit),
        "ess": ess,
        "ess_ratio": ess / len(drawn),
        "n_drawn": len(drawn),
        "n_distinct": n_distinct,
        "enumerated": enumerated,
        "stopped_by": stopped_by,
    }


def _weighted_r2(rows: Rows, fit: Fit) -> FloatArray:
    mean = rows.weights @ rows.scores / rows.weights.sum()
    residual = rows.weights @ (rows.scores - fit.predict(rows.coalitions)) ** 2
    total = rows.weights @ (rows.scores - mean) ** 2
    return np.asarray(1 - np.divide(residual, total, out=np.full_like(total, np.nan), where=total > 0))
