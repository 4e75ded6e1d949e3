"""The metrics of one map."""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from xai_ext._task import CountedModel
from xai_ext._types import FloatArray
from xai_ext.metrics import (
    DeletionInsertion,
    MaskArea,
    Protocol,
    RangeFraction,
    deletion_insertion,
    f_score,
    gini,
    iou,
    mass_accuracy,
    max_iou,
    pointing_game,
    roc_auc,
)

if TYPE_CHECKING:
    from xai_ext.study.unit import Scene, Terms

OnRows = Callable[[int], None]
Curves = dict[str, tuple[FloatArray, FloatArray]]  # "deletion", "insertion" -> shares of positions, scores
CURVES = ("deletion", "insertion", "srg")
LOCALISATION: dict[str, Callable[[Tensor, Tensor], Any]] = {
    "iou": partial(iou, threshold=MaskArea()),
    "f_score": partial(f_score, threshold=MaskArea()),
    "iou@range": partial(iou, threshold=RangeFraction(0.3)),
    "f_score@range": partial(f_score, threshold=RangeFraction(0.3)),
    "max_iou": max_iou,
    "pointing_game": pointing_game,
    "mass_accuracy": mass_accuracy,
    "roc_auc": roc_auc,
}


def score_map(
    scene: "Scene", values: FloatArray, terms: "Terms", on_rows: OnRows | None = None
) -> tuple[dict[str, float], int, Curves]:
    """Name -> value of every metric of a map (H, W), the rows that took, and the curves of the score as returned."""
    model = CountedModel(scene.classifier.module, on_rows)
    found, curves = _areas(scene, values, terms, model)
    given = torch.from_numpy(values)[None]
    if scene.truth is not None:
        truth = torch.from_numpy(scene.truth)[None]
        found |= {name: float(judge(given, truth)) for name, judge in LOCALISATION.items()}
    found["gini"] = float(gini(given))  # type: ignore[arg-type]
    return found, model.n_forward, curves


def _areas(scene: "Scene", values: FloatArray, terms: "Terms", model: CountedModel) -> tuple[dict[str, float], Curves]:
    """Both scores follow the same rows: the second pass reads what the first one got."""
    replay, found, lines = _Replay(model), dict[str, float](), Curves()
    baseline = scene.baseline if scene.metric_baseline is None else scene.metric_baseline
    for suffix, score in {"": None, "@prob": "prob"}.items() if _has_probabilities(scene, terms) else [("", None)]:
        curves = deletion_insertion(
            replay.rewound(), scene.x, torch.from_numpy(values)[None], baseline, target=scene.target,
            protocol=Protocol(n_steps=terms.n_steps, score=score), max_examples_per_batch=scene.batch_size,
        )  # fmt: skip
        found |= {name + suffix: float(getattr(curves, name)) for name in CURVES}
        assert isinstance(curves, DeletionInsertion)  # of one map
        if not suffix:
            drawn = {"deletion": curves.deletion_curve, "insertion": curves.insertion_curve}
            lines = {name: (c.fractions[0].cpu().numpy(), c.curve[0].cpu().numpy()) for name, c in drawn.items()}
    return found, lines


def _has_probabilities(scene: "Scene", terms: "Terms") -> bool:
    return terms.probabilities and scene.target is not None and scene.classifier.output == "logits"


class _Replay(nn.Module):
    """A model that returns its outputs again, in the order in which they were asked for."""

    def __init__(self, model: CountedModel) -> None:
        super().__init__()
        self.model, self._outputs, self._next = model, list[Tensor](), 0
        self.training = model.training

    @property
    def explained_model(self) -> nn.Module:
        return self.model.module

    def rewound(self) -> "_Replay":
        self._next = 0
        return self

    def forward(self, images: Tensor) -> Tensor:
        if self._next == len(self._outputs):
            self._outputs.append(self.model(images))
        self._next += 1
        return self._outputs[self._next - 1]
