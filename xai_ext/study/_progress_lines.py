"""What a long run says while it works: a bar on a terminal, a line per minute elsewhere."""

import sys
import time
from collections.abc import Mapping
from typing import Any

from xai_ext.study._blocks import Pairs
from xai_ext.study._plan import Unit
from xai_ext.study._scheduler import Tally

_EVERY = 60.0  # seconds between lines


class Progress:
    """Counts units; the remaining time follows from the mean of each method so far.

    Parameters
    ----------
    total : int
        Units that are still to be done.
    per_method : mapping
        Method -> how many of them.
    workers : int
    how : {"auto", "bar", "plain", "none"}
    """

    def __init__(self, total: int, per_method: Mapping[str, int], workers: int, how: str) -> None:
        self._total, self._left, self._workers = total, dict(per_method), workers
        self._seconds: dict[str, list[float]] = {}
        self._start = self._said = time.monotonic()
        self.how = ("bar" if sys.stderr.isatty() else "plain") if how == "auto" else how
        self.first_eta: float | None = None
        self._bar: Any = None
        if self.how == "bar":
            from tqdm.auto import tqdm

            self._bar = tqdm(total=total, unit="unit", smoothing=0.05)

    def __call__(self, task: Unit | Pairs, seconds: float, tally: Tally) -> None:
        """After each task."""
        if isinstance(task, Unit):
            self._seconds.setdefault(task.method, []).append(seconds)
            self._left[task.method] -= 1
        if self.first_eta is None and all(m in self._seconds for m in self._left):
            self.first_eta = time.monotonic() - self._start + self.eta()
        if self._bar is not None:
            self._bar.set_postfix(failed=tally.failed + tally.quarantined, refresh=False)
            self._bar.update(isinstance(task, Unit))
        elif self.how == "plain" and time.monotonic() - self._said >= _EVERY:
            self._said = time.monotonic()
            sys.stderr.write(self.line(tally) + "\n")

    def eta(self) -> float:
        """Seconds that are left, with all workers busy."""
        means = {m: sum(s) / len(s) for m, s in self._seconds.items()}
        overall = sum(means.values()) / max(1, len(means))
        return sum(n * means.get(m, overall) for m, n in self._left.items()) / self._workers

    def line(self, tally: Tally) -> str:
        """One line."""
        lost = f", {tally.failed} failed, {tally.quarantined} quarantined" if tally.failed + tally.quarantined else ""
        return f"{tally.done} of {self._total} units{lost}, about {self.eta() / 60:.0f} minutes left"

    def close(self) -> None:
        """The bar stays where it is."""
        if self._bar is not None:
            self._bar.close()
