"""Imports run one way, hosts stay apart, and importing the package is cheap. Each guard is shown to fail."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import xai_ext

ROOT = Path(xai_ext.__file__).parent
HOSTS = {"captum", "shap", "lime"}
# lowest first; a module may import from its own layer or below
LAYERS = [
    ("_types", "_checks"),
    (
        "_randomness",
        "_forward",
        "_guard",
        "_arguments",
        "_batching",
        "_exchange",
        "_layers",
        "_mixing",
        "_superpixels",
        "game",
        "explanation",
        "_plot_maps",
        "_html",
        "_notebook",
        "_captum_compat",
        "_shap_compat",
    ),
    ("_io", "_progress", "_task", "samplers", "hierarchies", "segmentation", "baselines"),
    ("methods", "_plot_series"),
    ("attr", "maskers", "explainers", "metrics", "anomaly", "models", "lime_image"),
    ("study", "testing", "_register", "plots", "_plot_agreement", "_plot_players", "_plot_sheets", "_plot_tables"),
    ("_cli_compare", "_cli_bench", "_cli_check"),
    ("cli",),
]
FORBIDDEN = {  # beyond the layers: (importer, imported)
    ("metrics", "methods"), ("metrics", "attr"), ("metrics", "explainers"), ("metrics", "maskers"),
    ("attr", "explainers"), ("attr", "maskers"), ("explainers", "attr"), ("maskers", "attr"),
}  # fmt: skip
HOST_USERS = {"captum": {"attr", "testing", "_captum_compat"},
              "shap": {"maskers", "explainers", "testing", "_register", "_shap_compat"},
              "lime": {"lime_image", "testing"}}  # fmt: skip


def imports(source):
    """(module, is at module level) of every import statement."""
    tree = ast.parse(source)
    top = set(map(id, tree.body))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, id(node) in top) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module, id(node) in top
            yield from ((f"{node.module}.{alias.name}", id(node) in top) for alias in node.names)


def layer(part):
    found = [i for i, names in enumerate(LAYERS) if part in names]
    assert found, f"{part} has no layer: add it to LAYERS"
    return found[0]


def violations(part, source):
    """What a file of ``part`` (a module or sub-package of the root) imports against the rules."""
    found = []
    for name, _ in imports(source):
        head, _, rest = name.partition(".")
        if head in HOSTS and part not in HOST_USERS[head]:
            found.append(f"{part} imports {head}")
        if head == "captum" and any(p.startswith("_") for p in name.split(".")) and part != "_captum_compat":
            found.append(f"{part} imports private {name}")
        if head == "shap" and any(p.startswith("_") for p in name.split(".")) and part != "_shap_compat":
            found.append(f"{part} imports private {name}")
        if head == "xai_ext" and rest:
            other = rest.split(".")[0]
            if (ROOT / other).exists() or (ROOT / f"{other}.py").exists():
                if layer(other) > layer(part) or (part, other) in FORBIDDEN:
                    found.append(f"{part} imports {other}")
    return found


def part_of(path):
    relative = path.relative_to(ROOT)
    return relative.parts[0] if len(relative.parts) > 1 else relative.stem


FILES = sorted(p for p in ROOT.rglob("*.py") if p != ROOT / "__init__.py")


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_run_one_way_and_hosts_stay_in_their_modules(path):
    assert violations(part_of(path), path.read_text()) == []


@pytest.mark.parametrize(
    ("part", "line"),
    [
        ("game", "from xai_ext.methods.lime import lime"),
        ("methods", "import captum"),
        ("metrics", "from xai_ext.methods import lime"),
        ("explainers", "from xai_ext.attr import StratifiedLime"),
        ("attr", "from captum.attr._core.lime import Lime"),
        ("explainers", "def f():\n    from shap._explanation import Explanation"),
        ("attr", "import shap"),
        ("attr", "from xai_ext import cli"),
    ],
)
def test_the_guard_sees_each_kind_of_violation(part, line):
    assert violations(part, line)


def loaded_after(statement):
    script = f"import sys\n{statement}\nprint(*sorted(m.split('.')[0] for m in sys.modules))"
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(result.stdout.split())


HEAVY = {"matplotlib", "numba", "sklearn", "skimage", "torchvision", "timm", "transformers", "cv2", "pandas", "ray"}


@pytest.mark.parametrize(
    ("statement", "absent"),
    [
        ("import xai_ext", HOSTS | HEAVY),
        ("import xai_ext; xai_ext.register", HOSTS | HEAVY),
        ("import xai_ext.hierarchies, xai_ext.methods.owen", HOSTS | HEAVY),
        ("import xai_ext.methods.lime, xai_ext.samplers, xai_ext.segmentation, xai_ext.baselines", HOSTS | HEAVY),
        ("import xai_ext.metrics", HOSTS | HEAVY),
        ("import xai_ext.models", HOSTS | HEAVY),
        ("import xai_ext.anomaly", HOSTS | HEAVY | {"safetensors", "pyod", "anomalib"}),
        ("import xai_ext.attr", {"shap", "lime", "torchvision", "timm", "transformers"}),
        (
            "import xai_ext.explainers, xai_ext.maskers",
            {"captum", "torchvision", "timm", "transformers"},
        ),  # shap itself imports lime
        ("import xai_ext.cli", HOSTS | HEAVY | {"torch", "numpy"}),
    ],
)
def test_importing_a_part_loads_no_more_than_it_needs(statement, absent):
    assert loaded_after(statement) & absent == set()


def test_the_import_test_can_fail():
    assert loaded_after("import xai_ext.attr") & HOSTS == {"captum"}


# public modules whose test has another name
TESTED_BY = {"localization": "test_iou", "thresholds": "test_iou", "engine": "test_bench_kills"}


def without_a_test(modules, tests):
    """Public modules with no test of their name; private ones are tested through what uses them."""
    public = (m for m in modules if not m.startswith("_"))
    return [m for m in public if TESTED_BY.get(m, f"test_{m}") not in tests]


def test_every_public_module_has_a_test():
    tests = {p.stem for p in Path(__file__).parent.rglob("test_*.py")}
    assert without_a_test([p.stem for p in FILES], tests) == []


def test_the_search_for_untested_modules_can_fail():
    assert without_a_test(["game", "_private", "untested"], {"test_game"}) == ["untested"]
