"""Coalitions become images bit by bit, in any layout of memory."""

import pytest
import torch

from xai_ext._batching import as_format
from xai_ext._mixing import Chosen, Operand

SHAPES = [  # input (without its first dimension), players
    ((3, 5, 4), (5, 4)),
    ((3, 5, 4), (3, 5, 4)),
    ((3, 5, 4), (1, 4)),
    ((3, 5, 4), (3, 1, 1)),
    ((1, 7, 3), (7, 3)),
    ((2, 3, 4, 5), (3, 4, 5)),
    ((6,), (6,)),
    ((), ()),
]
DTYPES = [torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.uint8, torch.int64, torch.bool]


def as_shaped(numbers, dtype):
    return numbers > 0 if dtype is torch.bool else (numbers * 50).to(dtype)


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("shape", "labels"), SHAPES)
@pytest.mark.parametrize("zero", [True, False])
def test_players_are_exchanged_bit_by_bit(shape, labels, dtype, memory_format, zero):
    generator = torch.Generator().manual_seed(0)
    x, baseline = (as_shaped(torch.randn(1, *shape, generator=generator), dtype) for _ in range(2))
    baseline = torch.zeros_like(baseline) if zero else baseline
    operand = Operand(as_format(x, memory_format), as_format(baseline, memory_format))
    players = torch.randint(0, 4, labels, generator=generator)
    coalitions = torch.rand(5, 4, generator=generator) < 0.5
    mask = coalitions[:, players]
    mask = mask.reshape(5, *(1,) * (len(shape) - len(labels)), *labels)
    mixed = operand.mixed(Chosen(coalitions, players))
    assert torch.equal(mixed, torch.where(mask, x, baseline))
    assert mixed.stride() == as_format(mixed, memory_format).stride()
    # other devices gather masks instead
    assert torch.equal(operand.mixed(Chosen(coalitions, players).mask(operand.x)), mixed)


def test_nan_and_infinity_of_what_is_hidden_stay_outside():
    x = torch.tensor([[1.0, float("nan"), 3.0, float("inf")]])
    operand = Operand(x, torch.full((1, 4), -0.0))
    (row,) = operand.mixed(Chosen(torch.tensor([[True, False]]), torch.tensor([0, 1, 0, 1])))
    assert row.tolist() == [1, 0, 3, 0]
    assert torch.signbit(row).tolist() == [False, True, False, True]
