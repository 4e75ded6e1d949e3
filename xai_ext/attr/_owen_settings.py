"""What `BPTOwen` is constructed with, checked, and how one game is explained with it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from xai_ext._checks import InputError, InputTypeError, check_at_least, check_choice
from xai_ext.attr._players import Picture, required_picture, tree
from xai_ext.explanation import Explanation
from xai_ext.game import Game
from xai_ext.hierarchies import Hierarchy, axis_aligned, bpt
from xai_ext.methods.owen import (
    Estimator,
    Feedback,
    named_estimator,
    owen,
    owen_over_trees,
    owen_with_feedback,
)

_NAMES = ("bpt", "axis_aligned")


@dataclass(frozen=True, eq=False)
class OwenSettings:
    """Trees, players and estimator; see `BPTOwen`."""

    hierarchy: Any
    segmentation: Callable[..., Any] | None
    estimator: Estimator
    feedback: Feedback | None
    trees: int

    @property
    def draws(self) -> bool:
        """Is the result random?"""
        return self.trees > 1

    def explain(self, game: Game, budget: int, tol: float | None, rng: np.random.Generator | None) -> Explanation:
        if self.feedback is None and self.trees == 1:
            return owen(game, tree(game, self.hierarchy), budget=budget, estimator=self.estimator, tol=tol)
        found = required_picture(game, "feedback" if self.feedback else "trees > 1")
        image, builder = self._seen_by_builder(found)
        if self.feedback is not None:
            return owen_with_feedback(
                game.masked_model, image, found.atoms, budget=budget, feedback=self.feedback,
                estimator=self.estimator, hierarchy=builder, tol=tol,
            )  # fmt: skip
        return owen_over_trees(
            game.masked_model, image, found.atoms, trees=self.trees, budget=budget, estimator=self.estimator,
            hierarchy=builder, tol=tol, rng=rng,
        )  # fmt: skip

    def _seen_by_builder(self, found: Picture) -> tuple[Any, Any]:
        """The image, float64 for a user's function, and that function, None for `bpt`."""
        if self.hierarchy == "bpt":
            return found.image, None
        return found.image.astype(np.float64), self.hierarchy


def owen_settings(hierarchy: Any, segmentation: Any, estimator: Any, feedback: Any, trees: int) -> OwenSettings:
    """The settings, if they fit together."""
    hierarchy = _checked_hierarchy(hierarchy)
    if segmentation is not None and not callable(segmentation):
        raise InputTypeError(
            f"segmentation must be a function of an image that returns labels (H, W), got "
            f"{type(segmentation).__name__}; fix: pass labels as attribute(feature_mask=...)"
        )
    if feedback is not None and not isinstance(feedback, Feedback):
        raise InputTypeError(f"feedback must be None or a Feedback such as Feedback(), got {feedback!r}")
    check_at_least("trees", trees, 1)
    if feedback is not None and trees > 1:
        raise InputError(f"feedback and trees > 1 exclude each other, got {feedback} and trees={trees}")
    if (feedback is not None or trees > 1) and (hierarchy == "axis_aligned" or isinstance(hierarchy, Hierarchy)):
        given = "a Hierarchy, which is fixed" if isinstance(hierarchy, Hierarchy) else "'axis_aligned'"
        raise InputError(
            f"feedback and trees > 1 build trees from the image again and again, got {given}; "
            "fix: hierarchy='bpt' or a function (image, labels) -> Hierarchy"
        )
    return OwenSettings(hierarchy, segmentation, named_estimator(estimator), feedback, int(trees))


def _checked_hierarchy(hierarchy: Any) -> Any:
    if hierarchy is bpt or hierarchy is axis_aligned:
        return hierarchy.__name__
    if isinstance(hierarchy, str):
        return check_choice("hierarchy", hierarchy, _NAMES)
    if isinstance(hierarchy, Hierarchy) or (callable(hierarchy) and not isinstance(hierarchy, type)):
        return hierarchy
    raise InputTypeError(
        f"hierarchy must be 'bpt', 'axis_aligned', a Hierarchy or a function (image, labels) -> Hierarchy, got "
        f"{hierarchy!r}"
    )
