"""The README's promises are made from checks that exist."""

from pathlib import Path

import pytest

from xai_ext.testing._case import CHECKS
from xai_ext.testing.promises import PROMISES, as_markdown

README = Path(__file__).parents[2] / "README.md"


@pytest.mark.parametrize("promise", PROMISES, ids=lambda p: p.checks[0])
def test_a_promise_names_checks_that_exist(promise):
    assert promise.checks
    assert set(promise.checks) <= set(CHECKS)


def test_the_readme_holds_the_promises_as_they_are():
    assert as_markdown() in README.read_text("utf-8")
