"""IASSA: hide windows, then spend the rest of the budget on smaller windows around what mattered."""

import math
from types import MappingProxyType
from typing import Any

import numpy as np
import torch

from xai_ext._checks import InputError, check_at_least, check_positive
from xai_ext._progress import progress
from xai_ext.explanation import Explanation
from xai_ext.game import Game, MaskedModel
from xai_ext.methods._attention import Attention
from xai_ext.methods._positions import Shape, has_geometry, position_labels, spatial_shapes
from xai_ext.methods._refinement import NOTE, Run
from xai_ext.methods._schedule import Level, LevelPlan, Schedule

__all__ = ["Attention", "Level", "LevelPlan", "Schedule", "iassa"]


@torch.no_grad()
def iassa(
    masked: MaskedModel,
    schedule: Schedule | tuple[Schedule, ...] | None = None,
    *,
    budget: int = 1000,
    rng: np.random.Generator | int | None = None,
    attention: Attention | None = None,
    tol: float | None = None,
    labels: Any = None,
    spatial_dims: int | None = None,
    show_progress: bool = False,
) -> Explanation:
    """How much does the score drop when a window around a position is hidden, coarse to fine?

    Parameters
    ----------
    masked : MaskedModel
    schedule : Schedule or tuple with one per input, optional
        Default ``Schedule.geometric(spatial)`` of each input.
    budget : int
        Model evaluations, f(x) and f(baseline) included.
    rng : optional
        Accepted and not used: nothing is random.
    attention : Attention, optional
        Steers the finer levels; None: the map alone does.
    tol : float, optional
        Stop after a level whose largest standard error is at most ``tol * abs(f(x) - f(baseline))``.
    labels : integer array or tuple, optional
        Regions instead of windows: each is hidden once, there is nothing finer. So are the scalars of an
        input (1, F).
    spatial_dims : int, optional
        The last so many dimensions are positions, those between the batch and them are channels.
    show_progress : bool
        A tqdm bar of evaluations.

    Returns
    -------
    Explanation
        Values per position, equal for all channels. The standard error is that of the windows' placement on a
        deterministic grid, not of sampling; NaN where every position was seen once. Diagnostics: ``levels``, a
        tuple of mappings per level; ``stop`` ("levels", "budget", "tol", "flat"); ``planned``; ``n_effective``
        and ``temperature`` of the attention; ``saturated``; ``note``.

    Notes
    -----
    The values are not Shapley values. One level is the occlusion of [2]_ on Captum's grid.

    Deviations from [1]_, with their reasons:

    * Windows hide what they cover, and a level runs those that touch the region. Masks chosen because they do not
      hide all of a region are nearly all masks, and most of them say nothing about it.
    * A position gets the mean drop over the windows that cover it. The printed sum of score times mask, over windows
      around the region only, ranks the background highest, which no window touches; it also shows as stripes where
      the stride does not divide the window, since positions then lie under unequal numbers of windows.
    * Coarse levels stay in the map (``fusion="blend"``): finer windows are not always better, and a map that is
      replaced forgets what was paid for. Where a region reaches beyond the one before, the levels in between look at
      it too, for at most half of what the level may spend. No iteration is chosen by the ground truth.
    * The steering map is ``weight * S + (1 - weight) * A S``. Printed is ``(weight - 1)``, which subtracts what is
      attended to.
    * The attention's softmax is as sharp as a given number of neighbours needs. A second softmax makes it uniform;
      one of raw products makes it the identity.
    * Windows, strides and regions follow the budget, so that the cost is known. ``Schedule.paper`` has the published
      ones.

    References
    ----------
    .. [1] Vasu, Long, "Iterative and adaptive sampling with spatial attention", WACV 2020.
    .. [2] Zeiler, Fergus, "Visualizing and understanding convolutional networks", ECCV 2014.
    """
    check_at_least("budget", budget, 3, "f(x), f(baseline) and one window")
    if tol is not None:
        check_positive("tol", tol)
    with progress(masked, "IASSA", budget, enabled=show_progress):
        if labels is not None or not any(has_geometry(x, spatial_dims) for x in masked.inputs):
            return _ablation(masked, labels, budget)
        shapes = spatial_shapes(masked.inputs, spatial_dims)
        geometry = [has_geometry(x, spatial_dims) for x in masked.inputs]
        run = Run(masked, shapes, _schedules(schedule, shapes, geometry), budget, attention)
        return run.explained(tol)


def _schedules(
    schedule: Schedule | tuple[Schedule, ...] | None, shapes: tuple[Shape, ...], geometry: list[bool]
) -> list[Schedule | None]:
    """One per input; None for one without elements."""
    given = schedule if isinstance(schedule, tuple) else (schedule,) * len(shapes)
    if len(given) != len(shapes):
        raise InputError(f"schedule must hold one entry per input ({len(shapes)}), got {len(given)}")
    made: list[Schedule | None] = []
    for mine, shape, smooth in zip(given, shapes, geometry, strict=True):
        if not math.prod(shape):
            made.append(None)
        elif not smooth:
            ones = (1,) * len(shape)
            made.append(Schedule((Level(ones, ones),)))
        else:
            made.append(mine or Schedule.geometric(shape))
            made[-1].check(shape)  # type: ignore[union-attr]
    return made


def _ablation(masked: MaskedModel, labels: Any, budget: int) -> Explanation:
    """Each region hidden once."""
    game = Game(masked, position_labels(spatial_shapes(masked.inputs)) if labels is None else labels)
    n = game.n_players
    if budget < n + 2:
        raise InputError(f"{n} regions are hidden once each: the budget must be at least {n + 2}, got {budget}")
    full, base = masked.full_value, masked.base_value
    step = max(64, masked.batch_size)
    rows = (np.arange(i, min(i + step, n)) for i in range(0, n, step))
    values = np.concatenate([full - game(np.arange(n) != r[:, None]) for r in rows])
    shape = masked.output_shape
    return Explanation(
        values.reshape(-1, *shape), np.zeros((n, *shape)), game.labels, base.reshape(shape), full.reshape(shape),
        masked.n_evals, f"IASSA ({NOTE})", MappingProxyType({"stop": "levels", "levels": (), "note": NOTE}),
    )  # fmt: skip
