"""Metrics know no host library and no method."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from xai_ext import metrics

FILES = sorted(Path(metrics.__file__).parent.rglob("*.py"))
FORBIDDEN = ("captum", "shap", "lime", "xai_ext.methods", "xai_ext.attr", "xai_ext.maskers", "xai_ext.explainers")


def imported(source):
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def offences(source):
    return [name for name in imported(source) if any(f"{name}.".startswith(f"{f}.") for f in FORBIDDEN)]


@pytest.mark.parametrize("file", FILES, ids=lambda f: f.name)
def test_a_file_imports_no_host_and_no_method(file):
    assert not offences(file.read_text())


@pytest.mark.parametrize(
    "line",
    ["import shap", "import captum.attr as x", "from xai_ext.methods.lime import lime", "from xai_ext import attr"],
)
def test_the_guard_can_fail(line):
    assert offences(f"def f():\n    {line}")


def test_importing_metrics_loads_no_host_and_nothing_slow():
    code = "import sys, xai_ext.metrics; print([m for m in sys.modules if m in %r])"
    slow = ["captum", "shap", "lime", "numba", "matplotlib", "skimage", "sklearn", "scipy.stats", "scipy.ndimage"]
    found = subprocess.run([sys.executable, "-c", code % slow], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
