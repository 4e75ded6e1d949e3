"""One entry point that puts any attribution method through every check that applies to it."""

import contextlib
import warnings
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal

from xai_ext._checks import InputError, check_choice
from xai_ext._io import load_config
from xai_ext.testing import (  # noqa: F401 - importing a module of checks registers them
    _contract,
    _correctness,
    _determinism,
    _failure,
    _host_captum,
    _host_shap_lime,
    _interference,
    _life,
    _statistics,
)
from xai_ext.testing._adapters import CaptumSubject, CoreSubject, FunctionSubject, Subject
from xai_ext.testing._case import CHECKS, PROFILES, Case, Check
from xai_ext.testing._image_subjects import LimeSubject, ShapSubject
from xai_ext.testing._running import outcome
from xai_ext.testing.known import known_of
from xai_ext.testing.report import CheckResult, Report
from xai_ext.testing.tags import Tags, infer_tags, made_tags

Make = Callable[..., Any]
Profile = Literal["fast", "default", "full"]
SUBJECTS: dict[str, type[Subject]] = {
    "captum": CaptumSubject, "shap": ShapSubject, "lime": LimeSubject, "core": CoreSubject, "function": FunctionSubject,
}  # fmt: skip


def subject_of(
    cls: Any,
    make: Make | None = None,
    attribute_kwargs: Mapping[str, Any] | None = None,
    tags: Tags | Mapping[str, Any] | None = None,
) -> Subject:
    """A class or function as the battery calls it; what is known of the hosts' built-ins fills the gaps."""
    known = known_of(cls)
    found = infer_tags(cls)
    if known is not None:
        found = made_tags(vars(found), known.tags)
        make = make or known.make
        attribute_kwargs = {**known.kwargs, **(attribute_kwargs or {})}
    if tags is not None:
        found = tags if isinstance(tags, Tags) else made_tags(vars(found), tags)
    return SUBJECTS[found.host](cls, found, make, attribute_kwargs or {})


def check_attribution(
    cls: Any,
    *,
    make: Make | None = None,
    attribute_kwargs: Mapping[str, Any] | None = None,
    skip: Sequence[str] = (),
    tags: Tags | Mapping[str, Any] | None = None,
    expected_failures: Mapping[str, str] | None = None,
    on_fail: Literal["raise", "warn"] | None = "raise",
    profile: Profile = "default",
) -> Report:
    """Put an attribution method through the battery.

    Parameters
    ----------
    cls : class or function
        A Captum class (has ``attribute``), a subclass of ``shap.Explainer``, a lime explainer (has
        ``explain_instance``), a core function ``(game or masked model, ..., *, budget, rng) -> Explanation`` or any
        callable ``(forward, inputs, target, **kwargs) -> map``.
    make : callable, optional
        What is called in place of `cls`; for a Captum class ``make(forward_func)`` returns the ready object.
    attribute_kwargs : mapping, optional
        Added to every call.
    skip : sequence of str
        Checks that are not run, and reported as skipped.
    tags : Tags or mapping, optional
        What the method claims, see `Tags`; a mapping is added to what `infer_tags` finds.
    expected_failures : mapping, optional
        Check -> reason. These are run and must fail: one that passes is a failure, so that the list cannot rot.
    on_fail : {"raise", "warn", None}
    profile : {"fast", "default", "full"}
        How often statistical checks repeat; "full" adds checks in subprocesses.

    Returns
    -------
    Report

    Raises
    ------
    AssertionError
        With ``on_fail="raise"``, if a check failed or passed unexpectedly: the promise, what happened, and the
        command that repeats it.
    ValueError
        If an argument does not fit, or the class cannot be constructed.
    """
    check_choice("profile", profile, PROFILES)
    expected = _checked_expectations(expected_failures)
    _known_ids(skip)
    subject = subject_of(cls, make, attribute_kwargs, tags)
    results = []
    try:
        for check in CHECKS.values():
            results.append(_judged(run_check(check, subject, profile, skip), expected))
    except KeyboardInterrupt:
        if on_fail is not None:
            raise
    report = _report(subject, results, profile)
    if report.failed and on_fail == "raise":
        raise AssertionError("\n\n".join(_message(r, subject) for r in report.failed))
    if report.failed and on_fail == "warn":
        warnings.warn("\n".join(_message(r, subject) for r in report.failed), stacklevel=2)
    return report


