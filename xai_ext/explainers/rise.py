"""RISE for SHAP."""

from typing import ClassVar, Literal

import numpy as np

from xai_ext.explainers._base import RegionExplainer
from xai_ext.explainers._row import Row
from xai_ext.explanation import Explanation
from xai_ext.methods.rise import GridMasks, rise


class RISE(RegionExplainer):
    """The mean answer to random masks of an image, with error bars, as a ``shap.Explainer``.

    The values are not Shapley values: they need not sum to f(x) - f(baseline), and with a link not to the linked
    score either.

    Parameters
    ----------
    model : callable
        Array of images (k, H, W, C) -> scores (k,) or (k, n_outputs).
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
        Each row draws from its own generator with this seed. None: fresh entropy, recorded in ``details``.
    call_defaults : mapping, optional
        Defaults of ``__call__``; further keyword arguments are added to it.

    Notes
    -----
    ``__call__`` takes, beside ``tol``, the knobs ``cells`` and ``keep_probability`` of
    `xai_ext.methods.rise.GridMasks` and ``estimator`` of `xai_ext.methods.rise.rise`.

    References
    ----------
    .. [1] Petsiuk, Das, Saenko, "RISE", BMVC 2018.
    """

    algorithm: ClassVar[str] = "rise"
    knobs: ClassVar[tuple[str, ...]] = ("tol", "cells", "keep_probability", "estimator")
    has_players: ClassVar[bool] = False

    def explain_game(
        self,
        row: Row,
        budget: int,
        rng: np.random.Generator,
        *,
        show_progress: bool,
        tol: float | None = None,
        cells: int | tuple[int, ...] | None = None,
        keep_probability: float = 0.5,
        estimator: Literal["surrogate", "centered", "coverage", "beta", "rise"] = "surrogate",
    ) -> Explanation:
        """Explain one row within a budget of evaluations."""
        masks = GridMasks(cells, keep_probability)
        return rise(
            row.channels_first(),
            masks,
            budget=budget,
            rng=rng,
            estimator=estimator,
            tol=tol,
            show_progress=show_progress,
        )
