"""Small detectors and data of the anomaly tests."""

import numpy as np
import torch
from torch import nn


class Blurring(nn.Module):
    """An 'autoencoder' that reconstructs a 3x3 mean; counts the rows it sees."""

    def __init__(self, channels=1):
        super().__init__()
        self.kernel = nn.Parameter(torch.full((channels, 1, 3, 3), 1 / 9))
        self.rows = 0

    def forward(self, x):
        self.rows += len(x)
        return nn.functional.conv2d(x, self.kernel.to(x), padding=1, groups=x.shape[1])


def images(n=4, channels=1, height=6, width=5, seed=0):
    """Smooth, as photos are: uniform noise is what the probe of the sign takes for far from normal."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(n, channels, 3, 3, generator=generator)
    fine = 0.1 * torch.rand(n, channels, height, width, generator=generator)
    return 0.9 * nn.functional.interpolate(coarse, (height, width), mode="bilinear") + fine


def table(n, d=4, seed=0):
    return np.random.default_rng(seed).normal(size=(n, d))
