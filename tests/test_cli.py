"""The command, as a user types it."""

import errno
import json
import signal
import subprocess
import sys
import time
import tomllib

import numpy as np
import pytest
from PIL import Image

from tests.study.test_inputs import png_of
from tests.tiny_models import conv
from xai_ext import cli

FAST = ["--model", "tests.tiny_models:conv", "--methods", "ours,center", "--budget", "20", "--progress", "none"]


def run(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["xai-ext", *map(str, arguments)])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    return stop.value.code or 0


class TestCompare:
    def test_it_prints_the_table_and_writes_figure_numbers_and_maps(self, monkeypatch, tmp_path, capsys):
        out = tmp_path / "out"
        assert run(monkeypatch, "compare", *FAST, "--out", out) == 0
        printed = capsys.readouterr().out
        assert "stratified_lime" in printed
        assert "deletion" in printed
        assert sorted(p.name for p in out.iterdir()) == [
            "agreement.csv", "disagreement.png", "figure.png", "maps.npz", "metrics.csv", "report.html", "result.json",
        ]  # fmt: skip
        assert run(monkeypatch, "compare", *FAST, "--out", out) == 0  # its own folder may be written again

    def test_every_option_arrives(self, monkeypatch, tmp_path):
        photo, mask = tmp_path / "p.jpg", tmp_path / "m.png"
        Image.fromarray(np.random.default_rng(0).integers(0, 255, (50, 60, 3), np.uint8)).save(photo)
        Image.new("L", (60, 50), 255).save(mask)
        options = {
            "target": "cow",
            "baseline": "blur:2",
            "segments": "grid:3x3",
            "mask": mask,
            "layer": "0",
            "seed": 7,
            "repeats": 2,
        }
        flags = [f"--{k}={v}" for k, v in options.items()]
        assert run(monkeypatch, "compare", photo, *FAST, *flags, "--out", tmp_path / "out") == 0
        config = json.loads((tmp_path / "out" / "result.json").read_text())["config"]
        assert {k: config[k] for k in options} == options | {"mask": "m.png"}
        assert config["image"] == "p.jpg"

    def test_a_failed_method_is_exit_code_3(self, monkeypatch, tmp_path, capsys):
        assert (
            run(monkeypatch, "compare", *FAST, "--methods", "tests.tiny_models:broken,center", "--out", tmp_path) == 3
        )
        assert "broken: RuntimeError: broken" in capsys.readouterr().out

    def test_what_is_unsupported_is_no_failure(self, monkeypatch, tmp_path):
        flags = ["--model", "tests.tiny_models:opaque", "--methods", "captum.Saliency,center", "--out", tmp_path]
        assert run(monkeypatch, "compare", *flags) == 0

    def test_no_map_at_all_is_exit_code_4(self, monkeypatch, tmp_path):
        flags = ["--model", "tests.tiny_models:opaque", "--methods", "captum.Saliency", "--out", tmp_path]
        assert run(monkeypatch, "compare", *flags) == 4

    def test_a_full_disk_is_exit_code_6(self, monkeypatch, tmp_path, capsys):
        def full(*_, **__):
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr("xai_ext.study.output.save", full)
        assert run(monkeypatch, "compare", *FAST, "--out", tmp_path) == 6
        assert "is full" in capsys.readouterr().err

    def test_a_plan_runs_no_method(self, monkeypatch, tmp_path, capsys):
        assert run(monkeypatch, "compare", *FAST, "--dry-run", "--out", tmp_path / "out") == 0
        assert "evaluations at most, about" in capsys.readouterr().out
        assert not (tmp_path / "out").exists()


class TestOptionsOfFiles:
    def printed(self, monkeypatch, capsys, *arguments):
        assert run(monkeypatch, "compare", *arguments, "--print-config") == 0
        return tomllib.loads(capsys.readouterr().out)["compare"]

    def test_typed_goes_before_file_before_quick_before_default(self, monkeypatch, tmp_path, capsys):
        (tmp_path / "c.toml").write_text("[compare]\nbudget = 7\nseed = 3\n")
        found = self.printed(monkeypatch, capsys, "--quick", "--config", tmp_path / "c.toml", "--seed", 5)
        assert {k: found[k] for k in ("budget", "seed", "repeats", "metric_steps", "target")} == {
            "budget": 7, "seed": 5, "repeats": 2, "metric_steps": 14, "target": "top1",
        }  # fmt: skip

    def test_a_typed_default_goes_before_the_file_too(self, monkeypatch, tmp_path, capsys):
        (tmp_path / "c.toml").write_text("[compare]\nbudget = 7\n")
        assert self.printed(monkeypatch, capsys, "--config", tmp_path / "c.toml", "--budget", 500)["budget"] == 500

    def test_code_in_a_file_needs_permission_typed_code_does_not(self, monkeypatch, tmp_path, capsys):
        (tmp_path / "c.toml").write_text('[compare]\nmodel = "tests.tiny_models:conv"\n')
        assert run(monkeypatch, "compare", "--config", tmp_path / "c.toml", "--print-config") == 2
        assert "--allow-import" in capsys.readouterr().err
        self.printed(monkeypatch, capsys, "--config", tmp_path / "c.toml", "--allow-import")
        self.printed(monkeypatch, capsys, "--model", "tests.tiny_models:conv")


