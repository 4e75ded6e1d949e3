"""``xai-ext check``: exit codes, JSON alone on standard output, a stranger's package."""

import json
import subprocess
import sys

import pytest

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
    def attribute(self, inputs, *args, **kwargs):
        return -super().attribute(inputs, *args, **kwargs)
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
def test_what_the_user_can_mend_exits_2_in_one_line(package, arguments, said):
    result = run(package, *arguments)
    assert result.returncode == 2
    assert said in result.stderr
    assert "Traceback" not in result.stderr


def test_an_expected_failure_that_fails_exits_0(package):
    path = package / "expected.toml"
    path.write_text('["stranger:Broken"]\nlinear_closed_form = "the sign is another"\n')
    chosen = ["--only", "linear_closed_form,history", "--expected", str(path), "--profile", "fast"]
    assert run(package, "stranger:Broken", *chosen).returncode == 0
    path.write_text('["stranger:Broken"]\nhistory = "will pass"\n')
    assert run(package, "stranger:Broken", *chosen).returncode == 3


def test_the_list_imports_no_method(package):
    result = run(package, "--list")
    assert result.returncode == 0
    assert "shape_dtype" in result.stdout
    assert "On a linear model each player gets w (x - b)." in result.stdout


def collected(folder, *arguments):
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *arguments, str(folder)]
    return subprocess.run(command, capture_output=True, text=True, cwd=folder, check=False)


def test_pytest_collects_one_case_per_check(package):
    result = collected(package, "-q", "--collect-only")
    assert "test_contract[Ablation-linear_closed_form]" in result.stdout
    assert result.stdout.count("test_contract[Ablation-") > 25


def test_the_cases_pass_in_any_order_on_two_workers(package):
    result = collected(package, "-q", "-n", "2", "-k", "linear_closed_form or history or relabel or hooks")
    assert "4 passed" in result.stdout, result.stdout
