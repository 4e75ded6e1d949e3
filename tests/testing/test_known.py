"""What is known of the built-ins is what they do, in both directions."""

import os
from importlib import import_module

import pytest

from xai_ext.testing import check_attribution, infer_tags
from xai_ext.testing._builtins import BUILTINS
from xai_ext.testing._case import CHECKS
from xai_ext.testing.battery import run_check, subject_of
from xai_ext.testing.known import known_of, measured_failures

TABLE = measured_failures()["methods"]
RACES = {"threads", "no_leak"}  # depend on the machine's load
QUICK = ("shape_dtype", "inputs_unchanged", "mode_flags", "same_seed", "nonfinite_output")


def loaded(name):
    module, _, cls = name.partition(":")
    return getattr(import_module(module), cls)


def statuses(name, checks):
    subject = subject_of(loaded(name))
    return {check: run_check(CHECKS[check], subject, "fast", ()).status for check in checks}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", BUILTINS)
def test_the_table_agrees_with_a_few_quick_checks(name):
    found = {check for check, status in statuses(name, QUICK).items() if status == "failed"}
    assert found == set(TABLE[name]["fails"]) & set(QUICK)


@pytest.mark.slow
@pytest.mark.skipif(os.environ.get("XAI_EXT_BATTERY") != "full", reason="takes minutes; XAI_EXT_BATTERY=full runs it")
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", BUILTINS)
def test_the_whole_table_agrees_with_what_the_built_in_does(name):
    found = {result.id for result in check_attribution(loaded(name), on_fail=None, profile="fast").failed}
    assert found - RACES == set(TABLE[name]["fails"]) - RACES


def test_the_table_covers_every_built_in_with_checks_that_exist():
    assert TABLE.keys() == BUILTINS.keys()
    assert {check for entry in TABLE.values() for check in entry["fails"]} <= set(CHECKS)


def test_what_is_not_known_is_inferred():
    assert known_of(dict) is None
    assert subject_of(loaded("captum.attr._core.occlusion:Occlusion")).kwargs
    assert infer_tags(loaded("captum.attr._core.saliency:Saliency")).host == "captum"
