"""``xai-ext check``: exit codes, JSON alone on standard output, a stranger's package."""

import json
import subprocess
import sys
from importlib import import_module

import pytest

from xai_ext import cli
from xai_ext.testing import parametrize_with_checks

STRANGER = '''
import torch
from torch import Tensor


def require(name, fits):
    if not fits:
        raise ValueError(f"{name} does not fit")


class Ablation:
    """What the score loses without each region, outside of the package."""

    __attribution_tags__ = {"draws": False, "estimand": "occlusion", "additive_exact": True, "seed": None}

    def __init__(self, forward_func):
        self.forward_func = forward_func

    @torch.no_grad()
    def attribute(self, inputs, baselines=0.0, target=None, feature_mask=None):
        require("inputs", isinstance(inputs, Tensor) and inputs.dim() == 4 and len(inputs))
        require("target", not isinstance(target, str))
        target = None if target is None else torch.as_tensor(target)
        require("target", target is None or target.numel() in (1, len(inputs)))
        require("baselines", isinstance(baselines, float | int | Tensor))
        base = torch.as_tensor(baselines, dtype=inputs.dtype)
        require("baselines", base.dim() == 0 or base.shape[-2:] == inputs.shape[-2:])
        require("feature_mask", isinstance(feature_mask, Tensor) and feature_mask.dtype == torch.int64)
        require("feature_mask", feature_mask.shape[-2:] == inputs.shape[-2:])
        buffers = list(self.forward_func.buffers()) if isinstance(self.forward_func, torch.nn.Module) else []
        saved = [buffer.clone() for buffer in buffers]
        try:
            return self.drops(inputs, base, target, feature_mask)
        finally:
            for buffer, content in zip(buffers, saved):
                buffer.copy_(content)

    def drops(self, inputs, base, target, mask):
        full = self.scores(inputs, target, 0)
        result = torch.zeros_like(inputs, memory_format=torch.contiguous_format)
        for i, player in enumerate(mask.unique(), 1):
            gone = (mask == player).expand_as(inputs)
            drop = full - self.scores(torch.where(gone, base, inputs), target, i * len(inputs))
            result = torch.where(gone, drop.reshape(-1, 1, 1, 1).to(result.dtype), result)
        return result

    def scores(self, images, target, evaluation):
        found = self.forward_func(images)
        if target is not None:
            require("target", found.dim() == 2 and ((target >= 0) & (target < found.shape[1])).all())
            found = found[range(len(found)), target.expand(len(found))]
        bad = (~found.isfinite()).nonzero().flatten().tolist()
        require(f"NaN or infinity of evaluation {evaluation + bad[0]}" if bad else "", not bad)
        return found


class Broken(Ablation):
    def drops(self, *arguments):
        return -super().drops(*arguments)
'''
TEST = """
from stranger import Ablation
from xai_ext.testing import parametrize_with_checks

@parametrize_with_checks([Ablation])
def test_contract(case):
    case()
"""
CHECKS = "linear_closed_form,history"


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stranger")
    (folder / "stranger.py").write_text(STRANGER)
    (folder / "test_stranger.py").write_text(TEST)
    return folder


def said_by(monkeypatch, capsys, *arguments):
    """Exit code, standard output and standard error, without a process of its own."""
    monkeypatch.setattr(sys, "argv", ["xai-ext", "check", *arguments])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    return stop.value.code or 0, *capsys.readouterr()


def run(folder, *arguments):
    command = [sys.executable, "-m", "xai_ext.cli", "check", *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=folder, check=False)


def test_a_stranger_that_keeps_its_promises_exits_0_with_json_alone(package):
    result = run(package, "stranger:Ablation", "--json", "--profile", "fast")  # every check
    assert result.returncode == 0, result.stdout
    content = json.loads(result.stdout)
    assert content["subject"] == "stranger:Ablation"
    assert content["totals"]["passed"] > 30


def test_its_broken_twin_exits_3_and_names_the_check(package):
    result = run(package, "stranger:Broken", "--only", CHECKS, "--profile", "fast")
    assert result.returncode == 3
    assert "failed             correctness       linear_closed_form" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["stranger:Missing"], "cannot be imported"),
        (["stranger"], "expected MODULE:CLASS"),
        (["stranger:Ablation", "--profile", "slow"], "profile must be one of"),
        (["stranger:Ablation", "--tags", "drawz=1"], "a tag must be one of"),
        ([], "name what is to be checked"),
    ],
)
def test_what_the_user_can_mend_exits_2_in_one_line(package, monkeypatch, capsys, arguments, said):
    monkeypatch.syspath_prepend(package)
    code, _, text = said_by(monkeypatch, capsys, *arguments)
    assert code == 2
    assert said in text
    assert "Traceback" not in text


def test_an_expected_failure_that_fails_exits_0(package, monkeypatch, capsys):
    monkeypatch.syspath_prepend(package)
    path = package / "expected.toml"
    path.write_text('["stranger:Broken"]\nlinear_closed_form = "the sign is another"\n')
    chosen = ["--only", "linear_closed_form,history", "--expected", str(path), "--profile", "fast"]
    assert said_by(monkeypatch, capsys, "stranger:Broken", *chosen)[0] == 0
    path.write_text('["stranger:Broken"]\nhistory = "will pass"\n')
    assert said_by(monkeypatch, capsys, "stranger:Broken", *chosen)[0] == 3


def test_the_list_imports_no_method(monkeypatch, capsys):
    code, text, _ = said_by(monkeypatch, capsys, "--list")
    assert code == 0
    assert "shape_dtype" in text
    assert "On a linear model each player gets w (x - b)." in text


def test_there_is_one_case_per_check(package, monkeypatch):
    monkeypatch.syspath_prepend(package)
    cases = parametrize_with_checks([import_module("stranger").Ablation]).args[1]
    assert "Ablation-linear_closed_form" in {case.id for case in cases}
    assert len({case.id for case in cases}) == len(cases) > 25


def test_pytest_runs_the_cases_on_two_workers(package):
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q", "-n", "2"]
    chosen = ["-k", "linear_closed_form or history or relabel or hooks", str(package)]
    result = subprocess.run(command + chosen, capture_output=True, text=True, cwd=package, check=False)
    assert "4 passed" in result.stdout, result.stdout
