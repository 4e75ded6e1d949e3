"""The machine, as the page about benchmarks states it.

python benchmarks/machine.py > benchmarks/machine.md
"""

import os
import platform
import re
from pathlib import Path


def described():
    """(what, value) pairs."""
    processor = re.findall(
        r"^(model name|cpu family|model|stepping)\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.M
    )
    known = dict(processor)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    yield "processor", f"{known['model name']}, family {known['cpu family']}, model {known['model']}"
    yield "cores", f"{os.cpu_count()}, shared with other work"
    yield "memory", f"{memory:.0f} GiB"
    yield "system", f"{platform.system()} {platform.machine()}, Python {platform.python_version()}"
    yield "accelerator", "none; nothing on these pages was measured on CUDA"


if __name__ == "__main__":
    print("## Machine\n")
    print(
        "A virtual machine, one thread unless a page says otherwise. Ratios travel to other machines, seconds do not."
    )
    print("\n| | |\n|---|---|")
    print("\n".join(f"| {what} | {value} |" for what, value in described()))
