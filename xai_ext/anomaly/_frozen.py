"""Frozen evidence -> Explanations."""

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from xai_ext._checks import InputError
from xai_ext._types import FloatArray, IntArray
from xai_ext.anomaly.closed_form import frozen_values
from xai_ext.anomaly.reducers import Max, Reducer
from xai_ext.explanation import Explanation

if TYPE_CHECKING:
    from xai_ext.anomaly.scores import AnomalyScore


@dataclass(frozen=True, eq=False)
class Frozen:
    """Evidence (N, h, w) before smoothing, the weight of each position in a smoothed sum, and its name."""

    evidence: FloatArray
    smooth_weights: FloatArray | None
    residual: str


def closed_forms(
    score: "AnomalyScore", x: Tensor, labels: IntArray | None, *, above_threshold: bool
) -> tuple[Explanation, ...]:
    """See `AnomalyScore.closed_form`."""
    if score.reduce is None:
        raise InputError(f"a score of {score.info.source} is not a reducer of a map: no closed form is known")
    threshold = None
    if above_threshold:
        if not isinstance(score.reduce, Max):
            raise InputError(f"above_threshold needs the reducer Max, got {score.reduce}")
        threshold = score._needed_threshold()
    with torch.no_grad():
        frozen = score._frozen_evidence(x)
    return explanations(frozen, score.reduce, labels, threshold)


def explanations(
    frozen: Frozen, reduce: Reducer, labels: IntArray | None, threshold: float | None
) -> tuple[Explanation, ...]:
    """The closed form of each sample; with a threshold, of what exceeds it."""
    shape = frozen.evidence.shape[1:]
    players = np.arange(int(np.prod(shape))).reshape(shape) if labels is None else _checked(labels, shape)
    diagnostics = {"game": "frozen", "reducer": str(reduce), "residual": frozen.residual, "threshold": threshold,
                   "n_evals": 0}  # fmt: skip
    made = []
    for evidence in frozen.evidence:
        level = evidence if threshold is None else np.maximum(evidence - threshold, 0.0)
        values = frozen_values(level, reduce, None if labels is None else players, smooth_weights=frozen.smooth_weights)
        made.append(
            Explanation(
                values=values,
                std_error=np.zeros_like(values),
                labels=(players,),
                base_value=np.asarray(0.0),
                full_value=np.asarray(values.sum()),
                n_evals=1,
                estimand="Shapley",
                diagnostics=MappingProxyType(diagnostics),
            )
        )
    return tuple(made)


def _checked(labels: IntArray, shape: tuple[int, ...]) -> IntArray:
    array = np.asarray(labels)
    if array.shape != shape or array.dtype.kind not in "iu" or len(np.unique(array)) != array.max() + 1:
        raise InputError(
            f"labels must be integers 0..n-1 without gaps, of the map's shape {shape}, got {array.dtype} {array.shape}"
        )
    return array.astype(np.int64)
