"""Our own methods pass the battery; the battery's own manners."""

import json
import os
import warnings

import numpy as np
import pytest
import torch

from tests.testing.discovery import is_method, methods
from xai_ext.testing import attribution_cases, check_attribution, load_expected, parametrize_with_checks
from xai_ext.testing._case import CHECKS
from xai_ext.testing._state import generators
from xai_ext.testing._twins import OcclusionTwin, Twin
from xai_ext.testing.battery import run_check, subject_of

METHODS = methods()


def profile_of(name):
    """The numbers behind other classes and functions are those of Captum's classes, whose statistics are repeated more.

    XAI_EXT_BATTERY=full python -m pytest tests/testing repeats everything in full, and adds checks in subprocesses.
    """
    return os.environ.get("XAI_EXT_BATTERY") or ("default" if name.startswith("xai_ext.attr") else "fast")


def cases():
    for name, method in METHODS.items():
        for check, case in attribution_cases(method, profile=profile_of(name)):
            yield pytest.param(case, id=f"{name}-{check}")


@pytest.mark.parametrize("case", list(cases()))
def test_our_method_keeps_the_promise(case):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of windows and penalties at the small budgets of the checks
        case()


def test_methods_are_found_in_every_host():
    hosts = {name.split(".")[1].split(":")[0] for name in METHODS}
    assert hosts == {"attr", "explainers", "lime_image", "methods"}
    assert not is_method(int)
    assert is_method(Twin)


def status(check, subject):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return run_check(CHECKS[check], subject, "fast", ()).status


def test_the_order_of_checks_is_irrelevant():
    names = ["global_rng", "process_state", "grad_state", "same_seed", "shape_dtype", "hooks"]
    subject = subject_of(Twin)
    forward = [status(n, subject) for n in names]
    assert [status(n, subject) for n in reversed(names)] == forward[::-1]


def test_a_check_puts_back_what_a_method_changed():
    class Seeds(Twin):
        def attribute(self, *args, **kwargs):
            np.random.seed(3)
            torch.set_grad_enabled(False)
            warnings.simplefilter("ignore")
            return super().attribute(*args, **kwargs)

    states, filters = generators(), list(warnings.filters)
    assert run_check(CHECKS["shape_dtype"], subject_of(Seeds), "fast", ()).status == "passed"
    assert generators() == states
    assert torch.is_grad_enabled()
    assert warnings.filters == filters


def test_an_expected_failure_is_strict():
    report = check_attribution(
        OcclusionTwin, profile="fast", on_fail=None, expected_failures={"sizes": "will pass", "quiet": "too"},
        skip=[name for name in CHECKS if name not in ("sizes", "quiet")],
    )  # fmt: skip
    assert {r.id for r in report.failed} == {"sizes", "quiet"}
    with pytest.raises(ValueError, match="needs a reason for sizes"):
        check_attribution(Twin, expected_failures={"sizes": " "})
    with pytest.raises(ValueError, match="did you mean 'sizes'"):
        check_attribution(Twin, skip=["size"])


def test_a_failure_says_the_promise_and_how_to_repeat_it():
    class Loud(Twin):
        def attribute(self, *args, **kwargs):
            print("working")
            return super().attribute(*args, **kwargs)

    others = [name for name in CHECKS if name != "quiet"]
    with pytest.raises(AssertionError, match=r"prints nothing.*\n.*--only quiet"):
        check_attribution(Loud, skip=others)
    with pytest.warns(UserWarning, match="fails quiet"):
        check_attribution(Loud, skip=others, on_fail="warn")
    (case,) = [c for name, c in attribution_cases(Loud) if name == "quiet"]
    with pytest.raises(AssertionError, match="printed 'working"):
        case()


def test_a_report_reads_as_a_table_and_as_json():
    report = check_attribution(OcclusionTwin, profile="fast", skip=[n for n in CHECKS if n != "linear_closed_form"])
    content = json.loads(report.to_json())
    assert content["totals"]["passed"] == 1
    assert content["versions"]["torch"]
    (row,) = [r for r in content["results"] if r["id"] == "linear_closed_form"]
    assert row["measured"] <= row["tolerance"]
    assert "std_error" in content["not_claimed"]
    assert "linear_closed_form" in report.table()
    assert "Not claimed: complete" in report.summary()


def test_a_class_that_cannot_be_built_names_make():
    class Needy(Twin):
        def __init__(self, forward_func, other):
            super().__init__(forward_func)

    result = run_check(CHECKS["shape_dtype"], subject_of(Needy), "fast", ())
    assert "make=" in result.reason
    ready = subject_of(Needy, make=lambda f: Needy(f, 1))
    assert run_check(CHECKS["shape_dtype"], ready, "fast", ()).status == "passed"


def test_a_check_that_hangs_is_stopped(monkeypatch):
    class Slow(Twin):
        def attribute(self, *args, **kwargs):
            while True:
                pass

    monkeypatch.setattr("xai_ext.testing._running.TIME_LIMIT", 0.3)
    result = run_check(CHECKS["shape_dtype"], subject_of(Slow), "fast", ())
    assert result.status == "failed"
    assert "time limit" in result.reason


def test_expected_failures_are_read_from_toml(tmp_path):
    path = tmp_path / "expected.toml"
    path.write_text('["captum.attr:Lime"]\ntrain_mode_buffers = "statistics move"\n')
    assert load_expected(path) == {"captum.attr:Lime": {"train_mode_buffers": "statistics move"}}
    path.write_text('["captum.attr:Lime"]\ntrain_mode = "statistics move"\n')
    with pytest.raises(ValueError, match="a check must be one of"):
        load_expected(path)


def plain(forward, inputs, target, *, n_samples=40, seed=0):
    """A method that is only a function: leave-one-pixel-out of the mean over channels."""
    del seed, n_samples
    with torch.no_grad():
        full = forward(inputs)[:, target]
    result = torch.zeros_like(inputs)
    for i in range(inputs.shape[2]):
        for j in range(inputs.shape[3]):
            without = inputs.clone()
            without[:, :, i, j] = 0.3
            with torch.no_grad():
                result[:, :, i, j] = ((full - forward(without)[:, target]) / inputs.shape[1])[:, None]
    return result


def test_a_plain_function_is_checked():
    tags = {"draws": False, "seed": None, "budget": None}
    report = check_attribution(
        plain, tags=tags, on_fail=None, profile="fast",
        skip=["nonfinite_output", "train_mode_buffers", "after_exception", "sizes"],
    )  # fmt: skip
    assert [(r.id, r.reason) for r in report.failed] == []


@parametrize_with_checks(
    [OcclusionTwin], profile="fast", skip=[n for n in CHECKS if n not in ("shape_dtype", "history", "planted")]
)
def test_the_decorator_gives_one_test_per_check(case):
    case()
