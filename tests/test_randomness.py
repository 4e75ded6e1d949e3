"""The users' generators."""

import random

import numpy as np
import pytest
import torch

from tests.laws import GeneratorsUntouched
from xai_ext._randomness import preserved_generators


def draw():
    return random.random(), float(np.random.rand()), float(torch.rand(()))


def test_generators_are_put_back_also_after_an_exception():
    with GeneratorsUntouched():
        with preserved_generators():
            draw()
        with pytest.raises(ZeroDivisionError), preserved_generators(3):
            draw()[0] / 0


def test_a_seed_makes_the_inside_reproducible():
    results = []
    for _ in range(2):
        with preserved_generators(2**62 + 5):
            results.append(draw())
    assert results[0] == results[1]