def attribution_cases(
    cls: Any,
    *,
    make: Make | None = None,
    attribute_kwargs: Mapping[str, Any] | None = None,
    skip: Sequence[str] = (),
    tags: Tags | Mapping[str, Any] | None = None,
    profile: Profile = "default",
) -> list[tuple[str, Callable[[], None]]]:
    """The applicable checks as pairs of an id and a function without arguments that raises where it fails.

    Takes the arguments of `check_attribution`.
    """
    subject = subject_of(cls, make, attribute_kwargs, tags)
    _known_ids(skip)

    def bound(check: Check) -> Callable[[], None]:
        def case() -> None:
            result = run_check(check, subject, profile, ())
            if result.status == "failed":
                raise AssertionError(_message(result, subject)) from result.exception

        return case

    checks = [c for c in CHECKS.values() if c.id not in skip and _why_not(c, subject, profile) is None]
    return [(check.id, bound(check)) for check in checks]


def parametrize_with_checks(
    classes: Sequence[Any], *, expected_failures: Mapping[str, str] | None = None, **same: Any
) -> Any:
    """A pytest decorator: one test per class and check, given to the argument ``case``, which is to be called.

    Parameters
    ----------
    classes : sequence of classes or functions
    expected_failures : mapping, optional
        Check -> reason: marked as strict expected failures.
    **same
        Other arguments of `attribution_cases`.
    """
    import pytest

    expected = _checked_expectations(expected_failures)
    parameters = []
    for cls in classes:
        for name, case in attribution_cases(cls, **same):
            marks = [pytest.mark.xfail(reason=expected[name], strict=True)] if name in expected else []
            parameters.append(pytest.param(case, id=f"{cls.__name__}-{name}", marks=marks))
    return pytest.mark.parametrize("case", parameters)


def load_expected(path: str | Path) -> dict[str, dict[str, str]]:
    """Expected failures from a TOML file: per ``module:Class`` a table of check and reason."""
    content = load_config(path, allow_import=True)  # the names of classes are keys; nothing is imported
    for name, table in content.items():
        if not isinstance(table, dict):
            raise InputError(f"{path}: {name} must be a table of check = reason, got {table!r}")
        _checked_expectations(table)
    return content


def run_check(check: Check, subject: Subject, profile: Profile, skip: Sequence[str], base_seed: int = 0) -> CheckResult:
    """One check; everything global is put back afterwards."""
    reason = _why_not(check, subject, profile)
    if reason is not None:
        return CheckResult(check.id, check.group, "not_applicable", reason)
    if check.id in skip:
        return CheckResult(check.id, check.group, "skipped", "on request")
    return outcome(check, Case(subject, profile, base_seed))


def _why_not(check: Check, subject: Subject, profile: Profile) -> str | None:
    if not check.applies(subject.tags):
        return check.why_not or "does not apply"
    return "part of the full profile" if check.full_only and profile != "full" else None


def _judged(result: CheckResult, expected: Mapping[str, str]) -> CheckResult:
    if result.id not in expected or result.status not in ("passed", "failed"):
        return result
    status: Any = "expected_failure" if result.status == "failed" else "unexpected_pass"
    reason = expected[result.id] if status == "expected_failure" else f"passed, though expected: {expected[result.id]}"
    return CheckResult(**{**vars(result), "status": status, "reason": reason})


def _message(result: CheckResult, subject: Subject) -> str:
    promise = CHECKS[result.id].promise
    again = f"xai-ext check {subject.name} --only {result.id}"
    return f"{subject.name} fails {result.id}: {result.reason}\n  promise: {promise}\n  repeat:  {again}"


def _known_ids(names: Sequence[str] | Mapping[str, str]) -> None:
    for name in names:
        check_choice("a check", name, CHECKS)


def _checked_expectations(expected: Mapping[str, str] | None) -> Mapping[str, str]:
    _known_ids(expected or {})
    for name, reason in (expected or {}).items():
        if not isinstance(reason, str) or not reason.strip():
            raise InputError(f"expected_failures needs a reason for {name}, got {reason!r}")
    return expected or {}


def _report(subject: Subject, results: list[CheckResult], profile: str) -> Report:
    tags = subject.tags
    return Report(subject.name, tuple(results), tags.as_dict(), tuple(tags.not_claimed), versions(), profile)


def versions() -> dict[str, str]:
    """Of the packages that results depend on."""
    found = {}
    for name in ("xai-ext", "torch", "numpy", "captum", "shap", "lime", "scikit-learn"):
        with contextlib.suppress(PackageNotFoundError):
            found[name] = version(name)
    return found
