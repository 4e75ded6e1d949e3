"""Modules as the hosts want them."""

import pickle
import types

import numpy as np
import pytest
import torch
from torch import nn

from xai_ext.models import LogitsOf, as_numpy_function


def network():
    return nn.Sequential(nn.Conv2d(3, 2, 3), nn.Flatten(), nn.LazyLinear(4)).eval()


NETWORK = network()
NETWORK(torch.zeros(1, 3, 6, 7))
IMAGES = np.random.default_rng(0).random((5, 6, 7, 3)).astype(np.float32)


class TestAsNumpyFunction:
    @pytest.mark.parametrize("batch_size", [None, 1, 2, 100])
    def test_it_is_the_module_on_channels_first_tensors(self, batch_size):
        expected = NETWORK(torch.from_numpy(IMAGES).movedim(-1, 1)).detach().numpy()
        got = as_numpy_function(NETWORK, batch_size=batch_size)(IMAGES)
        np.testing.assert_allclose(got, expected, atol=1e-6)
        first = as_numpy_function(NETWORK, layout="channels_first")(np.moveaxis(IMAGES, -1, 1))
        np.testing.assert_allclose(first, expected, atol=1e-6)

    def test_bytes_are_scaled_and_normalised(self):
        pixels = (IMAGES * 255).astype(np.uint8)
        mean, std = (0.5, 0.4, 0.3), (0.2, 0.3, 0.4)
        got = as_numpy_function(NETWORK, scale=1 / 255, mean=mean, std=std)(pixels)
        x = (torch.from_numpy(pixels).float() / 255 - torch.tensor(mean)) / torch.tensor(std)
        np.testing.assert_allclose(got, NETWORK(x.movedim(-1, 1)).detach(), atol=1e-5)

    def test_a_pickled_one_gives_the_same(self):
        function = as_numpy_function(NETWORK)
        np.testing.assert_array_equal(pickle.loads(pickle.dumps(function))(IMAGES), function(IMAGES))

    def test_no_softmax_is_appended_and_the_mode_stays(self):
        module = nn.Sequential(nn.Flatten(), nn.Dropout(0.0)).train()
        got = as_numpy_function(module)(IMAGES)
        np.testing.assert_array_equal(got, np.moveaxis(IMAGES, -1, 1).reshape(5, -1))
        assert module.training

    def test_something_else_is_a_type_error(self):
        with pytest.raises(TypeError, match="module must be a torch module"):
            as_numpy_function(lambda x: x)


@pytest.mark.parametrize("argument", [None, "pixel_values"])
def test_logits_of_reduces_an_object_to_its_tensor(argument):
    class Model(nn.Module):
        def forward(self, pixel_values):
            return types.SimpleNamespace(logits=pixel_values.flatten(1), hidden=None)

    x = torch.rand(2, 3)
    assert torch.equal(LogitsOf(Model(), argument=argument)(x), x)


class TestWhatDoesNotFitTheImages:
    @pytest.mark.parametrize("wrong", [{"mean": 0.5}, {"mean": [np.nan]}, {"std": [0.0]}])
    def test_it_is_refused_before_the_module_runs(self, wrong):
        with pytest.raises(ValueError, match=f"{next(iter(wrong))} must hold one finite number per channel"):
            as_numpy_function(nn.Flatten(), **wrong)

    def test_as_many_numbers_as_channels(self):
        function = as_numpy_function(nn.Flatten(), mean=[0.5, 0.5])
        with pytest.raises(ValueError, match="must have 3 numbers"):
            function(np.ones((1, 2, 2, 3), np.float32))

    def test_an_answer_without_the_field_is_named(self):
        with pytest.raises(ValueError, match="Tensor, has no 'logits'"):
            LogitsOf(nn.Flatten())(torch.ones(1, 2, 2))
