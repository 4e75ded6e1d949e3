"""Owen values whose tree follows an earlier map of Owen values."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

import numpy as np

from xai_ext._checks import InputError, check_at_least, check_choice, check_positive
from xai_ext._progress import progress
from xai_ext._types import FloatArray
from xai_ext.explanation import Explanation
from xai_ext.game import MaskedModel
from xai_ext.methods._best_first import BestFirst
from xai_ext.methods._image_trees import ImageTrees, rank_agreement
from xai_ext.methods._owen import named_estimator, owen
from xai_ext.methods._owen_task import Estimator, guarded_scale
from xai_ext.methods._report import extended
from xai_ext.segmentation import Image

_HALF_RANGE = 127.5
_ROBUST_MAXIMUM = 99  # percentile of the map's absolute values


@dataclass(frozen=True)
class Feedback:
    """How a map of Owen values changes the tree of the next one.

    Parameters
    ----------
    share : float, between 0 and 1
        Of the budget, for the first map.
    weight : float
        Range of the evidence channel relative to that of a colour channel.
    rounds : int
        Trees built with evidence; they share the rest of the budget equally.
    combine : {"last", "mean"}
        Values of the last map, or the mean of all maps weighted by their evaluations.
    """

    share: float = 0.25
    weight: float = 0.25
    rounds: int = 1
    combine: str = "last"

    def __post_init__(self) -> None:
        if not 0 < self.share < 1:
            raise InputError(f"share must lie between 0 and 1, got {self.share!r}")
        check_positive("weight", self.weight)
        check_at_least("rounds", self.rounds, 1)
        check_choice("combine", self.combine, ("last", "mean"))

    def budgets(self, budget: int) -> list[int]:
        """Of every map, f(x) and f(baseline) included in each though they are paid once."""
        first = 2 + 2 * int(self.share * (budget - 2) / 2)
        return [first] + [2 + 2 * ((budget - first) // (2 * self.rounds))] * self.rounds


_FEEDBACK, _BEST_FIRST = Feedback(), BestFirst()


def owen_with_feedback(
    masked_model: MaskedModel,
    image: Image,
    labels: Any = None,
    *,
    budget: int = 1000,
    feedback: Feedback = _FEEDBACK,
    estimator: str | Estimator = _BEST_FIRST,
    hierarchy: Any = None,
    tol: float | None = None,
    rng: np.random.Generator | int | None = None,
    show_progress: bool = False,
) -> Explanation:
    """Owen values under a tree in which regions of different evidence merge late.

    A first map of values joins the colours as one more channel, and the tree is built again. The estimand changes
    with it: the tree depends on the model. ``diagnostics["structure"]`` says so.

    Parameters
    ----------
    masked_model : MaskedModel
        With one image as its input.
    image : Tensor (C, H, W) or (1, C, H, W), or array (H, W) or (H, W, C)
        What the tree follows.
    labels : int array (H, W), optional
        Players 0..n-1; None: every pixel.
    budget : int
        Model evaluations of all maps together, f(x) and f(baseline) included once.
    feedback : Feedback
    estimator : name or estimator
        As for `owen`. An int `steer` also names the output whose map is fed back; otherwise it is the mean over
        outputs, each relative to its f(x) - f(baseline).
    hierarchy : callable (image, labels, extra=map) -> Hierarchy, optional
        None = `bpt`. It gets the image as given.
    tol, rng, show_progress
        As for `owen`; `tol` holds for the maps after the first.

    Returns
    -------
    Explanation
        Diagnostics are those of the last map, and ``rounds``: per map its ``n_evals``, ``leftover`` and
        ``spearman``, the rank correlation with the map before.
    """
    check_at_least("budget", budget, 2, "f(x) and f(baseline)")
    estimator = named_estimator(estimator)
    trees = ImageTrees(masked_model, image, labels, hierarchy)
    trees.check_takes_evidence()
    first, *later = feedback.budgets(budget)
    with progress(masked_model, "Owen", budget, enabled=show_progress):
        tree = trees.build()
        maps = [owen(trees.game, tree, budget=first, estimator=estimator, rng=rng)]
        for share in later:
            evidence = _evidence(maps[-1], getattr(estimator, "steer", None))
            # a map of zeros is no evidence: the tree stays
            if (largest := np.percentile(np.abs(evidence), _ROBUST_MAXIMUM)) > 0:
                scaled = feedback.weight * _HALF_RANGE * (np.clip(evidence / largest, -1, 1) + 1)
                tree = trees.build(extra=scaled)
            maps.append(owen(trees.game, tree, budget=share, estimator=estimator, tol=tol, rng=rng))
    return _combined(maps, feedback)


def _evidence(explanation: Explanation, steer: Any) -> FloatArray:
    """The map (H, W) that is fed back."""
    density = explanation.density_map().reshape(*explanation.labels[0].shape, -1)
    if isinstance(steer, int | np.integer):
        return np.asarray(density[:, :, steer])
    scale = guarded_scale(np.ravel(explanation.full_value), np.ravel(explanation.base_value))
    return np.asarray((density / scale).mean(2))


def _combined(maps: list[Explanation], feedback: Feedback) -> Explanation:
    n_evals = [e.n_evals for e in maps]
    weights = np.array(n_evals, np.float64) if feedback.combine == "mean" else np.eye(len(maps))[-1]
    weights /= weights.sum()
    variance = sum(w**2 * e.std_error**2 for w, e in zip(weights, maps, strict=True))
    return replace(
        maps[-1],
        values=np.asarray(sum(w * e.values for w, e in zip(weights, maps, strict=True))),
        std_error=np.sqrt(variance),
        n_evals=sum(n_evals) - 2 * (len(maps) - 1),
        diagnostics=_diagnostics(maps, feedback),
    )


def _diagnostics(maps: list[Explanation], feedback: Feedback) -> Mapping[str, Any]:
    previous = [None, *maps[:-1]]
    rounds = tuple(
        MappingProxyType({
            "n_evals": e.n_evals,
            "leftover": e.diagnostics["leftover"],
            "spearman": float("nan") if before is None else rank_agreement(before, e),
        })
        for before, e in zip(previous, maps, strict=True)
    )  # fmt: skip
    structure = f"{maps[-1].diagnostics['structure']}, rebuilt with the model's evidence ({feedback})"
    return extended(maps[-1].diagnostics, structure=structure, rounds=rounds)
