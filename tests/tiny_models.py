"""Small networks that ``--model tests.tiny_models:NAME`` loads."""

import torch
from torch import nn

from xai_ext.models import Classifier, Preprocess
from xai_ext.study import Method

PREPROCESS = Preprocess((32, 32), 36, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25), "bilinear")


def conv():
    torch.manual_seed(0)
    module = nn.Sequential(
        nn.Conv2d(3, 6, 5, stride=2), nn.ReLU(), nn.Conv2d(6, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(8, 4),
    )  # fmt: skip
    return Classifier(module.eval(), PREPROCESS, ["ant", "bee", "cow", "dog"], "logits")


def scalar():
    """One score per image, no names, no layer with a map."""

    class Brightness(nn.Module):
        def forward(self, x):
            return x[:, :, 8:24, 8:24].mean((1, 2, 3)) ** 3

    return Classifier(Brightness().eval(), PREPROCESS)


def not_a_number():
    class Broken(nn.Module):
        def forward(self, x):
            return torch.full((len(x), 2), float("nan"))

    return Classifier(Broken().eval(), PREPROCESS)


def opaque():
    """A model without gradients."""

    class Opaque(nn.Module):
        def forward(self, x):
            return torch.from_numpy(x.detach().numpy().mean((2, 3)))

    return Classifier(Opaque().eval(), PREPROCESS)


def relu6():
    """One ReLU6 used twice, as in the demo model; far into both of its ends."""

    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.one, self.two, self.head = nn.Conv2d(3, 6, 5, stride=2), nn.Conv2d(6, 8, 3), nn.Linear(8, 4)
            self.act = nn.ReLU6()

        def forward(self, x):
            return self.head(self.act(8 * self.two(self.act(8 * self.one(x)))).mean((2, 3)))

    torch.manual_seed(0)
    return Classifier(Twice().eval(), PREPROCESS, ["ant", "bee", "cow", "dog"], "logits")


def broken():
    """A method that always fails."""

    def run(task):
        task.model(task.x)
        raise RuntimeError("broken\non purpose")

    return Method("broken", "mine", "pixels", False, run)


def slow():
    """A method that goes on until it is stopped, and swallows every Exception."""

    def run(task):
        print("what hosts print")
        while True:
            try:
                task.model(task.x)
            except Exception:
                continue

    return Method("slow", "mine", "pixels", False, run)
