"""The command, as a user types it."""

import json
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from tests.study.test_inputs import png_of
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
        assert sorted(p.name for p in out.iterdir()) == ["disagreement.png", "figure.png", "maps.npz", "result.json"]
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
        assert {k: config[k] for k in options} == options | {"mask": str(mask)}
        assert config["image"] == str(photo)

    def test_a_failed_method_is_exit_code_3(self, monkeypatch, tmp_path, capsys):
        flags = ["--model", "tests.tiny_models:opaque", "--methods", "captum.Saliency,center", "--out", tmp_path / "o"]
        assert run(monkeypatch, "compare", *flags) == 3
        assert "captum.Saliency: RuntimeError" in capsys.readouterr().out


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


def test_the_methods_are_listed(monkeypatch, capsys):
    assert run(monkeypatch, "methods") == 0
    assert "captum.Occlusion" in capsys.readouterr().out


def test_the_command_is_installed_and_helps_without_torch():
    script = "import sys, xai_ext.cli as c; sys.argv = ['xai-ext', '--help']\n"
    script += "try: c.main()\nexcept SystemExit: pass\nassert 'torch' not in sys.modules, 'torch was loaded'"
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert "compare" in result.stdout


@pytest.mark.real_model
def test_the_default_model_and_photo_are_compared_offline(monkeypatch, tmp_path, capsys):
    flags = ["--methods", "ours,captum.Saliency,center", "--budget", "30", "--repeats", "2", "--out", tmp_path / "out"]
    assert run(monkeypatch, "compare", *flags, "--progress", "none") == 0
    assert "espresso" in capsys.readouterr().out
