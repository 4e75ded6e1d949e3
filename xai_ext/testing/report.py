"""What the battery found."""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Status = Literal["passed", "failed", "expected_failure", "unexpected_pass", "skipped", "not_applicable"]


@dataclass(frozen=True)
class CheckResult:
    """One check of one method.

    Attributes
    ----------
    id, group : str
    status : str
        passed, failed, expected_failure, unexpected_pass, skipped or not_applicable.
    reason : str
        Why it failed, or why it was not run.
    exception : BaseException, optional
        What was raised.
    measured, tolerance : float, optional
        The largest deviation that was seen and the allowed one; also given where the check passed.
    seconds : float
    """

    id: str
    group: str
    status: Status
    reason: str = ""
    exception: BaseException | None = None
    measured: float | None = None
    tolerance: float | None = None
    seconds: float = 0.0

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        names = ("id", "group", "status", "reason", "measured", "tolerance")
        return {name: getattr(self, name) for name in names} | {"seconds": round(self.seconds, 4)}


@dataclass(frozen=True)
class Report:
    """All checks of one method.

    Attributes
    ----------
    subject : str
        ``module:Class``.
    results : tuple of CheckResult
    tags : mapping
        Declared and inferred.
    not_claimed : list of str
        Promises that the method does not make, so that nothing tests them.
    versions : mapping
    profile : str
    """

    subject: str
    results: tuple[CheckResult, ...]
    tags: Mapping[str, Any] = field(default_factory=dict)
    not_claimed: tuple[str, ...] = ()
    versions: Mapping[str, str] = field(default_factory=dict)
    profile: str = "default"

    @property
    def failed(self) -> tuple[CheckResult, ...]:
        """Checks that failed, or passed though a failure was expected."""
        return tuple(r for r in self.results if r.status in ("failed", "unexpected_pass"))

    def counts(self) -> dict[str, int]:
        """How many checks have each status."""
        return dict(Counter(r.status for r in self.results))

    def table(self) -> str:
        """One line per check that was run or skipped."""
        lines = [_line(r) for r in self.results if r.status != "not_applicable"]
        return "\n".join([*lines, "", self.summary()])

    def summary(self) -> str:
        """One paragraph: how many checks had which status, and what was not claimed."""
        counted = ", ".join(f"{n} {status.replace('_', ' ')}" for status, n in sorted(self.counts().items()))
        text = f"{self.subject}: {counted}."
        if not any(r.group == "correctness" and r.status != "not_applicable" for r in self.results):
            text += " No correctness claim was tested."
        if self.not_claimed:
            text += f" Not claimed: {', '.join(self.not_claimed)}."
        return text

    def to_json(self) -> str:
        """Everything, as JSON."""
        content = {
            "subject": self.subject,
            "profile": self.profile,
            "versions": dict(self.versions),
            "tags": dict(self.tags),
            "not_claimed": list(self.not_claimed),
            "results": [r.as_dict() for r in self.results],
            "totals": self.counts(),
        }
        return json.dumps(content, indent=1, default=str)


def _line(result: CheckResult) -> str:
    measured = "" if result.measured is None else f"{result.measured:.3g}"
    if result.measured is not None and result.tolerance is not None:
        measured += f" (tolerance {result.tolerance:.3g})"
    first = result.reason.splitlines()[0] if result.reason else ""
    return f"{result.status:18} {result.group:17} {result.id:22} {measured:28} {first}".rstrip()
