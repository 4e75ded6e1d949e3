"""One run of LIME: which coalitions are evaluated, and what is reported of them."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

import numpy as np

from xai_ext._checks import InputError, check_at_least
from xai_ext._types import AnyArray, BoolArray, FloatArray, IntArray
from xai_ext.explanation import Explanation
from xai_ext.game import Game
from xai_ext.methods import _diagnostics as diagnostics
from xai_ext.methods._kernels import Kernel
from xai_ext.methods._kernelshap import KernelShap
from xai_ext.methods._report import Report
from xai_ext.methods._rows import Fit, Rows, Surrogate
from xai_ext.methods._standard_error import rows_per_cluster, standard_error
from xai_ext.methods._weightings import PublishedCode, Weighting, Weights
from xai_ext.samplers import Sampler, Stratified
from xai_ext.samplers._laws import binomial, uniform

_FIRST_STOP, _STOP_FACTOR, _LEAST_FACTOR = 64, 1.5, 1.1
_LOW_ESS = 0.2
_AT_ONCE = 2_000


@dataclass(frozen=True)
class Top:
    """The ``k`` outputs with the largest f(x), in that order; ties go to the smaller index."""

    k: int

    def __post_init__(self) -> None:
        check_at_least("k", self.k, 1)


Outputs = int | Sequence[int] | AnyArray | Top | None


@dataclass(frozen=True, eq=False)
class _Result:
    rows: Rows
    fit: Fit
    std_error: FloatArray
    stopped_by: str


class _Draws:
    """Rows of a sampler; whoever stops early gets the first of those that the whole budget would have drawn.

    Unless their number fixes their sizes: strata are allocated to each part by itself.
    """

    def __init__(self, sampler: Sampler, n: int, most: int, rng: np.random.Generator) -> None:
        self.sampler, self.n, self.most, self.rng = sampler, n, most, rng
        self._rows = np.empty((0, n), dtype=bool)

    def first(self, count: int) -> BoolArray:
        """(count, n)."""
        while len(self._rows) < count:
            allocated, had = self.sampler.group.startswith("stratum"), len(self._rows)
            size = count - had if allocated else min(self.most - had, _AT_ONCE)
            self._rows = np.concatenate([self._rows, self.sampler.ask(self.n, size, self.rng)])
        return self._rows[:count]


class Run:
    """One call of `lime`: evaluates each distinct coalition once."""

    def __init__(
        self, game: Game, sampler: Sampler, surrogate: Surrogate, outputs: Outputs, fold_rng: np.random.Generator
    ) -> None:
        self.game, self.sampler, self.surrogate, self.fold_rng = game, sampler, surrogate, fold_rng
        self._outputs = outputs
        self._scores = np.stack([self.full_value, self.base_value])
        self._anchors = np.stack([np.ones(game.n_players, bool), np.zeros(game.n_players, bool)])
        self._index = {key: i for i, key in enumerate(_keys(self._anchors))}

    @cached_property
    def columns(self) -> IntArray:
        """Indices of the explained outputs."""
        return _output_indices(self._outputs, self.game.full_value)

    @property
    def full_value(self) -> FloatArray:
        """f(x) of the explained outputs."""
        return self.game.full_value[self.columns]

    @property
    def base_value(self) -> FloatArray:
        """f(baseline) of the explained outputs."""
        return self.game.base_value[self.columns]

    def enumerated(self, weighted: Weights, budget: int) -> _Result:
        """All coalitions, each with the multiplicity that the sampler's draws would have on average."""
        n = self.game.n_players
        coalitions = (np.arange(2**n)[:, None] >> np.arange(n) & 1).astype(bool)
        w = weighted.enumerated(coalitions, budget - 2)
        rows = Rows(coalitions, self.scores(coalitions), w, len(coalitions))
        return self._with_error(rows, self._fit(rows))

    def sampled(self, weighted: Weights, most: int, tol: float | None, rng: np.random.Generator) -> _Result:
        """The anchors f(x), f(baseline) and as many draws as it takes."""
        draws, together = _Draws(self.sampler, self.game.n_players, most, rng), rows_per_cluster(self.sampler)
        limit = np.inf if tol is None else tol * np.abs(self.full_value - self.base_value)
        tests = getattr(self.surrogate, "stable", None) is not None
        stop = most if tol is None and not tests else min(most, max(_FIRST_STOP, 4 * self.game.n_players))
        while True:
            coalitions = np.concatenate([self._anchors, draws.first(stop)])
            w = np.concatenate([weighted.anchors(self._anchors), weighted.drawn(coalitions[2:])])
            rows = Rows(coalitions, self.scores(coalitions), w, 2, together)
            fit = self._fit(rows)
            if fit.wanted and stop < most:
                stop = min(most, _even(max(fit.wanted, int(_LEAST_FACTOR * stop))))
                continue
            result = self._with_error(rows, fit)
            if tol is not None and (result.std_error <= limit).all():
                return replace(result, stopped_by="tol")
            if stop == most:
                return result
            if tol is None:
                return replace(result, stopped_by="stable")
            stop = min(most, 2 * int(_STOP_FACTOR * stop / 2))

    def scores(self, coalitions: BoolArray) -> FloatArray:
        """Scores (m, k), from memory where a coalition was seen before."""
        keys = _keys(coalitions)
        new = {key: row for row, key in reversed(list(enumerate(keys))) if key not in self._index}
        rows = sorted(new.values())
        self._scores = np.concatenate([self._scores, self.game(coalitions[rows])[:, self.columns]])
        self._index |= {keys[row]: i for i, row in enumerate(rows, start=len(self._index))}
        return np.asarray(self._scores[[self._index[key] for key in keys]])

    def explanation(self, result: _Result, estimand: str, weighting: Weighting) -> Explanation:
        shape = self._shape()
        report = self._report(result)
        _warn(result.fit.note, report)
        names = {"estimand": estimand, "weighting": weighting, "law": str(self.sampler)}
        return Explanation(
            values=result.fit.coefficients.reshape(-1, *shape),
            std_error=result.std_error.reshape(-1, *shape),
            labels=self.game.labels,
            base_value=self.base_value.reshape(shape),
            full_value=self.full_value.reshape(shape),
            n_evals=self.game.n_evals,
            estimand=estimand,
            diagnostics=Report(
                {**report, **names, "complete": weighting == "kernelshap"},
                score_cv=partial(
                    diagnostics.score_cv, self.surrogate, result.rows, self.sampler, self.fold_rng.spawn(1)[0]
                ),
            ),
        )

    def _shape(self) -> tuple[int, ...]:
        if self._outputs is None:
            return self.game.masked_model.output_shape
        return () if isinstance(self._outputs, int | np.integer) else (len(self.columns),)

    def _report(self, result: _Result) -> dict[str, Any]:
        rows, fit = result.rows, result.fit
        enumerated = rows.n_fixed == len(rows.coalitions)
        draws = slice(0 if enumerated else rows.n_fixed, None)
        coalitions, scores = rows.coalitions[draws], rows.scores[draws]
        return {
            **diagnostics.of_fit(rows, fit, self.full_value),
            **diagnostics.of_weights(rows, draws),
            **diagnostics.of_scores(scores, self.full_value, self.base_value),
            **diagnostics.of_coefficients(fit.coefficients),
            "scores": scores,
            "losses": (scores - fit.predict(coalitions)) ** 2,
            "weights": rows.weights[draws],
            "coalitions": diagnostics.packed(coalitions),
            "outputs": self.columns,
            "n_drawn": len(coalitions),
            "n_distinct": len(self._index),
            "enumerated": enumerated,
            "stopped_by": result.stopped_by,
            **({} if fit.unresolved is None else {"unresolved": fit.unresolved}),
        }

    def _fit(self, rows: Rows) -> Fit:
        if not rows.weights.any() and not isinstance(self.surrogate, KernelShap):
            raise InputError("the kernel gives every coalition weight 0; fix: a larger kernel width")
        return self.surrogate.fit(rows)

    def _with_error(self, rows: Rows, fit: Fit) -> _Result:
        error = standard_error(self.surrogate, rows, fit, self.sampler, self.fold_rng)
        return _Result(rows, fit, error, "budget")


