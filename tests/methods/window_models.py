"""Models and schedules for tests of IASSA."""

import numpy as np
import torch

from xai_ext import MaskedModel
from xai_ext.methods.iassa import Level, Schedule


def bent_model(x):
    """Smooth, with interactions of all positions."""
    flat = x.flatten(1)
    weights = torch.sin(torch.arange(flat.shape[1], dtype=flat.dtype) * 0.7)
    score = flat @ weights
    return score + 3 * torch.sigmoid(score) + 0.1 * (flat**2).sum(1)


def image(shape, channels=2, dtype=torch.float64, seed=0):
    return torch.randn(1, channels, *shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def one_level(window, stride, **kwargs):
    return Schedule((Level(window, stride),), **kwargs)


def disc_model(side=64, row=20, column=41, radius=6, **kwargs):
    y, x = np.mgrid[:side, :side]
    where = torch.from_numpy((y - row) ** 2 + (x - column) ** 2 <= radius**2)
    return MaskedModel(lambda i: i[:, 0, where].mean(1), torch.ones(1, 1, side, side), batch_size=16, **kwargs)
