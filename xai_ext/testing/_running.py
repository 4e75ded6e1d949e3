"""Running one check: within a limit of time, and with everything global put back afterwards."""

import contextlib
import signal
import threading
import time
from collections.abc import Iterator
from typing import Any

from xai_ext.testing._case import Check, Judge, NotApplicable
from xai_ext.testing._state import restored
from xai_ext.testing.report import CheckResult

TIME_LIMIT = 60.0


class CheckTimeoutError(AssertionError):
    """A check took longer than its limit."""


def outcome(check: Check, case: Judge) -> CheckResult:
    """What a check finds."""
    start, error = time.perf_counter(), None
    with restored(), _limited(TIME_LIMIT):
        try:
            check.run(case)
        except NotApplicable as found:
            return CheckResult(check.id, check.group, "not_applicable", str(found))
        except Exception as found:
            error = found
    seconds = time.perf_counter() - start
    text = "" if error is None else f"{'' if isinstance(error, AssertionError) else type(error).__name__ + ': '}{error}"
    status: Any = "passed" if error is None else "failed"
    return CheckResult(check.id, check.group, status, text, error, case.measured, case.tolerance, seconds)


@contextlib.contextmanager
def _limited(seconds: float) -> Iterator[None]:
    """A limit of CPU time, and of ten times as much time for what waits; only in a main thread with alarms."""
    if not hasattr(signal, "SIGPROF") or threading.current_thread() is not threading.main_thread():
        yield
        return

    def expired(*_: Any) -> None:
        raise CheckTimeoutError(f"time limit: more than {seconds:.1f} s of CPU time")

    timers = ((signal.SIGPROF, signal.ITIMER_PROF, seconds), (signal.SIGALRM, signal.ITIMER_REAL, 10 * seconds))
    previous = [signal.signal(number, expired) for number, _, _ in timers]
    for _, timer, limit in timers:
        signal.setitimer(timer, limit)
    try:
        yield
    finally:
        for (number, timer, _), handler in zip(timers, previous, strict=True):
            signal.setitimer(timer, 0)
            signal.signal(number, handler)
