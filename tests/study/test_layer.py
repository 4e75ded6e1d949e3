"""The layer that Grad-CAM looks at."""

import pytest
import torch
from torch import nn

from tests.tiny_models import conv, scalar
from xai_ext.study.layer import find_layer

X = torch.rand(1, 3, 32, 32)


def test_it_is_the_last_map_larger_than_one_pixel():
    assert find_layer(conv().module, X) == "3"


def test_a_model_without_maps_has_none():
    assert find_layer(scalar().module, X) is None


def test_a_name_is_taken_if_there_is_such_a_layer():
    assert find_layer(conv().module, X, "0") == "0"
    with pytest.raises(ValueError, match="the model has no layer 'layer4'"):
        find_layer(conv().module, X, "layer4")


def test_no_hook_stays_also_after_an_exception():
    class Broken(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = nn.Conv2d(3, 2, 3)

        def forward(self, x):
            raise RuntimeError("mine")

    model = Broken()
    with pytest.raises(RuntimeError, match="mine"):
        find_layer(model, X)
    assert not any(m._forward_hooks for m in model.modules())
