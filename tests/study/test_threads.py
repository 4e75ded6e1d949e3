"""The measured number of threads."""

import time

import pytest
import torch
from torch import nn

from xai_ext.study.threads import fastest_threads


class Timed(nn.Module):
    def __init__(self, seconds):
        super().__init__()
        self.seconds = seconds

    def forward(self, x):
        time.sleep(self.seconds[torch.get_num_threads()])
        return x


@pytest.mark.parametrize(("seconds", "chosen"), [({1: 0.02, 2: 0.002}, 2), ({1: 0.002, 2: 0.02}, 1)])
def test_the_faster_number_is_used_and_the_old_one_restored(seconds, chosen):
    torch.set_num_threads(2)
    with fastest_threads(Timed(seconds), torch.ones(1)) as threads:
        assert threads == torch.get_num_threads() == chosen
    assert torch.get_num_threads() == 2
