"""A network of thirty parameters that takes its time: units last without a busy processor."""

import time

import torch
from torch import nn

from xai_ext.models import Classifier, Preprocess

PREPROCESS = Preprocess((16, 16), 16, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25), "bilinear")


class _Sleepy(nn.Module):
    def __init__(self, seconds):
        super().__init__()
        self.seconds = seconds
        self.inner = nn.Sequential(
            nn.Conv2d(3, 2, 2, stride=2), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2, 2)
        )
        generator = torch.Generator().manual_seed(0)
        for parameter in self.inner.parameters():
            parameter.data = torch.randn(parameter.shape, generator=generator)

    def forward(self, x):
        time.sleep(self.seconds)
        return self.inner(x)


def sleepy():
    """A hundredth of a second per batch."""
    return Classifier(_Sleepy(0.01).eval(), PREPROCESS, ["ant", "bee"], "logits")