def _warn(note: str, report: dict[str, Any]) -> None:
    if note:
        warnings.warn(note, stacklevel=4)
    diagnostics.warn_of_shrinkage(report["shrinkage"], stacklevel=5)
    if not report["enumerated"] and report["ess_ratio"] < _LOW_ESS:
        warnings.warn(
            f"the weights leave {report['ess']:.0f} effective of {report['n_drawn']} draws; fix: a wider "
            "kernel, or the sampler Foldover() (\"foldover\"), with 'kernelshap' Stratified('shapley')",
            stacklevel=4,
        )


def _output_indices(outputs: Outputs, full_value: FloatArray) -> IntArray:
    k = len(full_value)
    if outputs is None:
        return np.arange(k)
    if isinstance(outputs, Top):
        if outputs.k > k:
            raise InputError(f"outputs asks for the top {outputs.k} of {k} outputs")
        return np.argsort(-full_value, kind="stable")[: outputs.k]
    index = np.atleast_1d(np.asarray(outputs))
    if index.ndim != 1 or not len(index) or index.dtype.kind not in "iu" or index.min() < 0 or index.max() >= k:
        raise InputError(f"outputs must be None, Top(k) or integers from 0 to {k - 1}, got {outputs!r}")
    return index.astype(np.int64)


def _even(n: int) -> int:
    return n + n % 2


def _keys(coalitions: BoolArray) -> list[bytes]:
    return [row.tobytes() for row in np.packbits(coalitions, axis=1)]


def estimand_name(sampler: Sampler, weighting: Weighting, kernel: Kernel, n: int) -> str:
    """What the coefficients estimate."""
    if isinstance(weighting, PublishedCode):
        return "published code"
    fixed = {"kernelshap": "Shapley", "importance": "LIME"}
    if weighting in fixed:
        return fixed[weighting]
    law = sampler.log_law(n) if hasattr(sampler, "log_law") else np.full(n + 1, np.nan)
    drawn_with_kernel = isinstance(sampler, Stratified) and sampler.kernel is not None and sampler.kernel == kernel
    if np.allclose(law, binomial(n)) if weighting == "kernel" else drawn_with_kernel:
        return "LIME"
    if weighting == "kernel" and np.allclose(law, uniform(n)):
        return "uniform-strata LIME"
    return f"linear fit under the law of {sampler}" + (" times the kernel" if weighting == "kernel" else "")
