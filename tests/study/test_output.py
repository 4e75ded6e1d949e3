"""Table, JSON, maps and picture."""

import json

import numpy as np
import pytest
from PIL import Image

from xai_ext.study import compare, output
from xai_ext.study.compare import Score


@pytest.fixture(scope="module")
def result():
    return compare(
        model="tests.tiny_models:conv", methods="ours,captum.Lime,captum.LayerGradCam,random,center", budget=40,
        segments="grid:4x4",
    )  # fmt: skip


def test_the_table_has_a_line_per_method_best_first(result):
    lines = output.table(result).splitlines()
    named = [line.split()[0] for line in lines[2 : 2 + len(result.scores)]]
    order = sorted(result.scores, key=lambda s: -s.metrics["srg"])
    assert named == [score.name for score in order]
    assert all(word in lines[0] for word in ("evals", "model s", "other s", "deletion", "insertion", "IoU", "pointing"))
    assert len({len(line.rstrip()) for line in lines[:1]}) == 1


def test_agreement_is_printed_beside_the_floor(result):
    lines = output.table(result).splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("agreement"))
    rows = [line.split() for line in lines[start + 2 : start + 2 + len(result.scores)]]
    assert [row[1] for row in rows] == list(result.agreement.names)
    for row, floor, values in zip(rows, result.agreement.floor, result.agreement.matrix, strict=True):
        assert row[2:] == ["-" if np.isnan(v) else f"{v:.2f}" for v in (floor, *values)]


def test_unsupported_methods_say_why():
    result = compare(model="tests.tiny_models:scalar", methods="captum.LayerGradCam,center", budget=40)
    assert "captum.LayerGradCam: the model has no layer" in output.table(result)


def test_what_is_saved_can_be_read_again(result, tmp_path):
    paths = output.save(result, tmp_path / "new" / "folder")
    content = json.loads(paths[0].read_text())
    assert content["config"]["budget"] == 40
    assert content["target"]["name"] in ("ant", "bee", "cow", "dog")
    assert [m["name"] for m in content["methods"]] == [s.name for s in result.scores]
    assert content["versions"]["captum"].startswith("0.9")
    with np.load(paths[1], allow_pickle=False) as maps:
        for name, values in result.maps.items():
            np.testing.assert_array_equal(maps[name], values)
        assert maps["image"].shape == (32, 32, 3)
        assert maps["truth"].dtype == bool
    assert content["agreement"]["methods"] == list(result.agreement.names)
    for path in paths[2:]:
        with Image.open(path) as picture:
            assert picture.width > 500


def test_nan_becomes_null():
    assert output._nullified({"a": float("nan"), "b": {"c": float("inf"), "d": 1.0}}) == {
        "a": None, "b": {"c": None, "d": 1.0},
    }  # fmt: skip


def test_a_folder_with_something_else_is_not_written_into(tmp_path):
    output.check_folder(tmp_path)
    output.check_folder(tmp_path / "new")
    (tmp_path / "thesis.tex").write_text("precious")
    with pytest.raises(ValueError, match="holds something else"):
        output.check_folder(tmp_path)
    with pytest.raises(ValueError, match="not a folder"):
        output.check_folder(tmp_path / "thesis.tex")
    (tmp_path / "results.json").write_text("{}")
    output.check_folder(tmp_path)


def test_what_is_undefined_is_a_dash():
    score = Score("a", "xai_ext", "pixels", "ok", metrics={"gini": float("nan"), "srg": 0.5}, std_errors={"gini": 0.0})
    assert [output._cell(score, name) for name in ("gini", "srg", "iou")] == ["-", "0.50", ""]