def command(*arguments, **options):
    script = "import sys; from xai_ext.cli import main; sys.argv[0] = 'xai-ext'; main()"
    return subprocess.Popen(
        [sys.executable, "-c", script, *map(str, arguments)], text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        **options,
    )  # fmt: skip


class TestJson:
    def alone(self, monkeypatch, capsys, *arguments):
        code = run(monkeypatch, "compare", *arguments, "--json")
        return code, json.loads(capsys.readouterr().out)

    def test_it_is_what_is_written(self, monkeypatch, tmp_path, capsys):
        code, found = self.alone(monkeypatch, capsys, *FAST, "--out", tmp_path)
        assert code == 0
        assert found == json.loads((tmp_path / "result.json").read_text())

    def test_what_others_print_goes_to_stderr(self, monkeypatch, tmp_path, capsys):
        def chatty():
            print("loading ...")
            return conv()

        monkeypatch.setattr("tests.tiny_models.conv", chatty)
        assert self.alone(monkeypatch, capsys, *FAST, "--methods", "center", "--out", tmp_path)[0] == 0

    @pytest.mark.parametrize(
        ("arguments", "code", "error"),
        [
            (["--budget", "3"], 2, "budget must be at least 4"),
            (["--bugdet", "3"], 2, "see stderr"),
            (["--methods", "tests.tiny_models:broken,center"], 3, None),
            (["--model", "tests.tiny_models:opaque", "--methods", "captum.Saliency"], 4, None),
        ],
    )
    def test_also_when_it_fails(self, monkeypatch, tmp_path, capsys, arguments, code, error):
        found, content = self.alone(monkeypatch, capsys, *FAST, *arguments, "--out", tmp_path)
        assert found == code
        assert error is None or error in content["error"]

    def test_also_for_a_bug_which_is_exit_code_1(self, monkeypatch, tmp_path, capsys):
        def broken(*_, **__):
            raise RuntimeError("a bug")

        monkeypatch.setattr("xai_ext.study.compare", broken)
        monkeypatch.setattr(sys, "argv", ["xai-ext", "compare", *FAST, "--json", "--out", str(tmp_path)])
        with pytest.raises(RuntimeError, match="a bug"):
            cli.main()
        assert json.loads(capsys.readouterr().out) == {"error": "a bug", "exit_code": 1}


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_keeps_what_is_finished(tmp_path, number, code):
    flags = ["--methods", "center,captum.Saliency,tests.tiny_models:slow", "--progress", "plain", "--json"]
    process = command("compare", *FAST, *flags, "--out", tmp_path)
    for line in process.stderr:  # the slow method comes last and never ends
        if line.startswith("what hosts print"):
            break
    process.send_signal(number)
    start = time.perf_counter()
    out, _ = process.communicate(timeout=60)
    assert process.returncode == code
    assert time.perf_counter() - start < 20  # of which nearly all is drawing figures
    found = json.loads(out)
    assert {m["name"]: m["status"] for m in found["methods"]} == {
        "center": "ok", "captum.Saliency": "ok", "slow": "interrupted",
    }  # fmt: skip
    assert found["interrupted"] == number.name
    assert (tmp_path / "figure.png").is_file()


class TestLimeFigures:
    FAST = ("--model", "tests.tiny_models:conv", "--segments", "grid:4x4", "--budget", "50")

    def test_three_photos_without_an_image(self, monkeypatch, tmp_path, capsys):
        assert run(monkeypatch, "compare", "--preset", "lime_figures", *self.FAST, "--out", tmp_path / "out") == 0
        names = ["chelsea.png", "china.png", "coffee.png", "result.json"]
        assert sorted(p.name for p in (tmp_path / "out").iterdir()) == names
        assert "chelsea: 16 superpixels, 50 evaluations" in capsys.readouterr().out

    def test_one_photo_with_an_image(self, monkeypatch, tmp_path):
        assert (
            run(monkeypatch, "compare", "china", "--preset", "lime_figures", *self.FAST, "--out", tmp_path / "o") == 0
        )
        assert sorted(p.name for p in (tmp_path / "o").iterdir()) == ["china.png", "result.json"]

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [(["--preset", "lime_figurse"], "did you mean"), (["--preset", "lime_figures", "--target", "cow"], "--target")],
    )
    def test_what_it_has_no_use_for_is_refused(self, monkeypatch, tmp_path, capsys, arguments, message):
        assert run(monkeypatch, "compare", *arguments, "--out", tmp_path / "out") == 2
        assert message in capsys.readouterr().err


