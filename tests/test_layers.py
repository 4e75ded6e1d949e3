"""What the layers of a network return while it runs once."""

import pytest
import torch
from torch import nn

from xai_ext._layers import layer_outputs


class Network(nn.Module):
    """Two layers; the first runs twice, another returns no tensor."""

    def __init__(self):
        super().__init__()
        self.doubled, self.pair = Double(), Pair()

    def forward(self, x):
        return self.pair(self.doubled(self.doubled(x)))[0]


class Double(nn.Module):
    def forward(self, x):
        return 2 * x


class Pair(nn.Module):
    def forward(self, x):
        return x, x


def test_a_layer_that_runs_twice_is_seen_as_it_was_last():
    found = layer_outputs(Network(), torch.ones(1, 3), ["doubled"])
    assert torch.equal(found["doubled"], torch.full((1, 3), 4.0))


def test_what_is_no_tensor_is_left_out():
    assert list(layer_outputs(Network(), torch.ones(1, 3), ["doubled", "pair"])) == ["doubled"]


def test_layers_come_in_the_order_of_execution():
    network = nn.Sequential(nn.Identity(), nn.Sequential(nn.ReLU()), nn.Tanh())
    assert list(layer_outputs(network, torch.ones(1), ["2", "1", "1.0", "0"])) == ["0", "1.0", "1", "2"]


def test_a_layer_that_runs_again_comes_where_it_ran_last():
    twice = nn.ReLU()
    found = layer_outputs(nn.Sequential(twice, nn.Tanh(), twice), torch.ones(1), ["0", "1"])
    assert list(found) == ["1", "0"]


def test_no_hook_stays_behind_even_after_an_error():
    class Failing(nn.Module):
        def forward(self, x):
            raise ValueError("no")

    network = nn.Sequential(nn.Identity(), Failing())
    with pytest.raises(ValueError, match="no"):
        layer_outputs(network, torch.ones(1), ["0"])
    assert not network[0]._forward_hooks
