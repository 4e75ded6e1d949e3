"""Table, JSON, maps and picture."""

import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from xai_ext.study import compare, output
from xai_ext.study._score import Score


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
    (target,) = content["targets"]
    assert target["name"] in ("ant", "bee", "cow", "dog")
    row = next(m for m in content["methods"] if m["name"] == "captum.Lime")
    srg = row["metrics"]["srg"]
    assert srg["n"] == len(srg["values"]) == row["runs"] == 3
    assert srg["mean"] == pytest.approx(np.mean(srg["values"]))
    assert srg["sd"] == pytest.approx(np.std(srg["values"], ddof=1))
    assert (srg["score"], srg["baseline"]) == ("as_returned", "zero")
    assert row["metrics"]["pointing_game"]["chance"] == pytest.approx(result.scene.truth.mean())
    assert len(content["config_hash"]) == 16
    assert content["verdict"][0]["sentences"] == result.verdict
    assert [m["name"] for m in content["methods"]] == [s.name for s in result.scores]
    assert content["versions"]["captum"].startswith("0.9")
    with np.load(paths[1], allow_pickle=False) as maps:
        for name, values in result.maps.items():
            np.testing.assert_array_equal(maps[name], values)
        assert maps["image"].shape == (32, 32, 3)
        assert maps["truth"].dtype == bool
    assert content["agreement"][0]["methods"] == list(result.agreement.names)
    assert [p.name for p in paths[4:]] == ["metrics.csv", "agreement.csv", "report.html"]
    for path in paths[2:4]:
        with Image.open(path) as picture:
            assert picture.width > 500


@pytest.mark.parametrize(("sort", "sign"), [("deletion", 1), ("iou", -1)])
def test_another_column_can_order_it(result, sort, sign):
    lines = output.table(result, sort).splitlines()
    named = [line.split()[0] for line in lines[2 : 2 + len(result.scores)]]
    assert named == [s.name for s in sorted(result.scores, key=lambda s: sign * s.metrics[sort])]
    assert output.table(result, "name").splitlines()[2].startswith("axis_aligned_owen")


def test_every_further_target_has_a_folder(tmp_path):
    found = compare(model="tests.tiny_models:conv", methods="center,random", target="top2", budget=40)
    paths = output.save(found, tmp_path, report=False)
    assert (tmp_path / found.further[0].scene.target_name / "figure.png") in paths
    assert len(output.as_json(found)["methods"]) == 4
    assert output.table(found).count("agreement  seed floor") == 2


def test_random_weights_are_said_in_the_heading(result):
    random = replace(result, config=replace(result.config, model="torchvision:resnet50@none"))
    assert "(random weights)" in output._headline(random)


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
    output.check_folder(tmp_path, force=True)
    (tmp_path / "result.json").write_text("{}")
    output.check_folder(tmp_path)


def test_what_is_undefined_is_a_dash():
    score = Score("a", "xai_ext", "pixels", "ok", metrics={"gini": float("nan"), "srg": 0.5}, std_errors={"gini": 0.0})
    assert [output._cell(score, name) for name in ("gini", "srg", "iou")] == ["-", "0.50", ""]


def test_what_is_saved_does_not_tell_where_files_lie(result, tmp_path):
    told = replace(
        result, config=replace(result.config, image="/home/somebody/photo.png", baseline="image:/home/somebody/x.png")
    )
    output.save(told, tmp_path)
    for path in tmp_path.glob("*.*"):
        assert b"somebody" not in path.read_bytes(), path.name
    assert json.loads((tmp_path / "result.json").read_text())["config"]["image"] == "photo.png"
