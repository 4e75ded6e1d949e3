"""A model in training mode comes back as it was."""

import numpy as np
import pytest
import torch
from torch import nn

from xai_ext import MaskedModel
from xai_ext._batching import Plan, measured_plan
from xai_ext._guard import Guard
from xai_ext.attr import RISE
from xai_ext.lime_image import StratifiedLimeImageExplainer
from xai_ext.models import as_numpy_function


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.BatchNorm2d(1), nn.Dropout(0.5), nn.Flatten(), nn.Linear(4, 1)).train()


def buffers(model):
    return [b.clone() for b in model.buffers()]


def test_a_forward_moves_batch_statistics_without_the_guard():
    model = network()
    before = buffers(model)
    model(torch.rand(3, 1, 2, 2))
    assert not all(map(torch.equal, before, buffers(model)))


@pytest.mark.parametrize("fails", [False, True])
def test_batch_statistics_and_the_generator_stay(fails):
    model, state = network(), torch.get_rng_state()
    before, objects = buffers(model), list(map(id, model.buffers()))
    try:
        with Guard(model)():
            model(torch.rand(3, 1, 2, 2))
            if fails:
                raise KeyboardInterrupt
    except KeyboardInterrupt:
        pass
    assert all(map(torch.equal, before, buffers(model)))
    assert objects == list(map(id, model.buffers()))
    assert torch.equal(torch.get_rng_state(), state)


def test_dropout_differs_from_block_to_block():
    model = nn.Dropout(0.5).train()
    guard, x = Guard(model), torch.ones(1, 40)
    with guard():
        first = model(x)
    with guard():
        second = model(x)
    assert not torch.equal(first, second)


def test_a_masked_model_and_a_captum_class_leave_no_trace():
    model, x = network(), torch.rand(2, 1, 2, 2)
    before, state = buffers(model), torch.get_rng_state()
    MaskedModel(model, x[:1], batch_size=3)(torch.ones(5, 2, 2, dtype=torch.bool))
    RISE(model).attribute(x, target=0, n_samples=10, seed=0)
    assert all(map(torch.equal, before, buffers(model)))
    assert torch.equal(torch.get_rng_state(), state)


def test_the_drop_in_of_lime_leaves_no_trace_and_refuses_nan():
    model = nn.Sequential(nn.BatchNorm2d(3), nn.Flatten(), nn.Linear(48, 2)).train()
    before, image = buffers(model), np.random.default_rng(0).random((4, 4, 3)).astype(np.float32)
    labels = np.arange(16).reshape(4, 4) // 4

    def explain(classifier):
        explainer = StratifiedLimeImageExplainer(random_state=0)
        explainer.explain_instance(image, classifier, labels=(0,), num_samples=20, segmentation_fn=lambda _: labels)

    explain(as_numpy_function(model))
    assert all(map(torch.equal, before, buffers(model)))
    with pytest.raises(ValueError, match="evaluation 3"):
        explain(lambda rows: np.where(np.arange(len(rows)) == 3, np.nan, 1.0))


def test_a_module_of_which_a_part_is_in_training_mode_is_not_timed():
    model = network().eval()
    model[1].train()
    assert measured_plan(model, (torch.ones(1, 1, 2, 2),)) == Plan(1)
