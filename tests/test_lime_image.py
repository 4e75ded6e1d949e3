"""lime's own image explainer gives what lime gives when called by hand."""

import numpy as np
import torch
from lime.lime_image import LimeImageExplainer

from tests.laws import GeneratorsUntouched
from tests.tiny_models import conv
from xai_ext._task import CountedModel, Task
from xai_ext.lime_image import methods
from xai_ext.segmentation import grid


def test_it_is_limes_own_on_the_shared_regions(capsys):
    x = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    labels, counted = grid(x, rows=3), CountedModel(conv().module)
    task = Task(counted, x, torch.full_like(x, 0.3), 2, labels, 60, 7, None, 2**40 + 5)
    (method,) = methods()
    with GeneratorsUntouched():
        values = method.run(task).values
    assert counted.cost == 60
    assert capsys.readouterr().err == ""
    by_hand = LimeImageExplainer(random_state=np.random.RandomState((2**40 + 5) % 2**32)).explain_instance(
        task.array(x), task.column, labels=(0,), top_labels=None, hide_color=task.array(task.baseline),
        num_samples=60, segmentation_fn=lambda _: labels,
    )  # fmt: skip
    for segment, value in by_hand.local_exp[0]:
        np.testing.assert_allclose(values[labels == segment].sum(), value, rtol=1e-5)
