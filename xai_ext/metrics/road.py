"""Remove and debias: the score when the most, or the least, important pixels are imputed."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from xai_ext._arguments import Inputs, Target
from xai_ext._checks import InputError, check_choice
from xai_ext._forward import Index
from xai_ext._types import BoolArray, FloatArray
from xai_ext.metrics._adapt import Attributions, named, unnamed
from xai_ext.metrics._curves import Subject
from xai_ext.metrics._features import Features
from xai_ext.metrics._measure import Maps, Problem, feature_values, subjects
from xai_ext.metrics._metric import Status
from xai_ext.metrics._protocol import Protocol
from xai_ext.metrics._randomness import example_rng, seed_of
from xai_ext.metrics._ranking import top_mask
from xai_ext.metrics._scores import Score, apply_score
from xai_ext.metrics.imputation import LinearImputer

_PERCENTILES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
_ORDERS = {"both": ("morf", "lerf"), "morf": ("morf",), "lerf": ("lerf",)}


@dataclass(frozen=True, eq=False)
class RoadResult:
    """Scores of B examples with P shares of their pixels imputed.

    Attributes
    ----------
    percentiles : float64 Tensor (P,)
        Shares that were removed.
    morf, lerf : float64 Tensor (B, P) or None
        Scores when the most, or the least, relevant pixels go first; None for an order that was not asked for.
    morf_mean, lerf_mean : float64 Tensor (B,) or None
        Their means over the shares: a good map has a low `morf_mean` and a high `lerf_mean`.
    combined : float64 Tensor (B,)
        (lerf_mean - morf_mean) / 2, higher is better; NaN unless both orders were asked for.
    accuracy_morf, accuracy_lerf : float64 Tensor (B, P) or None
        1 where the target has the largest output; None for a model with one output.
    n_evals : int64 Tensor (B,)
    status : int8 Tensor (B,)
    """

    percentiles: Tensor
    morf: Tensor | None
    lerf: Tensor | None
    morf_mean: Tensor | None
    lerf_mean: Tensor | None
    combined: Tensor
    accuracy_morf: Tensor | None
    accuracy_lerf: Tensor | None
    n_evals: Tensor
    status: Tensor


def road(
    forward_func: Callable[..., Any],
    inputs: Inputs | None,
    attributions: Attributions,
    additional_forward_args: Any = None,
    target: Target = None,
    *,
    percentiles: Sequence[float] = _PERCENTILES,
    order: str = "both",
    noise: float = 0.01,
    solver_tol: float = 1e-4,
    ties: str = "random",
    score: Score = None,
    layout: str = "channels_first",
    output: int | str | None = None,
    protocol: Protocol | None = None,
    max_examples_per_batch: int | None = None,
    rng: np.random.Generator | None = None,
) -> RoadResult | dict[str, RoadResult]:
    """Scores of images whose most (least) relevant pixels are imputed from their surroundings [1]_.

    Parameters are those of `deletion`, and:

    Parameters
    ----------
    inputs : Tensor (B, C, H, W)
    percentiles : sequence of float
        Shares of the pixels that are removed, 0..1; exactly [share x N], whatever the ties.
    order : {"both", "morf", "lerf"}
        Most relevant first, least relevant first, or both.
    noise, solver_tol : float
        See `LinearImputer`.
    ties : {"random", "stable", "reverse"}
    score : None, str or callable
        See `Protocol`.
    protocol : Protocol, optional
        Only its channels and sign are used.

    Returns
    -------
    RoadResult, or a dict of them

    References
    ----------
    .. [1] Rong et al., "A consistent and efficient evaluation strategy for attribution methods", ICML 2022.
    """
    shares = [float(p) for p in percentiles]
    if not shares or not all(0 <= p <= 1 for p in shares):
        raise InputError(f"percentiles must be shares in 0..1, got {list(percentiles)}")
    check_choice("order", order, _ORDERS)
    settings = replace(Protocol() if protocol is None else protocol, score=_late(score))
    problem = Problem(forward_func, inputs, LinearImputer(noise, solver_tol), additional_forward_args, target,
                      max_examples_per_batch)  # fmt: skip
    maps, seed = Maps(attributions, None, "density", layout, output), seed_of(rng)
    plan = _Plan(shares, order, ties, score, seed)
    rows: dict[str, list[_Row]] = {name: [] for name in named(attributions)}
    for subject, given in subjects(problem, maps, settings, seed=seed):
        values = [feature_values(one, subject.features, maps, settings) for one in given]
        for name, row in zip(rows, _example(subject, values, plan), strict=True):
            rows[name].append(row)
    return unnamed(attributions, {name: _result(found, plan) for name, found in rows.items()})


@dataclass(frozen=True, eq=False)
class _Plan:
    shares: list[float]
    order: str
    ties: str
    score: Score
    seed: int


@dataclass(frozen=True, eq=False)
class _Row:
    """Of one example and map: scores and hits per order, (P,) each."""

    scores: dict[str, FloatArray]
    hits: dict[str, FloatArray] | None
    n_evals: int
    status: Status


def _late(score: Score) -> Callable[[Tensor, Index], Any]:
    """Any score that needs all outputs, so that the target is not selected before accuracy is known."""
    del score
    return lambda outputs, target: outputs[:, 0]


def _example(subject: Subject, maps: list[FloatArray | None], plan: _Plan) -> list[_Row]:
    model, rows = subject.masked_model, []
    for values in maps:
        if values is None:
            empty = {name: np.full(len(plan.shares), np.nan) for name in _ORDERS[plan.order]}
            rows.append(_Row(empty, empty, 0, Status.NON_FINITE))
            continue
        kept = np.concatenate([_kept(values, name, plan) for name in _ORDERS[plan.order]])
        outputs = _outputs(subject, kept)
        scores = apply_score(outputs, subject.target, plan.score)
        hits = _hits(outputs, subject.target)
        status = Status.CONSTANT if values.min() == values.max() else Status.OK
        rows.append(_Row(_split(scores, plan), None if hits is None else _split(hits, plan), len(kept), status))
    return [replace(row, n_evals=model.n_evals) for row in rows]


def _kept(values: FloatArray, order: str, plan: _Plan) -> BoolArray:
    """(P, N): what is left at each share."""
    signed = values if order == "morf" else -values
    return np.stack([~top_mask(signed, p, plan.ties, example_rng(plan.seed)) for p in plan.shares])


def _outputs(subject: Subject, kept: BoolArray) -> FloatArray:
    model, features = subject.masked_model, subject.features
    assert isinstance(features, Features)
    devices = [x.device for x in model.inputs]
    rows = model.evaluate(len(kept), lambda part: features.keep(kept[part], devices))
    return rows.reshape(-1, *model.output_shape)


def _hits(outputs: FloatArray, target: Index) -> FloatArray | None:
    index = target[0] if isinstance(target, tuple) and len(target) == 1 else target
    if outputs.ndim != 2 or outputs.shape[1] < 2 or not isinstance(index, int):
        return None
    return np.asarray(outputs.argmax(1) == index % outputs.shape[1], dtype=np.float64)


def _split(values: FloatArray, plan: _Plan) -> dict[str, FloatArray]:
    names = _ORDERS[plan.order]
    return dict(zip(names, values.reshape(len(names), len(plan.shares)), strict=True))


def _result(rows: list[_Row], plan: _Plan) -> RoadResult:
    def column(name: str, *, hits: bool = False) -> Tensor | None:
        if name not in _ORDERS[plan.order] or (hits and any(r.hits is None for r in rows)):
            return None
        return torch.from_numpy(np.stack([(r.hits or {})[name] if hits else r.scores[name] for r in rows]))

    morf, lerf = column("morf"), column("lerf")
    means = [None if scores is None else scores.mean(1) for scores in (morf, lerf)]
    nothing = torch.full((len(rows),), torch.nan, dtype=torch.float64)
    return RoadResult(
        percentiles=torch.tensor(plan.shares, dtype=torch.float64),
        morf=morf,
        lerf=lerf,
        morf_mean=means[0],
        lerf_mean=means[1],
        combined=nothing if means[0] is None or means[1] is None else (means[1] - means[0]) / 2,
        accuracy_morf=column("morf", hits=True),
        accuracy_lerf=column("lerf", hits=True),
        n_evals=torch.tensor([r.n_evals for r in rows]),
        status=torch.tensor([r.status for r in rows], dtype=torch.int8),
    )
