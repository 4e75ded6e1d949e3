"""The examples run as they stand, warnings being errors."""

import os
import re
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
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


def blocks(page):
    """The Python of a page, at sizes for a small network of four classes; what needs another package is left out."""
    found = re.findall(r"^```python\n(.*?)^```", (ROOT / page).read_text(), re.M | re.S)
    sizes = {
        "285": "1",
        "224": "32",
        "efficientnet_lite0": "tests.tiny_models:conv",
        "256": "36",
        "n_segments=50": "n_segments=8",
        "n_samples=500": "n_samples=60",
    }
    for there, here in sizes.items():
        found = [block.replace(there, here) for block in found]
    return [block for block in found if not block.startswith("# needs: ")]


def pages():
    written = (p for p in sorted((ROOT / "docs").rglob("*.md")) if "auto_examples" not in p.parts)
    found = [str(page.relative_to(ROOT)) for page in (ROOT / "README.md", *written)]
    used = [page for page in found if blocks(page) and not page.startswith("docs/benchmarks/")]
    slow = ("check_attribution", "bench(")
    return [
        pytest.param(p, marks=pytest.mark.slow) if any(s in (ROOT / p).read_text() for s in slow) else p for p in used
    ]


def studied(seed):
    """An image, maps and their scores, as a study of disagreement takes them."""
    from xai_ext.study.disagreement import Key

    rng = np.random.default_rng(seed)
    maps = {key: rng.random((8, 8)) for key in (Key("lime", seed=0), Key("lime", seed=1), Key("ig"))}
    return seed, maps, {key: {"srg": float(rng.random())} for key in maps}


@pytest.mark.parametrize("page", pages())
@pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")  # the battery traces a model
@pytest.mark.filterwarnings("ignore::UserWarning")  # a tiny model at a small budget is warned about
def test_the_python_of_a_page_runs(page, tmp_path, monkeypatch):
    """On a small model; each block sees what those above it made."""
    import matplotlib.pyplot as plt
    import torch

    from xai_ext.models import as_numpy_function

    monkeypatch.chdir(tmp_path)
    patches = torch.rand(1, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    x = patches.repeat_interleave(8, 2).repeat_interleave(8, 3)  # with edges: superpixels of noise are one region
    image, model = x[0].movedim(0, -1).numpy(), tiny_models.conv().module
    module = types.ModuleType("page")  # so that what a page defines can be pickled
    monkeypatch.setitem(sys.modules, "page", module)
    scope = vars(module)
    scope |= {"model": model, "x": x, "image": image, "masks": image[None, ..., 0] > 0.5}
    scope |= {"f": as_numpy_function(model), "segments": torch.arange(64).reshape(8, 8).kron(torch.ones(4, 4).long())}
    scope["classifier_fn"] = lambda images: scope["f"](images.astype("float32"))
    scope |= {"others": torch.rand(1, 3, 32, 32), "data": [studied(seed) for seed in range(4)]}
    for block in blocks(page):
        exec(block, scope)
    plt.close("all")
