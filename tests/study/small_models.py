"""Networks of thirty parameters on 16 x 16 images that ``models=`` loads in other processes."""

import multiprocessing
import os
import signal
import time
import zlib

import numpy as np
import torch
from torch import nn

from xai_ext._task import MapResult, Method
from xai_ext.models import Classifier, Preprocess

PREPROCESS = Preprocess((16, 16), 16, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25), "bilinear")


def _network(seed):
    generator = torch.Generator().manual_seed(seed)
    module = nn.Sequential(nn.Conv2d(3, 2, 2, stride=2), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
                           nn.Linear(2, 2))  # fmt: skip
    for parameter in module.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator)
    return module.eval()


def tiny():
    return Classifier(_network(0), PREPROCESS, ["ant", "bee"], "logits")


def other():
    return Classifier(_network(1), PREPROCESS, ["ant", "bee"], "logits")


class _Slow(nn.Module):
    def __init__(self, seconds):
        super().__init__()
        self.inner, self.seconds = _network(0), seconds

    def forward(self, x):
        time.sleep(self.seconds)
        return self.inner(x)


def slow():
    """A twentieth of a second per batch."""
    return Classifier(_Slow(0.05), PREPROCESS, ["ant", "bee"], "logits")


def slow_in_workers():
    """The same, but at once in the first process."""
    return Classifier(_Slow(0.05 * _in_worker()), PREPROCESS, ["ant", "bee"], "logits")


def _in_worker():
    return multiprocessing.parent_process() is not None


class _Deadly(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = _network(0)

    def forward(self, x):
        if (x > 1.9).all((1, 2, 3)).any():
            os.kill(os.getpid(), signal.SIGKILL)
        return self.inner(x)


def poison():
    """Kills its process on a white image."""
    return Classifier(_Deadly(), PREPROCESS, ["ant", "bee"], "logits")


class _Picky(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = _network(0)

    def forward(self, x):
        if (x > 1.9).all((1, 2, 3)).any():
            raise RuntimeError("too bright")
        return self.inner(x)


def picky():
    """Raises on a white image."""
    return Classifier(_Picky(), PREPROCESS, ["ant", "bee"], "logits")


def _pattern(*words):
    """A fixed field per level of a factor."""
    return np.random.default_rng([zlib.crc32(str(w).encode()) for w in words]).normal(size=(16, 16))


def _planted(name):
    """Maps that follow the method most, then the model, the baseline, and the seed least."""

    def run(task):
        model = float(next(task.model.module.parameters()).sum())
        baseline, image = float(task.baseline.mean()), float(task.x.sum())
        noise = np.random.default_rng(task.seed).normal(size=(16, 16))
        parts = (2.0, ("image", image)), (1.6, ("method", name)), (1.0, ("model", model)), (0.6, ("baseline", baseline))
        return MapResult(sum(weight * _pattern(*words) for weight, words in parts) + 0.25 * noise)

    return Method(name, "planted", "pixels", True, run, 0)


def first():
    return _planted("first")


def second():
    return _planted("second")


def third():
    return _planted("third")


def deadly():
    """A method that ends its process."""
    return Method("deadly", "mine", "pixels", True, lambda task: os._exit(7), 0)


def unseeded():
    """Other weights in each process."""
    return Classifier(_network(os.getpid()), PREPROCESS, ["ant", "bee"], "logits")


def only_here():
    """Cannot be made in a worker."""
    if _in_worker():
        raise RuntimeError("not in a worker")
    return tiny()
