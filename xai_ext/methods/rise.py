"""RISE: the mean answer to random masks, as an estimate whose error is known."""

import time
import warnings
from collections.abc import Iterator
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
import torch

from xai_ext._checks import check_at_least, check_choice, check_positive
from xai_ext._progress import progress
from xai_ext._randomness import default_rng
from xai_ext._types import FloatArray
from xai_ext.explanation import Explanation
from xai_ext.game import MaskedModel
from xai_ext.methods._rise_estimators import ESTIMATORS, Estimate, Estimator, Moments, Scores
from xai_ext.methods._rise_masks import BLOCK, Block, GridMasks, Law, RegionMasks
from xai_ext.methods._rise_surrogate import Regression

__all__ = ["GridMasks", "RegionMasks", "rise"]

NOTE = "not Shapley values: they need not sum to f(x) - f(baseline)"
_NOISE = "the map is little more than noise at this budget: raise n_samples"
_LEAST_R2 = 0.05


@torch.no_grad()
def rise(
    masked: MaskedModel,
    masks: GridMasks | RegionMasks | None = None,
    *,
    budget: int = 1000,
    rng: np.random.Generator | int | None = None,
    estimator: Literal["surrogate", "centered", "coverage", "beta", "rise"] = "surrogate",
    tol: float | None = None,
    show_progress: bool = False,
) -> Explanation:
    """How does the score depend on seeing each position, averaged over random masks?

    Parameters
    ----------
    masked : MaskedModel
    masks : GridMasks or RegionMasks, optional
        Default ``GridMasks()``. Where the bits themselves are the positions (regions, an input (1, F)) and all
        2^n masks fit into the budget, each is evaluated once, weighted by its probability: nothing is estimated.
    budget : int
        Model evaluations, f(x) and f(baseline) included.
    rng : numpy Generator or int, optional
        None draws fresh entropy.
    estimator : {"surrogate", "centered", "coverage", "beta", "rise"}
        With f the score, m the mask at a position, p its mean, v = p (1 - p): "rise" is the published sum of
        f m / (N p) [1]_; "coverage" the mean of f weighted by m; "centered" Cov(f, m) / v; "beta" the slope of f
        on m; "surrogate" estimates what "centered" does by a ridge regression of f on pooled masks, whose
        coefficients are pushed through the masks' exact covariance. With p = 1/2 it takes masks in pairs of
        complements, smooth ones nearly orthogonal to those before (`samplers.Foldover`), and regresses half of their
        difference: an odd number is not used up.
    tol : float, optional
        Stop after 128, 192, 256, 384, ... masks once the largest standard error is at most
        ``tol * abs(f(x) - f(baseline))``. Repeated looks make the nominal level slightly optimistic.
    show_progress : bool
        A tqdm bar of evaluations.

    Returns
    -------
    Explanation
        Values per position, equal for all channels, or per region. Diagnostics: ``estimator``, ``cells``,
        ``keep_probability``, ``n_masks``, ``checkpoints`` (masks, largest standard error), ``stop`` ("budget",
        "tol", "exact"), ``mean`` and ``sd`` of the scores of the masks, ``seconds_model``, ``seconds_outside``,
        ``note``; of the surrogate also ``ridge``, ``surrogate_r2`` and ``compressed`` (see Notes), per output.

    Notes
    -----
    The values are not Shapley values. For regions with p = 1/2 "centered" estimates the Banzhaf value.

    A few masks with extreme scores would make the map of "surrogate". It therefore regresses asinh(z) too, z the
    distance to the median score in median absolute deviations, and moves to that map, on the scale of the scores, by
    the share ``compressed`` of their difference that the regression's own error explains: in the long run not at all
    unless the two agree. A factor of the scores scales the map, a constant leaves it as it is.

    Its ridge maximises the marginal likelihood of normal coefficients and noise. The standard error is a Bayesian
    band [2]_: optimistic at few masks and for scores with long tails.

    Deviations from [1]_: p = 0.5 with 7 cells per axis, and a default estimator that subtracts the mean score,
    which otherwise is noise.

    References
    ----------
    .. [1] Petsiuk, Das, Saenko, "RISE", BMVC 2018, sec. 3.
    .. [2] Wahba, "Bayesian confidence intervals for the cross-validated smoothing spline", JRSS B 45 (1983).
    """
    check_at_least("budget", budget, 4, "f(x), f(baseline) and two masks")
    check_choice("estimator", estimator, ESTIMATORS)
    if tol is not None:
        check_positive("tol", tol)
    start = time.perf_counter()
    law = (masks or GridMasks()).law(masked)
    run = _Run(masked, law, estimator)
    with progress(masked, "RISE", budget, enabled=show_progress):
        if law.are_hard and law.n_cells < budget.bit_length():
            estimate = run.exact()
        else:
            estimate = run.sampled(budget - 2, run.limit(tol), default_rng(rng))
    return run.explanation(estimate, time.perf_counter() - start)


