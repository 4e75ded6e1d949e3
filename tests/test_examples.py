"""The examples run as they stand, warnings being errors."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests import tiny_models

ROOT = Path(__file__).parent.parent


@pytest.mark.real_model
@pytest.mark.parametrize("script", sorted(p.name for p in (ROOT / "examples").glob("plot_*.py")))
def test_an_example_runs_without_a_warning(script, tmp_path):
    environment = {**os.environ, "MPLBACKEND": "agg", "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-W", "error::UserWarning", str(ROOT / "examples" / script)]
    run = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr[-2000:]
    assert run.stdout.strip()


def test_the_readme_runs():
    """Its Python blocks, on a small model."""
    import matplotlib.pyplot as plt
    import torch

    x = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    image = x[0].movedim(0, -1).numpy()
    scope = {"model": tiny_models.conv().module, "x": x, "image": image, "masks": image[None, ..., 0] > 0.5}
    for block in (ROOT / "README.md").read_text().split("```python\n")[1:]:
        exec(block.split("```")[0].replace("285", "1"), scope)  # the tiny model has four classes
    plt.close("all")
