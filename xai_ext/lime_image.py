"""lime's image explainer, for comparison, as shipped. The only module that imports lime."""

import contextlib
import io

import numpy as np
from lime.lime_image import LimeImageExplainer

from xai_ext._task import MapResult, Method, Task, density


def methods() -> list[Method]:
    """lime's, on the shared segments instead of its own."""
    return [Method("lime.Image", "lime", "segments", True, _lime_image)]


def _lime_image(task: Task) -> MapResult:
    explainer = LimeImageExplainer(random_state=np.random.RandomState(task.seed % 2**32))
    with contextlib.redirect_stderr(io.StringIO()):  # its own progress bar
        explanation = explainer.explain_instance(
            task.array(task.x),
            task.column,
            labels=(0,),
            top_labels=None,
            hide_color=task.array(task.baseline),
            num_samples=task.budget,
            batch_size=task.batch_size,
            segmentation_fn=lambda _: task.labels,
        )
    values = np.zeros(int(task.labels.max()) + 1)
    for segment, value in explanation.local_exp[0]:
        values[segment] = value
    return MapResult(density(task.labels, values))
