"""Peak memory, measured in a process of its own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

STATUS = Path("/proc/self/status")
needs_gauge = pytest.mark.skipif(not STATUS.exists(), reason="reads the peak memory from /proc")


def peak_growth(setup, first, second):
    """MB between the peaks of resident memory after two lines.

    VmHWM, because ru_maxrss begins at that of the parent. glibc moves its limit for mapped blocks with what was
    freed, and then keeps fragments, differently in each run: with a fixed limit the figure repeats.
    """
    script = (
        "import torch\n"
        "torch.set_num_threads(1)\n"
        f"{setup}\n"
        f"def peak(): return next(int(s.split()[1]) for s in open('{STATUS}') if s.startswith('VmHWM'))\n"
        f"{first}; before = peak()\n{second}; print((peak() - before) / 1024)\n"
    )
    environment = os.environ | {"MALLOC_MMAP_THRESHOLD_": "65536"}
    run = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    return float(run.stdout)
