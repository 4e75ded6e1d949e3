"""A check: what it promises, when it applies, and what it may ask of the method under test."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from fnmatch import fnmatch
from typing import Any

import numpy as np
import torch
from torch import Tensor

from xai_ext._types import AnyArray
from xai_ext.explanation import Explanation
from xai_ext.testing import _fixtures as fixtures
from xai_ext.testing._adapters import Outcome, Problem, Settings, Subject
from xai_ext.testing._state import same_bits
from xai_ext.testing.tags import Tags

PROFILES = ("fast", "default", "full")
REPEATS = {"fast": 0.2, "default": 0.4, "full": 1.0}
TARGET = 2


class CheckFailed(AssertionError):
    """A promise that the method did not keep."""


class NotApplicable(Exception):
    """The check cannot be asked of this method, for a reason found only while running it."""


@dataclass
class Judge:
    """What a check says about what it sees."""

    measured: float | None = field(default=None, init=False)
    tolerance: float | None = field(default=None, init=False)

    def require(self, condition: Any, message: str) -> None:
        """Fail with the message unless the condition holds."""
        if not condition:
            raise CheckFailed(message)

    def measure(self, value: float, tolerance: float, what: str) -> None:
        """Record a deviation; fail where it is above the tolerance, or no number."""
        if self.measured is None or not value <= self.measured:
            self.measured, self.tolerance = float(value), tolerance
        if not value <= tolerance:
            raise CheckFailed(f"{what}: deviation {value:.3g} is above {tolerance:.3g}")

    def close(self, got: Any, expected: Any, relative: float, what: str) -> None:
        """The largest difference, relative to the largest expected value."""
        a, b = as_array(got), as_array(expected)
        self.require(a.shape == b.shape, f"{what}: shape {a.shape}, expected {b.shape}")
        scale = float(np.abs(b).max(initial=0)) or 1.0
        self.measure(float(np.abs(a - b).max(initial=0)) / scale, relative, what)

    def same(self, got: Any, expected: Any, what: str) -> None:
        """Equal bits."""
        if not same_bits(got, expected):
            a, b = as_array(got), as_array(expected)
            far = float(np.abs(a - b).max()) if a.shape == b.shape else float("nan")
            self.measure(far if far > 0 else float("nan"), 0.0, f"{what}: the bits differ")
        self.measure(0.0, 0.0, what)

    def raises(self, call: Callable[[], Any], kinds: Any, what: str) -> BaseException:
        """The exception that a call must raise."""
        try:
            call()
        except kinds as error:
            found: BaseException = error
            return found
        except Exception as error:
            raise CheckFailed(f"{what}: expected {_names(kinds)}, got {type(error).__name__}: {error}") from error
        raise CheckFailed(f"{what}: expected {_names(kinds)}, got a result")


@dataclass
class Case(Judge):
    """One check applied to one method."""

    subject: Subject
    profile: str = "default"
    base_seed: int = 0
    notes: dict[str, Any] = field(default_factory=dict)

    @property
    def tags(self) -> Tags:
        """Of the method."""
        return self.subject.tags

    @property
    def target(self) -> int | None:
        """The output that fixtures with several are explained for."""
        return TARGET

    @property
    def together(self) -> int | None:
        """An inner batch for runs that are repeated often, whose result does not depend on it."""
        return None if self.tags.batch is None else 64

    def repeats(self, full: int) -> int:
        """How often a statistical check repeats in this profile."""
        return max(8, round(full * REPEATS[self.profile]))

    def problem(self, model: Any = None, *, n: int = 1, dtype: torch.dtype = torch.float32, **changes: Any) -> Problem:
        """The usual problem: noise (n, 3, 8, 8), 16 blocks, baseline 0.3."""
        x = fixtures.images(n, seed=self.base_seed).to(dtype)
        made = Problem(fixtures.net(dtype=dtype) if model is None else model, x, fixtures.grid_labels(), 0.3, TARGET)
        return replace(made, **changes)

    def exact_problem(self, *, n: int = 1) -> Problem:
        """One whose scores do not depend on the batch, unless hooks forbid it."""
        model = fixtures.net(dtype=torch.float64)
        return self.problem(model if self.tags.hooks else fixtures.Rows(model), n=n, dtype=torch.float64)

    def explain(self, problem: Problem, **settings: Any) -> Outcome:
        """Explain with the given settings; the seed is the case's, if nothing else is said."""
        settings.setdefault("seed", self.base_seed)
        return self.subject.explain(problem, Settings(**settings))

    def estimates(self, problem: Problem, **settings: Any) -> tuple[Explanation, ...]:
        """Explanations with standard errors."""
        settings.setdefault("seed", self.base_seed)
        return self.subject.estimates(problem, Settings(**settings))


def as_array(value: Any) -> AnyArray:
    """Any numbers as float64."""
    if isinstance(value, Tensor):
        return value.detach().double().cpu().numpy()
    return np.asarray(value, dtype=np.float64)


def _names(kinds: Any) -> str:
    return " or ".join(k.__name__ for k in (kinds if isinstance(kinds, tuple) else (kinds,)))


Applies = Callable[[Tags], bool]


@dataclass(frozen=True)
class Check:
    """A promise and the function that tests it."""

    id: str
    group: str
    promise: str
    run: Callable[[Any], None]
    applies: Callable[[Any], bool]
    why_not: str
    full_only: bool = False


CHECKS: dict[str, Check] = {}


def check(
    group: str, applies: Applies | None = None, why_not: str = "", *, full_only: bool = False
) -> Callable[[Callable[[Case], None]], Callable[[Case], None]]:
    """Make a function ``check_<id>`` a check; the first line of its docstring is the promise."""

    def register(function: Callable[[Case], None]) -> Callable[[Case], None]:
        name = function.__name__.removeprefix("check_")
        promise = (function.__doc__ or "").strip().splitlines()[0]
        CHECKS[name] = Check(name, group, promise, function, applies or _always, why_not, full_only)
        return function

    return register


def _always(tags: Tags) -> bool:
    return True


def chosen(only: str | None, skip: str | None) -> list[Check]:
    """Checks whose id matches a comma list of globs and none of another."""

    def matches(name: str, globs: str) -> bool:
        return any(fnmatch(name, pattern.strip()) for pattern in globs.split(","))

    return [c for c in CHECKS.values() if (only is None or matches(c.id, only)) and not (skip and matches(c.id, skip))]
