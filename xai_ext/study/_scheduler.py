"""One loop that owns the queue, repetitions, crash counts, time limits and the disk."""

import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from xai_ext._checks import InputError
from xai_ext._task import Cancelled
from xai_ext.study._blocks import Blocks, Pairs
from xai_ext.study._plan import Running, Unit
from xai_ext.study.engine import Engine, Event
from xai_ext.study.store import OtherConfiguration

CRASHES = 3
_LEAST_FAILURES = 10
_TICK = 0.5  # seconds
_LOOKAHEAD = 64  # tasks searched for one whose model a worker has
START_LIMIT = 120.0  # seconds

Task = Unit | Pairs


@dataclass
class Tally:
    """What happened so far."""

    done: int = 0
    failed: int = 0
    quarantined: int = 0
    crashes: int = 0

    @property
    def succeeded(self) -> int:
        """Units with a map or an honest refusal."""
        return self.done - self.failed - self.quarantined


class Scheduler:
    """Runs what `Blocks` opens until nothing is left, or somebody says stop.

    Parameters
    ----------
    blocks : Blocks
    engine : Engine
    running : Running
    expected : mapping
        What every worker must greet with.
    numerics : int
        Number of the set of versions and threads, for the rows.
    cancelled : callable
        True: start nothing new, and end.
    watch : callable
        Called after each task with the unit (or None), its seconds and the tally.
    """

    def __init__(
        self,
        blocks: Blocks,
        engine: Engine,
        running: Running,
        expected: Mapping[str, Any],
        *,
        numerics: int = 0,
        cancelled: Callable[[], bool] = lambda: False,
        watch: Callable[[Task, float, Tally], None] = lambda task, seconds, tally: None,
    ) -> None:
        self.blocks, self.engine, self.running, self.expected = blocks, engine, running, expected
        self.numerics, self.cancelled, self.watch = numerics, cancelled, watch
        self.tally = Tally()
        self._queue: deque[Task] = deque()
        self._busy: dict[int, tuple[Task, float]] = {}
        self._idle: list[int] = []
        self._starting: set[int] = set()
        self._models: dict[int, list[str]] = {}
        self._deaths: dict[str, int] = {}
        self._failed_starts = 0
        self._seen_working = time.monotonic()
        self._opened_all = False

    def run(self) -> None:
        """Until done or cancelled; the engine is closed in any case."""
        try:
            self._refill()
            for _ in range(self.running.workers if self._queue else 0):
                self._starting.add(self.engine.start())
            while (self._queue or self._busy) and not self.cancelled():
                self._assign()
                for event in self.engine.wait(self._patience()):
                    self._handle(event)
                self._kill_the_slow()
                self._check_that_some_work()
        except Cancelled:
            return
        finally:
            self.engine.close()

    def _refill(self) -> None:
        while len(self._queue) < 2 * self.running.workers and not self._opened_all:
            tasks = self.blocks.next_tasks()
            if tasks is None:
                self._opened_all = True
            else:
                self._queue.extend(tasks)

    def _assign(self) -> None:
        while self._idle and self._queue:
            worker = self._idle.pop()
            task = self._take(worker)
            try:
                sent = self.blocks.pairs_task(task) if isinstance(task, Pairs) else self.blocks.unit_task(task)
            except InputError as error:  # a file that is gone
                self._idle.append(worker)
                self._fail(task, str(error), "")
                continue
            self._busy[worker] = task, time.monotonic()
            self.engine.send(worker, sent)
            self._refill()

    def _take(self, worker: int) -> Task:
        """The next task, or one close behind it whose model the worker has already."""
        held = self._models.setdefault(worker, [])
        for i, task in enumerate(self._queue):
            if i >= _LOOKAHEAD or isinstance(task, Pairs) or not held or task.model in held:
                break
        else:
            i = 0
        i = 0 if i >= _LOOKAHEAD else i
        task = self._queue[i]
        del self._queue[i]
        if isinstance(task, Unit):
            self._models[worker] = [*[m for m in held if m != task.model], task.model][-2:]
        return task

    def _patience(self) -> float:
        if self.running.unit_timeout is None or not self._busy:
            return _TICK
        oldest = min(since for _, since in self._busy.values())
        return min(_TICK, max(0.01, oldest + self.running.unit_timeout - time.monotonic()))

    def _handle(self, event: Event) -> None:
        if event.what == "ready":
            self._greet(event)
            return
        task, since = self._busy.pop(event.worker, (None, 0.0))
        if event.what == "died":
            self._bury(event, task)
        else:
            self._idle.append(event.worker)
        if task is None:
            return
        if event.what == "done":
            self._keep(task, event.payload)
        elif event.what == "error":
            self._fail(task, event.payload["note"], event.payload["traceback"])
        self.watch(task, time.monotonic() - since, self.tally)

    def _greet(self, event: Event) -> None:
        for what, own in self.expected.items():
            if event.payload[what] != own:
                raise OtherConfiguration(f"a worker has other {what}: expected {own}, got {event.payload[what]}")
        self._starting.discard(event.worker)
        self._failed_starts = 0
        self._idle.append(event.worker)

    def _keep(self, task: Task, found: Any) -> None:
        if found.meta.get("status") == "failed":
            self._fail(task, found.meta["note"], found.meta["error"])
            return
        found.meta["numerics"] = self.numerics
        self.blocks.store.remember(task.id, found)
        self._done(task, found.meta)

    def _done(self, task: Task, meta: Mapping[str, Any]) -> None:
        self.tally.done += isinstance(task, Unit)
        self._queue.extendleft(self.blocks.done(task, meta))
        self._refill()

    def _fail(self, task: Task, note: str, trace: str) -> None:
        """Deterministic: not tried again."""
        self._lose("failed", task, note, {"traceback": trace})
        self.tally.failed += 1
        if self.tally.failed >= max(_LEAST_FAILURES, self.running.max_failures * self.tally.done):
            raise TooManyFailures(
                f"{self.tally.failed} of {self.tally.done} units failed, the last one with: {note}; fix: see failed/, "
                "or --max-failures"
            )

    def _bury(self, event: Event, task: Task | None) -> None:
        self.tally.crashes += 1
        self._models.pop(event.worker, None)
        self.blocks.store.log("died", worker=event.worker, unit=task and task.id, exit=event.payload["exit"])
        if event.worker in self._starting:
            self._starting.discard(event.worker)
            self._failed_starts += 1
            if self._failed_starts >= CRASHES:
                raise InputError(f"workers die while they start:\n{event.payload['log']}")
        if event.worker in self._idle:
            self._idle.remove(event.worker)
        if task is not None:
            self._count_death(task, event.payload)
        self._starting.add(self.engine.start())

    def _count_death(self, task: Task, payload: Mapping[str, Any]) -> None:
        self._deaths[task.id] = self._deaths.get(task.id, 0) + 1
        if self._deaths[task.id] < CRASHES:
            self._queue.appendleft(task)
            return
        note = f"its worker died {CRASHES} times (exit {payload['exit']})"
        self.tally.quarantined += 1
        self._lose("quarantine", task, note, {"log": payload["log"]})

    def _lose(self, where: str, task: Task, note: str, details: Mapping[str, Any]) -> None:
        store, item = self.blocks.store, self.blocks.plan.items[task.image]
        labels = {"dataset": item.dataset, "image_id": item.image_id, "task": "pairs"}
        if isinstance(task, Unit):
            labels |= {"task": "unit", **task.factors}
        meta = {"status": "failed" if where == "failed" else "quarantined", "note": note, "numerics": self.numerics}
        store.record(getattr(store, where), task.id, {**labels, "meta": meta, **details})
        store.log(where, unit=task.id, note=note)
        self._done(task, meta)

    def _check_that_some_work(self) -> None:
        """A cluster whose CPUs others have would let us wait for ever."""
        if self._busy or not self._starting:
            self._seen_working = time.monotonic()
        elif time.monotonic() - self._seen_working > START_LIMIT:
            raise InputError(
                f"no worker was ready within {START_LIMIT:.0f} s; fix: fewer --workers, or wait until others have left"
            )

    def _kill_the_slow(self) -> None:
        limit = self.running.unit_timeout
        for worker, (task, since) in list(self._busy.items()):
            if limit is not None and time.monotonic() - since > limit:
                self.blocks.store.log("timeout", unit=task.id, seconds=limit)
                self._busy[worker] = task, time.monotonic()  # its death is reported by the engine
                self.engine.kill(worker)


class TooManyFailures(InputError):
    """More units failed than `Running.max_failures` allows."""

    exit_code = 4
