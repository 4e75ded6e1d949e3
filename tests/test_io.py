"""Hostile files: nothing of theirs runs, nothing is written elsewhere."""

import os
import pickle
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

import xai_ext
from xai_ext._io import UntrustedFileError, load_array, load_config, load_state
from xai_ext.hierarchies import Hierarchy

PACKAGE = Path(xai_ext.__file__).parent


class Payload:
    """Makes a file when it is unpickled."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


@pytest.mark.parametrize("how", ["torch", "pickle"])
def test_a_payload_does_not_run_and_the_error_names_the_fix(tmp_path, how):
    path, mark = tmp_path / "weights.pt", tmp_path / "ran"
    if how == "torch":
        torch.save({"weight": Payload(mark)}, path)
    else:
        path.write_bytes(pickle.dumps({"weight": Payload(mark)}))
    with pytest.raises(UntrustedFileError, match=r"safetensors\.torch\.save_file"):
        load_state(path)
    assert not mark.exists()
    pickle.loads(pickle.dumps(Payload(mark)))  # the payload does work
    assert mark.exists()


@pytest.mark.parametrize("save", [torch.save, save_file], ids=["pt", "safetensors"])
def test_plain_tensors_are_read_whatever_the_suffix(tmp_path, save):
    model = nn.Linear(3, 2)
    save(model.state_dict(), tmp_path / "weights.bin")
    state = load_state(tmp_path / "weights.bin", nn.Linear(3, 2))
    assert torch.equal(state["weight"], model.weight)


@pytest.mark.parametrize("other", [nn.Linear(4, 2), nn.Linear(3, 2).double(), nn.Linear(3, 2, bias=False)])
def test_tensors_that_do_not_fit_the_model_are_refused(tmp_path, other):
    torch.save(nn.Linear(3, 2).state_dict(), tmp_path / "weights.pt")
    with pytest.raises(UntrustedFileError, match="does not fit the model"):
        load_state(tmp_path / "weights.pt", other)


def test_files_that_hold_something_else_are_refused(tmp_path):
    torch.save([torch.ones(1)], tmp_path / "list.pt")
    torch.save({"epoch": 3}, tmp_path / "mixed.pt")
    (tmp_path / "text.pt").write_text("hello")
    for name in ("list.pt", "mixed.pt", "text.pt"):
        with pytest.raises(UntrustedFileError):
            load_state(tmp_path / name)
    with pytest.raises(ValueError, match="there is no file"):
        load_state(tmp_path / "none.pt")
    with pytest.raises(ValueError, match="more than the 10"):
        load_state(tmp_path / "list.pt", max_bytes=10)


def test_arrays_of_objects_and_of_the_wrong_kind_are_refused(tmp_path):
    np.save(tmp_path / "objects.npy", np.array([Payload(tmp_path / "ran")], dtype=object), allow_pickle=True)
    np.save(tmp_path / "nan.npy", np.array([[np.nan]]))
    np.save(tmp_path / "text.npy", np.array([["a"]]))
    np.save(tmp_path / "flat.npy", np.ones(3))
    np.save(tmp_path / "good.npy", np.arange(6).reshape(2, 3))
    for name in ("objects.npy", "nan.npy", "text.npy", "flat.npy"):
        with pytest.raises(ValueError, match=name):
            load_array(tmp_path / name, 2)
    assert not (tmp_path / "ran").exists()
    np.testing.assert_array_equal(load_array(tmp_path / "good.npy", 2), [[0, 1, 2], [3, 4, 5]])
    with pytest.raises(ValueError, match="more than the 80"):
        load_array(tmp_path / "good.npy", 2, max_items=5)


TREES = {
    "an id twice": [[0, 1, 0, 2], [3, 3, 0, 3]],
    "a cycle": [[0, 3, 0, 2], [1, 2, 0, 3]],
    "a negative count": [[0, 1, 0, -2], [3, 2, 0, 3]],
    "a huge id": [[0, 1e12, 0, 2]],
}


@pytest.mark.parametrize("merges", TREES.values(), ids=TREES)
def test_a_tree_that_is_no_tree_is_refused(merges):
    with pytest.raises(ValueError, match="merge"):
        Hierarchy.from_merges(np.array(merges, dtype=float))


def test_settings_are_limited_and_name_nothing_to_import(tmp_path):
    path = tmp_path / "run.toml"
    path.write_text('budget = 3\n[more]\nmodel = "efficientnet_lite0"\n')
    assert load_config(path, ("budget", "more")) == {"budget": 3, "more": {"model": "efficientnet_lite0"}}
    path.write_text('model = "os:system"\n')
    with pytest.raises(ValueError, match="names something to import"):
        load_config(path)
    assert load_config(path, allow_import=True) == {"model": "os:system"}
    path.write_text("budgte = 3\n")
    with pytest.raises(ValueError, match="did you mean 'budget'"):
        load_config(path, ("budget",))
    for name, text, match in (
        ("deep.json", '{"a":' + "[" * 30 + "]" * 30 + "}", "deeper than 8"),
        ("bomb.json", '{"a":' + "[" * 100_000 + "]" * 100_000 + "}", "cannot be read"),
        ("list.json", "[1]", "a table of settings"),
        ("broken.toml", "a = = 1", "cannot be read as toml"),
        ("large.toml", "# " + "x" * 2**20, "more than the 1048576"),
        ("run.yaml", "a: 1", "suffix"),
    ):
        (tmp_path / name).write_text(text)
        with pytest.raises(ValueError, match=match):
            load_config(tmp_path / name)


SHIPPED = {
    "py.typed": "nothing", "testing/builtin_failures.json": "measured", "study/coffee_outline.json": "drawn by us",
    "anomaly/weights/brick.safetensors": "trained on textures that scikit-image brings, CC0",
    "models/imagenet_classes.txt": "names of classes, facts",
}  # fmt: skip


def test_what_ships_beside_code_and_templates_is_known():
    found = {p.relative_to(PACKAGE).as_posix() for p in PACKAGE.rglob("*") if p.is_file()}
    others = {name for name in found if not name.startswith("templates/") and "__pycache__" not in name}
    assert {name for name in others if not name.endswith(".py")} == set(SHIPPED)


FORBIDDEN = {
    "torch.load without weights_only": r"torch\.load\((?!.*weights_only=True)",
    "pickle": r"^\s*(import|from) (pickle|joblib|dill|cloudpickle)\b",
    "yaml": r"yaml\.(unsafe_)?load\(",
    "a shell": r"shell\s*=\s*True|os\.system\(",
    "unescaped HTML": r"\|\s*safe\b|Markup\(",
    "pickled arrays": r"allow_pickle\s*=\s*True",
}
# the battery copies methods by pickle, to processes that it starts itself
EXEMPT = {("pickle", "testing/_life.py"), ("pickle", "testing/_determinism.py")}


def findings(source):
    return [name for name, pattern in FORBIDDEN.items() if re.search(pattern, source, re.MULTILINE)]


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_nothing_dangerous_is_in_the_package(path):
    found = {(name, path.relative_to(PACKAGE).as_posix()) for name in findings(path.read_text())}
    assert found <= EXEMPT


@pytest.mark.parametrize(
    "line",
    ["torch.load(a)", "import pickle", "yaml.load(x)", "run(shell=True)", "{{ a|safe }}", "f(allow_pickle=True)"],
)  # fmt: skip
def test_the_search_for_dangerous_lines_can_fail(line):
    assert findings(line)
