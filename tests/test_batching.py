"""The measured batch size and memory format."""

import functools
import time

import pytest
import torch
from torch import nn

from xai_ext import MaskedModel
from xai_ext._batching import Plan, measured_plan
from xai_ext._forward import BoundForward


def slow(per_call, per_row):
    """A model whose time is known: seconds per call plus seconds per row."""

    def forward(x):
        time.sleep(per_call + per_row * len(x))
        return x.flatten(1).sum(1)

    return forward


def test_a_cost_per_call_asks_for_large_batches():
    assert measured_plan(slow(0.01, 0), (torch.ones(1, 4),)).batch_size >= 16


def test_the_largest_batch_that_memory_allows_is_tried():
    image = torch.ones(1, 2**23 // 4 // 7)  # seven of them are 8 MB of float32
    assert measured_plan(slow(0.01, 0), (image,)).batch_size == 7


def test_an_image_beyond_the_memory_of_a_batch_goes_alone():
    assert measured_plan(slow(0.01, 0), (torch.ones(1, 2**23),)).batch_size == 1


def test_a_cost_per_row_alone_keeps_batches_small():
    assert measured_plan(slow(0, 0.02), (torch.ones(1, 4),)).batch_size == 1


def test_it_is_measured_once_per_model_and_shape():
    calls = []

    def forward(x):
        calls.append(len(x))
        return x.flatten(1).sum(1)

    measured_plan(forward, (torch.ones(1, 4),))
    first = len(calls)
    measured_plan(BoundForward(forward), (torch.ones(1, 4),))
    measured_plan(functools.partial(forward), (torch.ones(1, 4),))
    assert len(calls) == first
    measured_plan(forward, (torch.ones(1, 5),))
    assert len(calls) > first


def test_the_timing_is_not_counted_and_leaves_the_generators_alone():
    dropout = nn.Dropout(0.5)
    state = torch.get_rng_state()
    model = MaskedModel(lambda x: nn.functional.dropout(x, 0.5, training=True).sum(1), torch.ones(1, 4))
    assert model.batch_size >= 1
    assert model.n_evals == 0
    assert torch.equal(torch.get_rng_state(), state)
    assert dropout.training


def test_a_module_in_training_mode_gets_one_row_per_call():
    assert measured_plan(nn.Linear(4, 1).train(), (torch.ones(1, 4),)) == Plan(1)


def test_a_model_with_a_fixed_batch_of_one_gets_one_row_per_call():
    def forward(x):
        return x.reshape(1, 4).sum(1)

    assert measured_plan(forward, (torch.ones(1, 4),)).batch_size == 1


def test_a_model_that_cannot_take_channels_last_gets_contiguous_images():
    class Viewing(nn.Module):
        def forward(self, x):
            return x.view(len(x), -1).sum(1)

    plan = measured_plan(Viewing().eval(), (torch.ones(1, 3, 8, 8),))
    assert plan.memory_format == torch.contiguous_format


def test_a_format_that_saves_less_than_writing_it_costs_is_not_taken():
    def forward(x):
        time.sleep(0.004 if x.is_contiguous() else 0.003)  # writing 17 MB with channels last takes longer
        return x[:, 0, 0, 0]

    assert measured_plan(forward, (torch.rand(1, 3, 1200, 1200),)).memory_format == torch.contiguous_format


def test_a_format_that_saves_more_is_taken():
    def forward(x):
        time.sleep(0.05 if x.is_contiguous() else 0.01)
        return x.flatten(1).sum(1)

    assert measured_plan(forward, (torch.rand(1, 3, 64, 64),)).memory_format == torch.channels_last


def test_the_memory_format_reaches_the_model():
    formats = []

    def forward(x):
        formats.append(x.is_contiguous(memory_format=torch.channels_last))
        return x.flatten(1).sum(1)

    model = MaskedModel(forward, torch.rand(1, 3, 8, 8))
    model._plan = Plan(2, torch.channels_last)
    model(torch.rand(2, 8, 8) < 0.5)
    assert formats == [True]


def test_an_exception_of_the_model_passes():
    def forward(x):
        raise ZeroDivisionError("mine")

    with pytest.raises(ZeroDivisionError, match="mine"):
        measured_plan(forward, (torch.ones(1, 4),))
