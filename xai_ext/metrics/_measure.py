"""From the arguments of a curve metric to its results: every example on its own, so that no batch-mate matters."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from xai_ext._arguments import (
    Baselines,
    Inputs,
    Target,
    as_tuple,
    batch_size,
    example,
    example_args,
    format_baselines,
    format_labels,
    format_targets,
)
from xai_ext._checks import InputError, check_at_least, check_choice
from xai_ext._forward import BoundForward
from xai_ext._types import FloatArray, IntArray
from xai_ext.game import MaskedModel
from xai_ext.metrics._adapt import SIGNS, Attributions, View, check_examples, grid_of, named, read, views
from xai_ext.metrics._curves import Curve, Subject, example_curves
from xai_ext.metrics._features import Features, features_of
from xai_ext.metrics._protocol import Protocol
from xai_ext.metrics._randomness import seed_of
from xai_ext.metrics._scores import needs_all_outputs
from xai_ext.metrics._shap import shap_inputs
from xai_ext.metrics.imputation import LinearImputer, SeededFill


@dataclass(frozen=True, eq=False)
class Problem:
    """A model and what it is asked about."""

    forward_func: Callable[..., Any]
    inputs: Inputs | None
    baselines: Baselines | LinearImputer
    additional_forward_args: Any
    target: Target
    max_examples_per_batch: int | None

    def __post_init__(self) -> None:
        if self.max_examples_per_batch is not None:
            check_at_least("max_examples_per_batch", self.max_examples_per_batch, 1)


@dataclass(frozen=True, eq=False)
class Maps:
    """Maps in the user's form."""

    attributions: Attributions
    feature_mask: Any
    map_kind: str
    layout: str
    output: int | str | None

    def __post_init__(self) -> None:
        check_choice("map_kind", self.map_kind, ("density", "region"))


@dataclass(frozen=True, eq=False)
class CurveResult:
    """Curves of B examples with P points each; shorter curves repeat their last point.

    Attributes
    ----------
    auc : float64 Tensor (B,)
        Area under the curve, normalised as the protocol says.
    curve : float64 Tensor (B, P)
        Scores as they were, before any normalisation.
    fractions : float64 Tensor (B, P)
        Share of positions (or features) removed from x, or inserted into the baseline: 0..1.
    counts : int64 Tensor (B, P)
        The same as a number.
    f_input, f_baseline : float64 Tensor (B,)
        f(x) and f(baseline).
    aopc : float64 Tensor (B,)
        Mean of f(x) - y over the points of the curve, k = 0 among them.
    n_groups : int64 Tensor (B,)
        Distinct values of the map.
    n_evals : int64 Tensor (B,)
        Rows the model saw for this example in the whole call, all curves and maps together.
    status : int8 Tensor (B,)
        `Status` of each value.
    protocol : Protocol
    """

    auc: Tensor
    curve: Tensor
    fractions: Tensor
    counts: Tensor
    f_input: Tensor
    f_baseline: Tensor
    aopc: Tensor
    n_groups: Tensor
    n_evals: Tensor
    status: Tensor
    protocol: Protocol


def measure(
    problem: Problem,
    maps: Maps,
    protocol: Protocol,
    inserts: Sequence[bool],
    *,
    rng: np.random.Generator | None = None,
    show_progress: bool = False,
) -> dict[str, list[CurveResult]]:
    """For each map its results, one per entry of ``inserts``: False is deletion, True insertion."""
    names, seed = list(named(maps.attributions)), seed_of(rng)
    curves: list[dict[str, list[Curve]]] = []
    n_evals: list[int] = []
    for subject, given in subjects(problem, maps, protocol, seed=seed):
        values = [feature_values(one, subject.features, maps, protocol) for one in given]
        label = f"curves, example {len(curves) + 1}" if show_progress else None
        found = dict(zip(names, values, strict=True))
        curves.append(example_curves(subject, found, inserts, protocol, seed=seed, progress_name=label))
        n_evals.append(subject.masked_model.n_evals)
    return {
        name: [_stacked([c[name][k] for c in curves], n_evals, protocol) for k in range(len(inserts))] for name in names
    }


