"""LIME with better coalitions, for SHAP."""

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import numpy as np
import shap

from xai_ext.explainers._base import RegionExplainer
from xai_ext.explainers._row import Row
from xai_ext.explanation import Explanation
from xai_ext.methods._diagnostics import warn_of_zeros
from xai_ext.methods._kernels import Kernel, named_kernel
from xai_ext.methods._weightings import Weighting, check_weighting
from xai_ext.methods.lime import host_sampler, lime
from xai_ext.samplers import Sampler


class StratifiedLime(RegionExplainer):
    """LIME coefficients of the masker's regions, with standard errors, as a ``shap.Explainer``.

    These are coefficients of a local linear surrogate, not Shapley values: they need not sum to
    f(x) - f(baseline). The exception is ``weighting="kernelshap"``; the estimand in ``details`` says which.

    Parameters
    ----------
    model : callable
        Array of rows -> scores (k,) or (k, n_outputs).
    masker : xai_ext.maskers.Segments or any SHAP masker
        Regions are the players; with a masker of SHAP's own its columns are.
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
    sampler, weighting, kernel, kernel_width
        As in `xai_ext.attr.StratifiedLime`.
    surrogate : optional
        `Ridge`, `Linear`, `Lasso`, `Select` or a regressor of scikit-learn; default ``Ridge(1.0)``.

    References
    ----------
    .. [1] Rashid, Amparore, Ferrari, Verda, "Using stratified sampling to improve LIME image explanations",
       AAAI 2024.
    """

    algorithm: ClassVar[str] = "stratified_lime"
    own_arguments: ClassVar[tuple[str, ...]] = ("sampler", "weighting", "kernel", "kernel_width", "surrogate")

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
        sampler: str | Sampler = "foldover",
        weighting: Weighting = "kernel",
        kernel: str | Kernel = "cosine",
        kernel_width: float = 0.25,
        surrogate: Any = None,
        **more: Any,
    ) -> None:
        super().__init__(model, masker, link, linearize_link, output_names, feature_names, seed, call_defaults, **more)
        self.kernel, self.kernel_width = named_kernel(kernel, kernel_width), kernel_width
        self.weighting, self.surrogate = check_weighting(weighting), surrogate
        self.sampler = host_sampler(sampler, weighting, self.kernel)

    def explain_game(
        self,
        row: Row,
        budget: int,
        rng: np.random.Generator,
        *,
        show_progress: bool,
        tol: float | None = None,
    ) -> Explanation:
        """Explain the game of one row within a budget of evaluations."""
        explanation = lime(
            row.game,
            self.sampler,
            budget=budget,
            weighting=self.weighting,
            kernel=self.kernel,
            surrogate=self.surrogate,
            tol=tol,
            rng=rng,
            show_progress=show_progress,
        )
        if not explanation.values.any():
            warn_of_zeros("surrogate", stacklevel=6)
        return explanation
