"""``xai-ext check``: exit codes, JSON alone on standard output, a stranger's package."""

import json
import subprocess
import sys

import pytest

STRANGER = '''
import torch

class Ablation:
    """What the score loses without each region, in thirty lines outside of the package."""

    __attribution_tags__ = {"draws": False, "estimand": "occlusion", "additive_exact": True, "seed": None}

    def __init__(self, forward_func):
        self.forward_func = forward_func

    def attribute(self, inputs, baselines=0.0, target=None, feature_mask=None):
        if inputs.shape[0] == 0:
            raise ValueError("inputs hold no example")
        with torch.no_grad():
            full = self.forward_func(inputs)[:, target]
            result = torch.zeros_like(inputs, memory_format=torch.contiguous_format)
            for player in feature_mask.unique():
                gone = (feature_mask == player).expand_as(inputs)
                without = torch.where(gone, torch.as_tensor(baselines, dtype=inputs.dtype), inputs)
                drop = full - self.forward_func(without)[:, target]
                result = torch.where(gone, drop.reshape(-1, 1, 1, 1).to(result.dtype), result)
        return result

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
CHECKS = "shape_dtype,linear_closed_form,relabel,history,same_seed,hooks"


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
    result = run(package, "stranger:Ablation", "--only", CHECKS, "--json", "--profile", "fast")
    assert result.returncode == 0, result.stderr
    content = json.loads(result.stdout)
    assert content["subject"] == "stranger:Ablation"
    assert content["totals"]["passed"] == len(CHECKS.split(","))


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


def test_pytest_collects_one_case_per_check(package):
    command = [sys.executable, "-m", "pytest", "-q", "--collect-only", "-p", "no:cacheprovider", str(package)]
    result = subprocess.run(command, capture_output=True, text=True, cwd=package, check=False)
    assert "test_contract[Ablation-linear_closed_form]" in result.stdout
    assert result.stdout.count("test_contract[Ablation-") > 25
