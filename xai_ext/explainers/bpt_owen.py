"""Owen values under a tree that follows the image, for SHAP."""

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import numpy as np
import shap

from xai_ext._checks import InputError, InputTypeError, check_at_least
from xai_ext.explainers._base import RegionExplainer
from xai_ext.explainers._row import Row
from xai_ext.explanation import Explanation
from xai_ext.hierarchies import Hierarchy, axis_aligned, bpt
from xai_ext.methods.owen import (
    BestFirst,
    Estimator,
    Exact,
    Feedback,
    named_estimator,
    owen,
    owen_over_trees,
    owen_with_feedback,
)


class BPTOwen(RegionExplainer):
    """Owen values of the masker's regions, as a ``shap.Explainer``.

    They sum to f(x) - f(baseline) at every ``max_evals``.

    Parameters
    ----------
    model : callable
        Array of rows -> scores (k,) or (k, n_outputs). The outputs chosen by ``outputs`` decide together which
        regions are divided.
    masker : xai_ext.maskers.BPT or any SHAP masker with a ``clustering``
        Regions are the players; with a masker of SHAP's own its columns are, under its clustering.
    link : callable
        Elementwise; the linked score is explained.
    linearize_link : bool
        Kept for SHAP; with one baseline it has no effect.
    output_names, feature_names : list of str, optional
        As in SHAP.
    seed : int, optional
        For ``trees`` > 1, which draw noise; otherwise nothing is drawn.
    call_defaults : mapping, optional
        Defaults of ``__call__``; further keyword arguments are added to it.
    estimator : {"best_first", "designed", "exact"} or estimator
        As for `xai_ext.methods.owen.owen`; "designed" gives standard errors, the others ``error_std`` None.
    feedback : xai_ext.methods.owen.Feedback, optional
        Build the tree again with a first map of values.
    trees : int
        Mean over this many trees of the image plus noise, with the standard error between them.

    Notes
    -----
    ``tol`` in ``__call__`` means what it does for the method that runs: `owen`, `owen_with_feedback` or
    `owen_over_trees`.

    References
    ----------
    .. [1] Rashid, Amparore et al., "ShapBPT", AAAI 2026.
    .. [2] Owen, "Values of games with a priori unions", in: Mathematical Economics and Game Theory (1977).
    """

    algorithm: ClassVar[str] = "bpt_owen"
    own_arguments: ClassVar[tuple[str, ...]] = ("estimator", "feedback", "trees")
    least_max_evals: ClassVar[int] = 2

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
        estimator: str | Estimator = "best_first",
        feedback: Feedback | None = None,
        trees: int = 1,
        **more: Any,
    ) -> None:
        super().__init__(model, masker, link, linearize_link, output_names, feature_names, seed, call_defaults, **more)
        self.estimator, self.feedback = named_estimator(estimator), _checked_feedback(feedback)
        self.trees = check_at_least("trees", trees, 1)
        if feedback is not None and trees > 1:
            raise InputError(f"feedback and trees > 1 exclude each other, got trees={trees}; fix: one of the two")
        if feedback is not None or trees > 1:
            _check_rebuilds(self.masker)
        else:
            _check_has_tree(self.masker)

    @property
    def has_errors(self) -> bool:
        """Does the method sample, so that its values have standard errors?"""
        return self.trees > 1 or not isinstance(self.estimator, BestFirst | Exact)

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
        common: dict[str, Any] = {"estimator": self.estimator, "tol": tol, "show_progress": show_progress}
        if self.feedback is None and self.trees == 1:
            return owen(row.game, self._tree(row), budget=budget, **common)
        image, labels, hierarchy = self._rebuilding(row)
        model, common = row.channels_first(), common | {"hierarchy": hierarchy}
        if self.feedback is not None:
            return owen_with_feedback(model, image, labels, budget=budget, feedback=self.feedback, **common)
        return owen_over_trees(model, image, labels, trees=self.trees, budget=budget, rng=rng, **common)

    def _tree(self, row: Row) -> Hierarchy:
        masker = self.masker
        if hasattr(masker, "hierarchy_of"):
            tree: Hierarchy = masker.hierarchy_of(row.x)
            return tree
        clustering = masker.clustering(row.x) if callable(masker.clustering) else masker.clustering
        return Hierarchy.from_merges(clustering, structure=f"clustering of {type(masker).__name__}")

    def _rebuilding(self, row: Row) -> tuple[Any, Any, Any]:
        """Image, labels and builder, as the methods that build several trees take them."""
        masker, builder = self.masker, self.masker.builder
        image = masker.row(row.x)
        labels = None if masker.has_pixel_players else masker.labels_of(image)
        if builder is bpt:
            return image, labels, None
        return image.astype(np.float64), labels, builder


def _checked_feedback(feedback: Any) -> Feedback | None:
    if feedback is not None and not isinstance(feedback, Feedback):
        raise InputTypeError(f"feedback must be a Feedback or None, got {feedback!r}; fix: Feedback()")
    return feedback


def _check_has_tree(masker: Any) -> None:
    if hasattr(masker, "hierarchy_of") or getattr(masker, "clustering", None) is not None:
        return
    raise InputTypeError(
        f"masker must have a clustering, the tree of its players; {type(masker).__name__} has none; fix: "
        "xai_ext.maskers.BPT(image, baseline, labels), or shap.maskers.Partition for tables"
    )


def _check_rebuilds(masker: Any) -> None:
    """Trees that are built again need an image and something that builds them from it."""
    builder = getattr(masker, "builder", None)
    if builder is None or isinstance(builder, Hierarchy) or builder is axis_aligned:
        given = type(masker).__name__ if builder is None else f"hierarchy={masker.hierarchy!r:.40}"
        raise InputError(
            "feedback and trees > 1 build the tree from the image again and again and need a xai_ext.maskers.BPT with "
            f"hierarchy='bpt' or a callable, got {given}"
        )
