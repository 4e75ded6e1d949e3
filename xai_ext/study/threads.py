"""How many threads torch should use: measured, because on a busy machine more threads can be ten times slower."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

_WORTH_IT = 0.9  # the other threads must save 10 %


@contextmanager
def fastest_threads(module: nn.Module, x: Tensor, fixed: int | None = None) -> Iterator[int]:
    """Inside the block torch uses one thread, unless all of them are clearly faster; the number is restored.

    A fixed number is taken as it is.
    """
    before = torch.get_num_threads()
    try:
        if fixed is not None:
            torch.set_num_threads(fixed)
        elif before > 1 and not x.is_cuda:
            torch.set_num_threads(1)
            single = _seconds(module, x)
            torch.set_num_threads(before)
            if _seconds(module, x) > _WORTH_IT * single:
                torch.set_num_threads(1)
        yield torch.get_num_threads()
    finally:
        torch.set_num_threads(before)


def _seconds(module: nn.Module, x: Tensor) -> float:
    """The median of five forwards: what contention does half of the time counts."""
    times = []
    with torch.no_grad():
        module(x)
        for _ in range(5):
            start = time.perf_counter()
            module(x)
            times.append(time.perf_counter() - start)
    return sorted(times)[2]
