"""Every check is caught failing by a broken method, and the correct twins pass."""

import warnings

import pytest

from xai_ext.testing._case import CHECKS
from xai_ext.testing._twins import OcclusionTwin, Twin, kernel_shap, occlusion, permutation_shapley
from xai_ext.testing.battery import check_attribution, run_check, subject_of
from xai_ext.testing.mutants import MUTANTS

warnings.filterwarnings("ignore", message="The set_")
FAST = [(m, c) for m in MUTANTS for c in m.caught_by if not CHECKS[c].full_only]
SLOW = [(m, c) for m in MUTANTS for c in m.caught_by if CHECKS[c].full_only]


def named(pairs):
    return [pytest.param(m, c, id=f"{m.name}-{c}".replace(" ", "_")) for m, c in pairs]


def seen(mutant, check, profile):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return run_check(CHECKS[check], subject_of(mutant.cls, tags=mutant.tags), profile, ())


@pytest.mark.parametrize(("mutant", "check"), named(FAST))
def test_a_broken_method_is_caught(mutant, check):
    result = seen(mutant, check, "fast")
    assert result.status == "failed"
    assert result.reason


@pytest.mark.slow
@pytest.mark.parametrize(("mutant", "check"), named(SLOW))
def test_a_broken_method_is_caught_in_a_process_of_its_own(mutant, check):
    assert seen(mutant, check, "full").status == "failed"


def test_every_check_is_caught_failing_by_some_mutant():
    assert set(CHECKS) == {check for mutant in MUTANTS for check in mutant.caught_by}
    assert len(MUTANTS) >= 60


@pytest.mark.parametrize("twin", [Twin, OcclusionTwin, permutation_shapley, kernel_shap, occlusion])
def test_the_unbroken_twins_pass_everything(twin):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # the numbers of Twin are those of permutation_shapley: their statistics are checked once
        skip = ["std_error", "converges"] if twin is permutation_shapley else []
        report = check_attribution(twin, on_fail=None, profile="fast", skip=skip)
    assert [(r.id, r.reason) for r in report.failed] == []


@pytest.mark.parametrize(
    ("tags", "check"),
    [
        ({"draws": False}, "tags"),
        ({"batch": None, "budget": "return_input_shape"}, "tags"),
        ({"complete": "always"}, "tags"),
    ],
)
def test_a_lying_tag_is_reported(tags, check):
    method = OcclusionTwin if "complete" in tags else Twin
    assert run_check(CHECKS[check], subject_of(method, tags=tags), "fast", ()).status == "failed"
