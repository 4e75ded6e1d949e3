"""A newcomer's first ten minutes: the Captum tutorial word by word, on random networks of three libraries."""

import importlib
import re

import pytest
import torch

from tests.test_examples import ROOT
from tests.vision import import_torchvision

PAGE = ROOT / "docs" / "tutorials" / "captum.md"
SIZES = {"224": "64", "256": "72", "n_samples=500": "n_samples=40", "n_segments=50": "n_segments=12"}
SIZES["32, 32"] = "16, 16"  # windows of the occlusion


def imported(package):
    try:
        import_torchvision()  # timm and transformers import it, too
        importlib.import_module(package)
    except Exception as error:
        pytest.skip(f"{package} cannot be imported: {error}")


def steps():
    """(package that is needed or "", code) of every block."""
    code = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.M | re.S)
    for there, here in SIZES.items():
        code = [block.replace(there, here) for block in code]
    return [(re.match(r"(?:# needs: (\w+))?", block)[1] or "", block) for block in code]


def test_the_tutorial_shows_a_model_of_each_library():
    assert [package for package, _ in steps() if package] == ["torchvision", "timm", "transformers"]


@pytest.mark.slow
@pytest.mark.parametrize("library", ["torchvision", "timm", "transformers"])
@pytest.mark.filterwarnings("default")  # of other libraries' imports, and of a network that knows nothing
def test_the_tutorial_runs_from_top_to_bottom(library, capsys):
    imported(library)
    torch.manual_seed(0)
    scope = {}
    for package, code in steps():
        if package in ("", library):
            exec(code, scope)
    printed = capsys.readouterr().out
    assert printed.count("+-") == 3
    assert printed.count("deletion") == 4
    assert re.search(r"LIME with itself: +-?\d\.\d+", printed)
    owen = scope["attributions"].sum()
    with torch.no_grad():
        gap = (scope["model"](scope["x"]) - scope["model"](torch.zeros_like(scope["x"])))[0, scope["target"]]
    torch.testing.assert_close(owen, gap, rtol=1e-4, atol=1e-5)