def subjects(
    problem: Problem, maps: Maps, protocol: Protocol, *, seed: int = 0
) -> Iterator[tuple[Subject, list[tuple[View, ...]]]]:
    """Every example with its maps, one tuple of views for each."""
    inputs = _inputs(problem, maps)
    reading = protocol.reading(maps.layout, maps.output)
    given = [views(a, len(inputs), reading) for a in named(maps.attributions).values()]
    for one in given:
        check_examples(len(one), len(inputs[0]), "inputs")
    for i, subject in enumerate(_subjects(problem, inputs, maps, protocol, seed)):
        yield subject, [one[i] for one in given]


def _inputs(problem: Problem, maps: Maps) -> tuple[Tensor, ...]:
    inputs = as_tuple(shap_inputs(maps.attributions) if problem.inputs is None else problem.inputs)
    n = batch_size(inputs)
    if any(len(x) != n for x in inputs):
        raise InputError(f"inputs must agree in dimension 0, the examples, got {[len(x) for x in inputs]}")
    return inputs


def _subjects(
    problem: Problem, inputs: tuple[Tensor, ...], maps: Maps, protocol: Protocol, seed: int
) -> Iterator[Subject]:
    n = len(inputs[0])
    reading = protocol.reading(maps.layout, maps.output)
    grids = tuple(grid_of(tuple(x.shape[1:]), reading) for x in inputs)
    targets = format_targets(problem.target, n)
    imputer = problem.baselines if isinstance(problem.baselines, LinearImputer) else None
    baselines = format_baselines(None if imputer is not None else problem.baselines, inputs)
    labels = format_labels(maps.feature_mask, inputs)
    for i, target in enumerate(targets):
        args = example_args(problem.additional_forward_args, n, i)
        early, late = (None, target) if needs_all_outputs(protocol.score) else (target, None)
        model = MaskedModel(
            BoundForward(problem.forward_func, early, args),
            example(inputs, i),
            example(baselines, i),
            batch_size=problem.max_examples_per_batch,
            fill=None if imputer is None else SeededFill(imputer, seed),
        )
        yield Subject(model, late, features_of(None if labels is None else example(labels, i), grids))


def feature_values(given: tuple[View, ...], features: Features, maps: Maps, protocol: Protocol) -> FloatArray | None:
    """The map of one example as one value per feature; None when it is not finite."""
    is_density = maps.map_kind == "density" or all(view.is_density for view in given)
    reading = protocol.reading(maps.layout, maps.output)
    flat = []
    for view, grid in zip(given, features.grids, strict=True):
        values = read(view, grid, reading)
        if values is None:
            return None
        flat.append(values.ravel())
    per_position = protocol.axis == "pixels"
    joined = features.values(np.concatenate(flat), is_density=is_density, per_position=per_position)
    return SIGNS[protocol.sign](joined) if np.isfinite(joined).all() else None


def _stacked(curves: list[Curve], n_evals: list[int], protocol: Protocol) -> CurveResult:
    length = max(len(c.counts) for c in curves)

    def padded(rows: Sequence[FloatArray | IntArray]) -> Tensor:
        return torch.from_numpy(np.stack([np.pad(r, (0, length - len(r)), mode="edge") for r in rows]))

    def column(values: Sequence[float]) -> Tensor:
        return torch.tensor(values, dtype=torch.float64)

    return CurveResult(
        auc=column([c.auc for c in curves]),
        curve=padded([c.scores for c in curves]),
        fractions=padded([c.fractions for c in curves]),
        counts=padded([c.counts for c in curves]),
        f_input=column([c.f_input for c in curves]),
        f_baseline=column([c.f_baseline for c in curves]),
        aopc=column([float(np.mean(c.f_input - c.scores)) for c in curves]),
        n_groups=torch.tensor([c.n_groups for c in curves]),
        n_evals=torch.tensor(n_evals),
        status=torch.tensor([c.status for c in curves], dtype=torch.int8),
        protocol=protocol,
    )
