"""The commands on data sets, in this process; exit codes are the command's own."""

import json

import pytest
from typer.testing import CliRunner

from tests.study.bench_runs import write_images, write_white
from xai_ext.cli import app
from xai_ext.study.bench import BenchRun

pytest.importorskip("pyarrow")
SMALL = (
    "--methods center,random --repeats 2 --budget 20 --segments grid:4x4 --metric-steps 3 --batch-size 4 "
    "--agreement spearman --progress none --no-report"
).split()
TINY = ["--model", "tests.study.small_models:tiny"]


def said(*arguments):
    result = CliRunner().invoke(app, [*arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.output


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    root = tmp_path_factory.mktemp("cli")
    data = write_images(root / "photos", 3)
    arguments = [
        "bench",
        f"mine={data}",
        "--out",
        str(root / "run"),
        "--model",
        "tests.study.small_models:tiny",
        *SMALL,
    ]
    return root / "run", arguments, said(*arguments)


def test_bench_says_what_it_found(run):
    _, arguments, (code, text) = run
    assert code == 0
    assert "3 of 3 images, 9 of 9 units; 0 failed, 0 quarantined" in text
    assert "agreement is spearman" in text
    assert said(*arguments) == (code, text)


def test_status_verify_and_query(run):
    folder, _, _ = run
    code, text = said("status", str(folder))
    assert code == 0
    assert "images_done    3" in text
    assert said("verify", str(folder)) == (0, "every part is as it was written\n")
    pytest.importorskip("duckdb")
    code, text = said("query", str(folder), "select count(*) as n from results where metric = 'cost'", "--csv")
    assert (code, text) == (0, "n\n9\n")
    with pytest.raises(ValueError, match="the query failed"):
        said("query", str(folder), "select nothing")


def test_a_report_of_half_a_run_needs_force(run, tmp_path):
    _, arguments, _ = run
    half = [str(tmp_path / "half") if a == str(run[0]) else a for a in arguments]
    said(*half, "--shard", "1/1", "--limit", "3")
    part = next((tmp_path / "half" / "parts").iterdir())
    part.write_bytes(part.read_bytes()[:-1])
    assert said("verify", str(tmp_path / "half")) == (3, f"damaged: {part.name}\n")
    with pytest.raises(ValueError, match="0 of 3 images are finished; fix: continue the run, or --force"):
        said("report", str(tmp_path / "half"), "--out", str(tmp_path / "report.html"))


def test_another_configuration_is_exit_code_5(run):
    with pytest.raises(ValueError, match="another budget;") as error:
        said(*run[1], "--budget", "30")
    assert error.value.exit_code == 5


def test_failed_units_are_exit_code_3(tmp_path):
    data = write_images(tmp_path / "a", 2)
    write_white(data / "white.png")
    code, text = said("bench", str(data), "--out", str(tmp_path / "run"), "--model", "tests.study.small_models:picky",
                      *SMALL)  # fmt: skip
    assert code == 3
    assert "3 failed" in text


def test_columns_need_a_name(tmp_path):
    with pytest.raises(ValueError, match="columns must be NAME=COLUMN"):
        said("bench", "photos", "--out", str(tmp_path), "--columns", "label")


def test_doctor_names_what_is_missing(monkeypatch):
    from xai_ext.study import _doctor

    monkeypatch.setattr(_doctor, "_OPTIONAL", {"no-such-package": ("no_such_package", "maps"), "numpy": ("numpy", "x")})
    code, text = said("doctor")
    assert code == 0
    assert 'not installed; pip install "xai-ext[maps]"' in text
    assert "captum" in text


CONFIG = """
[bench]
data = ["mine={data}"]
models = "tests.study.small_models:tiny"
methods = "center,random"
repeats = 2
budget = {budget}
segments = "grid:4x4"
metric_steps = 3
batch_size = 4
agreement = ["spearman"]
"""


def test_a_file_holds_the_same_options_and_what_is_typed_goes_first(run, tmp_path):
    folder, _, first = run
    file, data = tmp_path / "run.toml", folder.parent / "photos"
    arguments = ["bench", "--config", str(file), "--allow-import", "--no-report", "--out", str(folder)]
    file.write_text(CONFIG.format(data=data, budget=20))
    assert said(*arguments) == first
    file.write_text(CONFIG.format(data=data, budget=30))
    with pytest.raises(ValueError, match="another budget;"):
        said(*arguments)
    assert said(*arguments, "--budget", "20") == first


def test_a_file_names_code_only_with_permission(run, tmp_path):
    file = tmp_path / "run.toml"
    file.write_text(CONFIG.format(data=run[0].parent / "photos", budget=20))
    with pytest.raises(ValueError, match="names code to run"):
        said("bench", "--config", str(file), "--out", str(run[0]))


class TestBeforeAndAfterARun:
    ASKED = ("--methods", "center,captum.Saliency,captum.FeatureAblation,captum.KernelShap", "--target", "top2")

    @staticmethod
    def out(text):
        """What was said on stdout alone."""
        result = CliRunner().invoke(app, text)
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result.exit_code, result.stdout

    def asked(self, tmp_path, name):
        data = write_images(tmp_path / "photos", 2)
        return ["bench", str(data), "--out", str(tmp_path / name), *TINY, *SMALL, *self.ASKED]

    def test_a_dry_run_counts_what_a_run_evaluates(self, tmp_path):
        arguments = self.asked(tmp_path, "run")
        code, text = self.out([*arguments, "--dry-run"])
        assert code == 0
        assert not (tmp_path / "run").exists()
        assert "2 images x 2 targets" in text
        said(*arguments)
        both = [BenchRun(tmp_path / "run", target_rank=rank).table() for rank in (1, 2)]
        counted = sum(t[t.metric.isin(["cost", "metric_rows"])].value.sum() for t in both)
        assert int(text.split(" evaluations")[0].split()[-1]) == counted
        runs = {line.split()[0]: int(line.split()[1]) for line in text.splitlines()[:-1]}
        assert runs == {"center": 4, "captum.Saliency": 4, "captum.FeatureAblation": 4, "captum.KernelShap": 8}

    def test_printed_options_are_the_same_run(self, tmp_path):
        arguments = self.asked(tmp_path, "run")
        _, text = self.out([*arguments, "--print-config"])
        assert not (tmp_path / "run").exists()
        (tmp_path / "run.toml").write_text(text)
        said(*arguments)
        again = ["bench", "--config", str(tmp_path / "run.toml"), "--out", str(tmp_path / "again"), "--no-report"]
        said(*again, "--allow-import")
        found = [BenchRun(tmp_path / name).manifest["config_hash"] for name in ("run", "again")]
        assert found[0] == found[1]

    def test_json_is_alone_and_whole(self, tmp_path):
        code, text = self.out([*self.asked(tmp_path, "run"), "--json"])
        found = json.loads(text)
        assert code == found["exit_code"] == 0
        assert found["status"]["units_done"] == 20
        again = json.loads(BenchRun(tmp_path / "run").disagreement().to_json())
        assert found["disagreement"] == again

    def test_each_target_has_a_report(self, tmp_path):
        arguments = [a for a in self.asked(tmp_path, "run") if a != "--no-report"]
        _, text = said(*arguments)
        first, second = (tmp_path / "run" / name for name in ("report.html", "report-target-2.html"))
        assert f"wrote {first}, {second}" in text
        assert "Explained: target 1 of 2 of each image." in first.read_text()
        assert "Explained: target 2 of 2 of each image." in second.read_text()
        assert said("report", str(tmp_path / "run"), "--target-rank", "2", "--out", str(tmp_path / "two.html"))[0] == 0
        assert (tmp_path / "two.html").read_bytes() == second.read_bytes()