class TestBadInput:
    @pytest.fixture
    def files(self, tmp_path):
        (tmp_path / "text.jpg").write_text("not an image")
        (tmp_path / "huge.png").write_bytes(png_of(20_000, 20_000))
        Image.new("L", (10, 10), 255).save(tmp_path / "mask.png")
        (tmp_path / "full").mkdir()
        (tmp_path / "full" / "file").write_text("x")
        return tmp_path

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["missing.jpg"], "there is no file"),
            (["{0}/text.jpg"], "not an image"),
            (["{0}/huge.png"], "400 megapixels"),
            (["--methods", "captum.Lim"], "did you mean 'captum.Lime'"),
            (["--target", "4"], "between 0 and 3"),
            (["--target", "horse"], "class name"),
            (["--mask", "{0}/mask.png"], "must have the photo's size 600x400"),
            (["--budget", "3"], "budget must be at least 4"),
            (["--baseline", "grey"], "the baseline must be"),
            (["--segments", "many"], "segments must be"),
            (["--layer", "nowhere"], "no layer 'nowhere'"),
            (["--model", "resnet"], "unknown model"),
            (["--model", "tests.tiny_models:missing"], "cannot load"),
            (["--model", "tests.tiny_models:not_a_number"], "the model returned nan"),
            (["--out", "{0}/full"], "holds something else"),
            (["--progress", "much"], "progress must be one of"),
            (["--hosts", "asis"], "did you mean 'as-is'"),
            (["--sort", "sgr"], "did you mean 'srg'"),
            (["--methods", "rise:cels=7"], "did you mean 'cells'"),
            (["--config", "{0}/none.toml"], "there is no file"),
            (["--box", "0,0,9"], "must be x0,y0,x1,y1"),
            (["--box", "0,0,9,1000"], "in the image of 600x400"),
            (["--target", "top9"], "top1 to top4"),
            (["--preset", "iassa_postr"], "did you mean 'iassa_poster'"),
        ],
        ids=lambda v: " ".join(v) if isinstance(v, list) else "",
    )
    def test_one_line_and_exit_code_2(self, monkeypatch, files, capsys, arguments, message):
        given = [a.format(files) for a in arguments]
        if "--out" not in given:
            given += ["--out", str(files / "out")]
        assert run(monkeypatch, "compare", *FAST, *given) == 2
        captured = capsys.readouterr()
        assert message in captured.err
        assert len(captured.err.strip().splitlines()) == 1
        assert captured.err.startswith("xai-ext: ")
        assert not (files / "out").exists()

    def test_an_unknown_option_is_exit_code_2(self, monkeypatch):
        assert run(monkeypatch, "compare", "--bugdet", "3") == 2

    def test_a_bug_is_not_hidden(self, monkeypatch):
        def broken(*_, **__):
            raise RuntimeError("a bug")

        monkeypatch.setattr("xai_ext.study.compare", broken)
        monkeypatch.setattr(sys, "argv", ["xai-ext", "compare", *FAST])
        with pytest.raises(RuntimeError, match="a bug"):
            cli.main()


def test_the_methods_are_listed_with_cost_needs_and_settings(monkeypatch, capsys):
    assert run(monkeypatch, "methods") == 0
    lines = {line.split()[0]: line.split() for line in capsys.readouterr().out.splitlines() if line}
    assert lines["captum.Occlusion"][1:] == ["captum", "windows", "442", "no", "window"]
    assert lines["captum.GuidedGradCam"][1:] == ["captum", "pixels", "gradient,", "layer,", "relu", "6", "no"]
    assert lines["captum.IntegratedGradients"][4] == "498"


def test_the_command_is_installed_and_helps_without_torch():
    script = "import sys, xai_ext.cli as c; sys.argv = ['xai-ext', '--help']\n"
    script += "try: c.main()\nexcept SystemExit: pass\nassert 'torch' not in sys.modules, 'torch was loaded'"
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert "compare" in result.stdout


NOT_NEEDED = {"torch", "captum", "shap", "matplotlib", "numpy"}


def loaded_by_help(prelude):
    script = f"{prelude}; import sys, xai_ext.cli as c; sys.argv = ['xai-ext', 'compare', '--help']\n"
    script += "try: c.main()\nexcept SystemExit: pass\nprint('LOADED', *sys.modules)"
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return {name.partition(".")[0] for name in result.stdout.rpartition("LOADED")[2].split()}


def test_help_loads_nothing_heavy_and_this_test_can_fail():
    assert not loaded_by_help("pass") & NOT_NEEDED
    assert loaded_by_help("import numpy") & NOT_NEEDED == {"numpy"}


NO_SOCKETS = """
import socket, ssl
def refuse(*_, **__):
    raise OSError("no network in this test")
socket.socket = socket.create_connection = socket.getaddrinfo = refuse
"""


@pytest.mark.real_model
def test_the_default_model_and_photo_are_compared_without_a_network(tmp_path):
    script = NO_SOCKETS + "import sys; from xai_ext.cli import main; sys.argv[0] = 'xai-ext'; main()"
    flags = ["--methods", "ours,captum.Saliency,center", "--budget", "30", "--repeats", "2", "--progress", "none"]
    words = [sys.executable, "-c", script, "compare", *flags, "--out", str(tmp_path / "out")]
    result = subprocess.run(words, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert "espresso" in result.stdout
