"""Counting at the model."""

import time

import numpy as np
import pytest
import torch
from torch import nn

from xai_ext._task import CountedModel, Task, Unsupported, density


class TestCountedModel:
    def test_forward_rows_are_counted_and_backward_rows_count_twice(self):
        rows = []
        model = CountedModel(nn.Sequential(nn.Flatten(), nn.Linear(4, 2)), rows.append)
        with torch.no_grad():
            model(torch.ones(3, 1, 2, 2))
        assert (model.n_forward, model.n_backward, model.cost) == (3, 0, 3)
        x = torch.ones(5, 1, 2, 2, requires_grad=True)
        torch.autograd.grad(model(x).sum(), x)
        assert (model.n_forward, model.n_backward, model.cost) == (8, 5, 18)
        assert rows == [3, 5]

    def test_seconds_are_those_inside_the_model(self):
        class Slow(nn.Module):
            def forward(self, x):
                time.sleep(0.02)
                return x

        model = CountedModel(Slow())
        model(torch.ones(1))
        assert model.seconds >= 0.02

    @pytest.mark.parametrize("training", [True, False])
    def test_it_takes_the_mode_of_its_module_and_changes_none(self, training):
        inner = nn.Sequential(nn.Linear(1, 1), nn.BatchNorm1d(1)).train(training)
        inner[1].train(not training)
        assert CountedModel(inner).training is training
        assert inner[1].training is not training

    def test_gradients_are_those_of_the_module(self):
        module = nn.Sequential(nn.Linear(3, 2), nn.Tanh())
        x = torch.rand(2, 3, requires_grad=True)
        torch.testing.assert_close(
            torch.autograd.grad(CountedModel(module)(x).sum(), x), torch.autograd.grad(module(x).sum(), x)
        )


def task(module, target=1):
    x = torch.rand(1, 3, 4, 5)
    return Task(CountedModel(module), x, torch.zeros_like(x), target, np.zeros((4, 5), int), 10, 2, None, 0)


def test_arrays_for_lime_and_shap_are_channels_last():
    t = task(nn.Sequential(nn.Flatten(), nn.Linear(60, 3)).eval())
    images = np.stack([t.array(t.x), t.array(t.baseline)])
    assert images.shape == (2, 4, 5, 3)
    expected = t.model.module(torch.cat([t.x, t.baseline]))[:, 1:2].detach()
    np.testing.assert_allclose(t.column(images), expected, atol=1e-6)


def test_a_scalar_model_has_one_column():
    t = task(nn.Sequential(nn.Flatten(), nn.Linear(60, 1), nn.Flatten(0)), target=None)
    assert t.column(t.array(t.x)[None]).shape == (1, 1)


def test_a_missing_layer_is_unsupported():
    with pytest.raises(Unsupported, match="no layer"):
        task(nn.Identity()).layer_module()


def test_a_density_sums_to_the_values():
    labels = np.array([[0, 0, 1], [2, 2, 2]])
    np.testing.assert_allclose(density(labels, np.array([4.0, 3, 6])), [[2, 2, 3], [2, 2, 2]])
