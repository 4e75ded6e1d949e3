"""IASSA for SHAP."""

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Literal

import numpy as np
import shap

from xai_ext.explainers._base import RegionExplainer
from xai_ext.explainers._row import Row
from xai_ext.explanation import Explanation
from xai_ext.methods._window_arguments import WindowArguments, named_attention
from xai_ext.methods.iassa import Attention, iassa


class IASSA(RegionExplainer):
    """Occlusion of an image, refined around what mattered, as a ``shap.Explainer``.

    The values are not Shapley values: they need not sum to f(x) - f(baseline), and with a link not to the linked
    score either.

    Parameters
    ----------
    model : callable
        Array of images (k, H, W, C) -> scores (k,) or (k, n_outputs). One run serves the outputs chosen by
        ``outputs``: which windows it refines depends on all of them.
    masker : xai_ext.maskers.BPT or Segments
        Gives the image's shape and baseline; its regions are not used, every pixel has its value. Other maskers
        need ``image_shape`` and ``baseline_of(x)``.
    link : callable
        Elementwise; the linked score is explained.
    linearize_link : bool
        Kept for SHAP; with one baseline it has no effect.
    output_names, feature_names : list of str, optional
        As in SHAP.
    seed : int, optional
        Accepted and not used: nothing is random.
    call_defaults : mapping, optional
        Defaults of ``__call__``; further keyword arguments are added to it.
    preset : {"paper"}, optional
        The published windows, strides and region, with attention from features; ``max_evals="auto"`` then is what
        they need at most.
    attention : Attention or its source, optional
        See `xai_ext.methods.iassa.Attention`. "features" needs `xai_ext.models.as_numpy_function`.

    Notes
    -----
    ``__call__`` takes, beside ``tol``, the knobs ``sliding_window_shapes`` and ``strides``, with channels first as in
    ``captum.attr.Occlusion``, ``levels``, ``shrink`` and ``region`` of `xai_ext.attr.IASSA`. ``error_std`` is the
    error of the windows' placement, not of sampling.

    References
    ----------
    .. [1] Vasu, Long, "Iterative and adaptive sampling with spatial attention", WACV 2020.
    """

    algorithm: ClassVar[str] = "iassa"
    own_arguments: ClassVar[tuple[str, ...]] = ("preset", "attention")
    knobs: ClassVar[tuple[str, ...]] = ("tol", "sliding_window_shapes", "strides", "levels", "shrink", "region")
    has_players: ClassVar[bool] = False
    least_max_evals: ClassVar[int] = 3

    def __init__(
        self,
        model: Any,
        masker: Any,
        link: Callable[..., Any] = shap.links.identity,
        linearize_link: bool = True,
        output_names: list[str] | None = None,
        feature_names: Any = None,
        seed: int | None = None,
        call_defaults: Mapping[str, Any] | None = None,
        preset: Literal["paper"] | None = None,
        attention: Attention | str | Callable[..., Any] | None = None,
        **more: Any,
    ) -> None:
        super().__init__(model, masker, link, linearize_link, output_names, feature_names, seed, call_defaults, **more)
        self.preset, self.attention = preset, named_attention(attention, preset)

    def auto_budget(self, row: Row) -> int:
        """1000, or what the preset needs."""
        _, needed = WindowArguments().schedules(row.channels_first().inputs, self.preset)
        return needed or self.default_max_evals

    def explain_game(
        self,
        row: Row,
        budget: int,
        rng: np.random.Generator,
        *,
        show_progress: bool,
        tol: float | None = None,
        sliding_window_shapes: Any = None,
        strides: Any = None,
        levels: int | None = None,
        shrink: float | None = None,
        region: float | None = None,
    ) -> Explanation:
        """Explain one row within a budget of evaluations."""
        model = row.channels_first()
        windows = WindowArguments(sliding_window_shapes, strides, levels, shrink, region)
        schedules, _ = windows.schedules(model.inputs, self.preset)
        return iassa(
            model, schedules, budget=budget, rng=rng, attention=self.attention, tol=tol, show_progress=show_progress
        )