class _Run:
    """One call of `rise`."""

    def __init__(self, masked: MaskedModel, law: Law, name: str) -> None:
        self.masked, self.law, self.name = masked, law, name
        self.ends = masked.base_value, masked.full_value
        self.scores, self.stop, self.seconds = Scores(), "budget", 0.0
        self.checkpoints: list[tuple[int, float]] = []

    def limit(self, tol: float | None) -> FloatArray | None:
        """The standard error at which to stop, per output."""
        if tol is None:
            return None
        scale = np.abs(self.ends[1] - self.ends[0])
        if scale.all():
            return np.asarray(tol * scale)
        warnings.warn("f(x) equals f(baseline): tol has no scale and is ignored", stacklevel=4)
        return None

    def exact(self) -> Estimate:
        """The limit of the estimator, from all masks."""
        n, p = self.law.n_cells, self.law.keep_probability
        bits = (np.arange(2**n)[:, None] >> np.arange(n) & 1).astype(bool)
        inner = [self.evaluated([self.law.block(part)]) for part in _parts(bits[1:-1], self.chunk)]
        f = np.concatenate([self.ends[0][None], *inner, self.ends[1][None]])
        weights = p ** bits.sum(1) * (1 - p) ** (n - bits.sum(1))
        self.scores.add(f)
        self.stop = "exact"
        mean = weights @ f
        covariance = (bits - p).T @ (weights[:, None] * (f - mean))
        values = covariance / (p * (1 - p)) if self.name not in ("rise", "coverage") else mean + covariance / p
        return Estimate(values, np.zeros_like(values), {})

    def sampled(self, n_masks: int, limit: FloatArray | None, rng: np.random.Generator) -> Estimate:
        """An estimate from as many masks as it takes, at most `n_masks`."""
        pairs = self.name == "surrogate" and self.law.keep_probability == 0.5
        estimator: Estimator = (
            Regression(self.law, pairs=pairs) if self.name == "surrogate" else Moments(self.law, self.name)
        )
        blocks = self.law.blocks(rng, pairs=pairs)
        n_masks -= pairs and n_masks % 2
        for stop in _stops(n_masks, looks=limit is not None):
            while self.scores.n < stop:
                size = min(self.chunk, stop - self.scores.n)
                self._add([next(blocks).first(size - done) for done in range(0, size, BLOCK)], estimator)
            estimate = estimator.estimate()
            self.checkpoints.append((stop, float(estimate.std_error.max(initial=0.0))))
            if limit is not None and (estimate.std_error <= limit).all():
                self.stop = "tol"
                break
        return estimate

    @property
    def chunk(self) -> int:
        """Masks evaluated together: whole blocks, at least as many as a batch of the model has rows."""
        return -(-self.masked.batch_size // BLOCK) * BLOCK

    def evaluated(self, blocks: list[Block]) -> FloatArray:
        keep = [
            torch.cat(tensors) if len(blocks) > 1 else tensors[0]
            for tensors in zip(*(b.keep for b in blocks), strict=True)
        ]
        start = time.perf_counter()
        scores = self.masked.evaluate(len(keep[0]), lambda rows: tuple(k[rows] for k in keep))
        self.seconds += time.perf_counter() - start
        return scores

    def explanation(self, estimate: Estimate, seconds: float) -> Explanation:
        shape = self.masked.output_shape
        base_value, full_value = (v.reshape(shape) for v in self.ends)
        return Explanation(
            values=estimate.values.reshape(-1, *shape),
            std_error=estimate.std_error.reshape(-1, *shape),
            labels=self.law.labels,
            base_value=base_value,
            full_value=full_value,
            n_evals=self.masked.n_evals,
            estimand=f"RISE, {self.name} ({NOTE})",
            diagnostics=MappingProxyType(self._diagnostics(estimate, seconds)),
        )

    def _add(self, blocks: list[Block], estimator: Estimator) -> None:
        scores = self.evaluated(blocks)
        for block, part in zip(blocks, _parts(scores, BLOCK), strict=True):  # sums do not depend on the batch size
            self.scores.add(part)
            estimator.add(block, part)

    def _diagnostics(self, estimate: Estimate, seconds: float) -> dict[str, Any]:
        r2 = estimate.diagnostics.get("surrogate_r2")
        noise = r2 is not None and bool((r2 < _LEAST_R2).any())
        return {
            "estimator": self.name,
            "cells": self.law.cells,
            "keep_probability": self.law.keep_probability,
            "n_masks": self.scores.n,
            "checkpoints": tuple(self.checkpoints),
            "stop": self.stop,
            "mean": self.scores.mean,
            "sd": np.sqrt(self.scores.total / max(1, self.scores.n - 1)),
            "seconds_model": self.seconds,
            "seconds_outside": seconds - self.seconds,
            "note": f"{NOTE}; {_NOISE}" if noise else NOTE,
            **estimate.diagnostics,
        }


def _parts(rows: np.ndarray, size: int) -> Iterator[Any]:
    return (rows[i : i + size] for i in range(0, len(rows), size))


def _stops(most: int, *, looks: bool) -> Iterator[int]:
    """Numbers of masks after which to look at the standard error: 128, 192, 256, 384, ...; the last is `most`."""
    stop = 2 * BLOCK
    while looks and stop < most:
        yield stop
        stop = stop * 3 // 2 if stop & (stop - 1) == 0 else stop * 4 // 3
    yield most
