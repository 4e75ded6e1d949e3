"""SHAP's own partition explainer, for comparison, as shipped."""

import numpy as np
import shap

from xai_ext._randomness import preserved_generators
from xai_ext._task import MapResult, Method, Task


def methods() -> list[Method]:
    """SHAP's."""
    return [Method("shap.Partition", "shap", "rectangles", False, _partition)]


def _partition(task: Task) -> MapResult:
    image = task.array(task.x)
    masker = shap.maskers.Image(task.array(task.baseline), image.shape)
    with preserved_generators(task.seed):  # it breaks ties by NumPy's global generator
        explainer = shap.PartitionExplainer(task.column, masker)
        # an odd number would be overshot by one
        result = explainer(image[None], max_evals=task.budget // 2 * 2, batch_size=task.batch_size, silent=True)
    return MapResult(np.asarray(result.values, dtype=np.float64).reshape(*image.shape).sum(-1))
