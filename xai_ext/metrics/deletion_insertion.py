"""Deletion, insertion and their difference: does the model react to positions in the order of a map?"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from xai_ext._arguments import Baselines, Inputs, Target
from xai_ext._checks import InputError
from xai_ext.metrics._adapt import Attributions, unnamed
from xai_ext.metrics._fills import deleting, inserting, only
from xai_ext.metrics._measure import CurveResult, Maps, Problem, measure
from xai_ext.metrics._metric import metric
from xai_ext.metrics._protocol import Protocol
from xai_ext.metrics._randomness import example_rng, seed_of
from xai_ext.metrics.imputation import LinearImputer

_DEFAULT = Protocol()
_ANY = (-np.inf, np.inf)

Areas = Tensor | CurveResult | dict[str, Tensor | CurveResult]


@dataclass(frozen=True, eq=False)
class DeletionInsertion:
    """Both curves of B examples and the gap between them.

    Attributes
    ----------
    deletion, insertion, srg : float64 Tensor (B,)
        Areas, and insertion - deletion: NaN where the two have different baselines.
    status : int8 Tensor (B,)
        `Status` of the values.
    n_evals : int64 Tensor (B,)
        Rows the model saw for this example in the whole call.
    deletion_curve, insertion_curve : CurveResult
    """

    deletion: Tensor
    insertion: Tensor
    srg: Tensor
    status: Tensor
    n_evals: Tensor
    deletion_curve: CurveResult
    insertion_curve: CurveResult


@metric(higher_is_better=False, range=_ANY, needs=["model"])
def deletion(
    forward_func: Callable[..., Any],
    inputs: Inputs | None,
    attributions: Attributions,
    baselines: Baselines | LinearImputer = None,
    additional_forward_args: Any = None,
    target: Target = None,
    *,
    feature_mask: Any = None,
    map_kind: str = "density",
    layout: str = "channels_first",
    output: int | str | None = None,
    protocol: Protocol = _DEFAULT,
    max_examples_per_batch: int | None = None,
    rng: np.random.Generator | None = None,
    show_progress: bool = False,
    return_curve: bool = False,
) -> Areas:
    """How fast does the score fall when the positions that a map ranks highest become the baseline?

    Parameters
    ----------
    forward_func : callable
        The model or any function of the inputs that returns one row of outputs per example; for a NumPy function
        see `numpy_forward`.
    inputs : Tensor (B, C, *spatial) or (B, F), or a tuple of them
        What was explained; None takes the data of a ``shap.Explanation``.
    attributions : Tensor, array, shap.Explanation, Explanation, tuple or dict
        Maps of the inputs' shape, with one channel, or without channels: (B, C, *spatial), (B, 1, *spatial) or
        (B, *spatial). A tuple holds one map per input; a tuple or list of `Explanation` one per example. Values of
        SHAP have channels and then outputs last. A dict of names gives a dict of results, and masks that
        several maps have in common are evaluated once.
    baselines : number, Tensor, tuple, callable or LinearImputer
        What takes the place of removed positions; None is 0. An imputer fills them from what is left.
    additional_forward_args, target
        In every form that Captum accepts. The target is needed where there are several outputs and stays fixed.
    feature_mask : integer Tensor or tuple, optional
        Regions that are removed as one, the same for all channels; ids shared by two inputs are one region.
    map_kind : {"density", "region"}
        How an array relates to `feature_mask`: a region's value is the sum over its positions, or their mean.
        Explanations are densities.
    layout : {"channels_first", "channels_last"}
        Of maps that are arrays or tensors and have channels.
    output : int or str, optional
        Which output of an explanation that has several.
    protocol : Protocol
        Steps, ties, axis, sign, channels, score and normalisation; published ones are `Protocol.rise` and
        `Protocol.shapbpt`.
    max_examples_per_batch : int, optional
        Rows per forward; None: the fastest, measured once per model and shape.
    rng : numpy Generator, optional
        For random ties and the imputer's noise; None: ``default_rng(0)``. All examples and maps start from one seed.
    show_progress : bool
        A tqdm bar for each example that takes long.
    return_curve : bool
        Return the whole `CurveResult` instead of its ``auc``.

    Returns
    -------
    float64 Tensor (B,)
        Area under score against removed share, in the unit of the score: lower is better. NaN for a map that is
        not finite, and where the score cannot be normalised.

    Raises
    ------
    InputError, InputTypeError
        Shapes that differ, several outputs without a target, masks that differ between channels.
    NonFiniteScoreError
        The model returned NaN or infinity.

    Notes
    -----
    f(x) and f(baseline) are evaluated once per example. Equal values leave together, in contrast to the published
    code, which lets the sort decide; ``Protocol(ties="stable")`` gives raster order. The image leaves in 28 steps,
    not one row per step [1]_.

    References
    ----------
    .. [1] Petsiuk, Das, Saenko, "RISE: randomized input sampling for explanation of black-box models", BMVC 2018,
       sec. 4.2.
    """
    problem = Problem(
        forward_func, inputs, deleting(baselines, protocol), additional_forward_args, target, max_examples_per_batch
    )
    maps = Maps(attributions, feature_mask, map_kind, layout, output)
    found = measure(problem, maps, protocol, (False,), rng=rng, show_progress=show_progress)
    return unnamed(attributions, {name: c if return_curve else c.auc for name, (c,) in found.items()})


@metric(higher_is_better=True, range=_ANY, needs=["model"])
def insertion(
    forward_func: Callable[..., Any],
    inputs: Inputs | None,
    attributions: Attributions,
    baselines: Baselines | LinearImputer = None,
    additional_forward_args: Any = None,
    target: Target = None,
    *,
    feature_mask: Any = None,
    map_kind: str = "density",
    layout: str = "channels_first",
    output: int | str | None = None,
    protocol: Protocol = _DEFAULT,
    max_examples_per_batch: int | None = None,
    rng: np.random.Generator | None = None,
    show_progress: bool = False,
    return_curve: bool = False,
) -> Areas:
    """How fast does the score rise when the positions that a map ranks highest come back into the baseline?

    Parameters and errors are those of `deletion`.

    Returns
    -------
    float64 Tensor (B,)
        Area under score against inserted share, in the unit of the score: higher is better.
    """
    problem = Problem(
        forward_func, inputs, inserting(baselines, protocol), additional_forward_args, target, max_examples_per_batch
    )
    maps = Maps(attributions, feature_mask, map_kind, layout, output)
    found = measure(problem, maps, protocol, (True,), rng=rng, show_progress=show_progress)
    return unnamed(attributions, {name: c if return_curve else c.auc for name, (c,) in found.items()})


def deletion_insertion(
    forward_func: Callable[..., Any],
    inputs: Inputs | None,
    attributions: Attributions,
    baselines: Baselines | LinearImputer = None,
    additional_forward_args: Any = None,
    target: Target = None,
    *,
    insertion_baselines: Baselines | LinearImputer = None,
    feature_mask: Any = None,
    map_kind: str = "density",
    layout: str = "channels_first",
    output: int | str | None = None,
    protocol: Protocol = _DEFAULT,
    max_examples_per_batch: int | None = None,
    rng: np.random.Generator | None = None,
    show_progress: bool = False,
) -> DeletionInsertion | dict[str, DeletionInsertion]:
    """Deletion, insertion and their gap together: f(x) and f(baseline) once, 56 rows with 28 steps.

    Parameters and errors are those of `deletion`, and:

    Parameters
    ----------
    insertion_baselines : number, Tensor, tuple, callable or LinearImputer, optional
        Another baseline for insertion, such as a blurred image. SRG is then undefined.

    Returns
    -------
    DeletionInsertion

    Notes
    -----
    SRG is the area between removing the lowest first and removing the highest first [1]_. With one baseline the
    former is the insertion curve read backwards, so that no further evaluation is needed.

    References
    ----------
    .. [1] Bluecher, Vielhaben, Strodthoff, "Decoupling pixel flipping and occlusion strategy for consistent XAI
       benchmarks", TMLR 2024.
    """
    problem = Problem(
        forward_func, inputs, deleting(baselines, protocol), additional_forward_args, target, max_examples_per_batch
    )
    maps = Maps(attributions, feature_mask, map_kind, layout, output)
    if insertion_baselines is not None and protocol.insertion_baseline is not None:
        raise InputError("the protocol fixes the baselines; fix: leave out insertion_baselines")
    if insertion_baselines is None:
        insertion_baselines = protocol.insertion_baseline
    if insertion_baselines is None:
        found = measure(problem, maps, protocol, (False, True), rng=rng, show_progress=show_progress)
        return unnamed(attributions, {name: _joined(*curves, one_call=True) for name, curves in found.items()})
    seed = seed_of(rng)
    found = measure(problem, maps, protocol, (False,), rng=example_rng(seed), show_progress=show_progress)
    other = replace(problem, baselines=insertion_baselines)
    second = measure(other, maps, protocol, (True,), rng=example_rng(seed), show_progress=show_progress)
    return unnamed(attributions, {name: _joined(*found[name], *second[name], one_call=False) for name in found})


@metric(higher_is_better=True, range=_ANY, needs=["model"])
def srg(
    forward_func: Callable[..., Any],
    inputs: Inputs | None,
    attributions: Attributions,
    baselines: Baselines | LinearImputer = None,
    additional_forward_args: Any = None,
    target: Target = None,
    *,
    feature_mask: Any = None,
    map_kind: str = "density",
    layout: str = "channels_first",
    output: int | str | None = None,
    protocol: Protocol = _DEFAULT,
    max_examples_per_batch: int | None = None,
    rng: np.random.Generator | None = None,
    show_progress: bool = False,
) -> Tensor | dict[str, Tensor]:
    """Symmetric relevance gain: insertion minus deletion.

    Parameters and errors are those of `deletion`; the definition is that of `deletion_insertion`.

    Returns
    -------
    float64 Tensor (B,)
        In the unit of the score: higher is better, 0 for a constant map under an additive model.
    """
    problem = Problem(
        forward_func, inputs, only(baselines, protocol), additional_forward_args, target, max_examples_per_batch
    )
    maps = Maps(attributions, feature_mask, map_kind, layout, output)
    found = measure(problem, maps, protocol, (False, True), rng=rng, show_progress=show_progress)
    return unnamed(attributions, {name: high.auc - low.auc for name, (low, high) in found.items()})


def _joined(low: CurveResult, high: CurveResult, *, one_call: bool) -> DeletionInsertion:
    """``low`` is the deletion curve; both came from one call on one baseline, or from two."""
    gap = high.auc - low.auc
    return DeletionInsertion(
        deletion=low.auc,
        insertion=high.auc,
        srg=gap if one_call else torch.full_like(gap, torch.nan),
        status=torch.maximum(low.status, high.status),
        n_evals=low.n_evals if one_call else low.n_evals + high.n_evals,
        deletion_curve=low,
        insertion_curve=high,
    )
