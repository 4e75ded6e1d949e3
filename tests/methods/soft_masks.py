"""Models whose image is the mask itself, for tests of RISE."""

import numpy as np
import torch

from xai_ext import MaskedModel


def disc(side, row, column, radius):
    y, x = np.mgrid[:side, :side]
    return torch.from_numpy((y - row) ** 2 + (x - column) ** 2 <= radius**2)


def of_mask(function, shape=(64, 64), batch_size=64):
    """A model whose image is its mask: ones over a baseline of zeros."""
    return MaskedModel(lambda x: function(x[:, 0]), torch.ones(1, 1, *shape), batch_size=batch_size)


def soft(mask, where):
    return torch.sigmoid(12 * (mask[:, where].mean(1) - 0.5))


def correlation(a, b):
    return np.corrcoef(a.ravel(), b.ravel())[0, 1]
