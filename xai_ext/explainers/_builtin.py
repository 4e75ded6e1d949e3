"""SHAP's own partition explainer, for comparison, as shipped."""

from collections.abc import Callable

import numpy as np
import shap

from xai_ext._randomness import preserved_generators
from xai_ext._task import MapResult, Method, Size, Task
from xai_ext._types import AnyArray, FloatArray


def methods() -> list[Method]:
    """SHAP's."""
    return [Method("shap.Partition", "shap", "rectangles", False, _partition, complete=True, plan=_even)]


def _even(size: Size) -> int:
    return size.budget // 2 * 2


def _partition(task: Task) -> MapResult:
    values = partition_values(
        task.column, task.array(task.x), task.array(task.baseline), task.budget, task.batch_size, task.seed
    )
    return MapResult(values.sum(-1))


def partition_values(
    function: Callable[[AnyArray], AnyArray], image: AnyArray, baseline: AnyArray, budget: int, batch_size: int,
    seed: int,
) -> FloatArray:  # fmt: skip
    """Values (H, W, C) of one output."""
    masker = shap.maskers.Image(baseline, image.shape)
    with preserved_generators(seed):  # it breaks ties by NumPy's global generator
        explainer = shap.PartitionExplainer(function, masker)
        # an odd number would be overshot by one
        result = explainer(image[None], max_evals=budget // 2 * 2, batch_size=batch_size, silent=True)
    return np.asarray(result.values, dtype=np.float64).reshape(*image.shape)
