"""How a comparison shows what it does, and how it is stopped."""

import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from xai_ext._task import Cancelled

_MINUTE = 60.0
Signal = signal.Signals


class Stop:
    """Set by the first SIGINT or SIGTERM; the second one kills at once."""

    def __init__(self) -> None:
        self.signal: Signal | None = None

    def check(self) -> None:
        """Raise where a signal has come."""
        if self.signal is not None:
            raise Cancelled(self.signal.name)

    def receive(self, number: int, _: FrameType | None) -> None:
        """A handler of signals."""
        self.signal = Signal(number)
        signal.signal(number, signal.SIG_DFL)


@contextmanager
def stoppable() -> Iterator[Stop]:
    """Inside, the first SIGINT or SIGTERM only sets a flag; in another thread than the main one, nothing changes."""
    stop, before = Stop(), dict[Signal, Any]()
    if threading.current_thread() is threading.main_thread():
        before = {s: signal.signal(s, stop.receive) for s in (Signal.SIGINT, Signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class Display:
    """Counts rows, and writes to stderr: a bar, or a line a minute; a line per finished method with both."""

    def __init__(self, how: str, total: int, seconds_per_row: float, stop: Stop) -> None:
        shown = ("bar" if sys.stderr.isatty() else "plain") if how == "auto" else how
        self.total, self.rows, self._stop, self._shown = total, 0, stop, shown
        self._start = self._told = time.perf_counter()
        self._per_row = seconds_per_row
        self._bar = _bar(total) if shown == "bar" else None

    def doing(self, name: str) -> None:
        """What runs now."""
        self._stop.check()
        if self._bar is not None:
            self._bar.set_description(name, refresh=False)

    def advance(self, rows: int) -> None:
        """After every forward."""
        self._stop.check()
        self.rows += rows
        now = time.perf_counter()
        if self._bar is not None:
            self._bar.update(rows)
        elif self._shown == "plain" and now - self._told > _MINUTE:
            self._told = now
            print(f"{self.rows} of {self.total} evaluations, about {self._left(now)} left", file=sys.stderr, flush=True)

    def say(self, line: str) -> None:
        """A finished line above the bar."""
        if self._bar is not None:
            self._bar.write(line, file=sys.stderr)
        elif self._shown == "plain":
            print(line, file=sys.stderr, flush=True)

    def close(self) -> None:
        """The bar stays as it is."""
        if self._bar is not None:
            self._bar.close()

    def _left(self, now: float) -> str:
        per_row = (now - self._start) / self.rows if self.rows else self._per_row
        return duration(max(0, self.total - self.rows) * per_row)


def duration(seconds: float) -> str:
    """For people."""
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"


def _bar(total: int) -> Any:
    from tqdm.auto import tqdm

    return tqdm(total=total, unit="eval", smoothing=0.05, file=sys.stderr)
