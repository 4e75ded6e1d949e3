"""Where tasks run: in this process, or in processes of this machine; `_ray` adds a cluster.

An engine starts workers, hands them tasks and says what became of them. It repeats nothing: the scheduler counts.
"""

import multiprocessing
import os
import signal
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, Literal, Protocol

import torch
from tqdm import tqdm

from xai_ext.study._worker import Setup, Worker

What = Literal["ready", "done", "error", "died"]
_LOG_TAIL = 2000  # characters


@dataclass(frozen=True)
class Event:
    """What a worker reports: "ready" with its greeting, "done" with a result, "error" with a traceback, "died"."""

    worker: int
    what: What
    payload: Any


class Answers(Protocol):
    """What lives in a worker."""

    def hello(self) -> dict[str, Any]:
        """Its greeting, with its ``pid``."""

    def run(self, task: Any) -> Any:
        """The result of a task."""


class Engine(Protocol):
    """Starts workers, hands them tasks, says what became of them; `pids` are those of workers that greeted."""

    pids: dict[int, int]

    def start(self) -> int:
        """A new worker; it reports "ready"."""

    def send(self, worker: int, task: Any) -> None:
        """One task for an idle worker."""

    def wait(self, timeout: float) -> list[Event]:
        """What happened, at the latest after so many seconds."""

    def kill(self, worker: int) -> None:
        """At once; the worker reports "died"."""

    def close(self) -> None:
        """End all workers; none is left behind."""


class Serial:
    """In this process: one worker, nothing to start, and no protection from a crash.

    Parameters
    ----------
    setup : Setup
    on_rows : callable, optional
        Called after each forward; raises `Cancelled` to stop.
    """

    def __init__(self, setup: Setup, on_rows: Callable[[int], None] | None = None) -> None:
        self._setup, self._on_rows = setup, on_rows
        self.pids: dict[int, int] = {}
        self._worker: Worker | None = None
        self._events: list[Event] = []

    def start(self) -> int:
        """See `Engine`."""
        self._worker = Worker(self._setup, self._on_rows)
        self._events.append(Event(0, "ready", self._worker.hello()))
        return 0

    def send(self, worker: int, task: Any) -> None:
        """Runs the task."""
        assert self._worker is not None  # started
        self._events.append(Event(worker, *outcome(self._worker, task)))

    def wait(self, timeout: float) -> list[Event]:
        """See `Engine`."""
        found, self._events = self._events, []
        return found

    def kill(self, worker: int) -> None:
        """There is nothing to kill."""

    def close(self) -> None:
        """Forget the models."""
        self._worker = None


class Processes:
    """One process and one pipe per worker; a worker ends when the runner does, however that ends.

    Parameters
    ----------
    maker : callable
        Number of a worker, from 0 -> what is called in its process; that is pickled, and what it makes is not.
    """

    def __init__(self, maker: Callable[[int], Callable[[], Answers]]) -> None:
        self._maker, self._next = maker, 0
        self._context = _context()
        self.pids: dict[int, int] = {}
        self._pipes: dict[int, Connection] = {}
        self._processes: dict[int, Any] = {}
        self._logs = tempfile.TemporaryDirectory(prefix="xai-ext-")

    def start(self) -> int:
        """See `Engine`."""
        number, self._next = self._next, self._next + 1
        ours, theirs = self._context.Pipe()
        given = (theirs, self._maker(number), str(self._log(number)))
        process = self._context.Process(target=_serve, args=given, daemon=True)
        process.start()
        theirs.close()
        self._pipes[number], self._processes[number] = ours, process
        return number

    def send(self, worker: int, task: Any) -> None:
        """See `Engine`; a dead worker is noticed by `wait`."""
        try:
            self._pipes[worker].send(task)
        except OSError:
            return

    def wait(self, timeout: float) -> list[Event]:
        """See `Engine`."""
        numbers = {id(pipe): number for number, pipe in self._pipes.items()}
        ready = wait(list(self._pipes.values()), timeout)
        return [self._received(numbers[id(pipe)]) for pipe in ready]

    def kill(self, worker: int) -> None:
        """See `Engine`."""
        if worker in self._processes:
            self._processes[worker].kill()

    def close(self) -> None:
        """See `Engine`."""
        for process in self._processes.values():
            process.kill()
        for process in self._processes.values():
            process.join()
        self._logs.cleanup()

    def _received(self, number: int) -> Event:
        try:
            what, payload = self._pipes[number].recv()
        except (EOFError, OSError):
            self._pipes.pop(number).close()
            process = self._processes.pop(number)
            process.kill()
            process.join()
            self.pids.pop(number, None)
            return Event(number, "died", {"exit": process.exitcode, "log": self._tail(number)})
        if what == "ready":
            self.pids[number] = payload["pid"]
        return Event(number, what, payload)

    def _log(self, number: int) -> Path:
        return Path(self._logs.name) / f"worker-{number}.log"

    def _tail(self, number: int) -> str:
        path = self._log(number)
        return path.read_text("utf-8", "replace")[-_LOG_TAIL:] if path.exists() else ""


def pinned(device: str | None, worker: int) -> str | None:
    """The GPU of a worker, in turn, where "cuda" leaves open which."""
    n = torch.cuda.device_count() if device == "cuda" else 0
    return f"cuda:{worker % n}" if n > 1 else device


def warm_up() -> None:
    """Let the process that workers are forked from import what they need, while the caller does something else."""
    if _context().get_start_method() == "forkserver":
        from multiprocessing import forkserver

        forkserver.ensure_running()


def _context() -> Any:
    """Workers are forked from a process that has imported everything and computed nothing: a new one takes moments.

    Where there is no such thing, each worker imports for itself.
    """
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["xai_ext.study._forked"])
    return context


def outcome(worker: Answers, task: Any) -> tuple[What, Any]:
    """Run a task; an error of it is a result."""
    try:
        return "done", worker.run(task)
    except Exception as error:
        line = f"{type(error).__name__}: {error}".splitlines()[0]
        return "error", {"note": line, "traceback": traceback.format_exc()}


def _serve(pipe: Connection, make: Callable[[], Answers], log: str) -> None:
    """The life of a worker process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the runner decides
    _end_with_parent()
    handle = os.open(log, os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os.dup2(handle, 1)
    os.dup2(handle, 2)
    tqdm.set_lock(threading.RLock())  # its own is a semaphore of the system, which a killed worker leaves behind
    worker = make()
    pipe.send(("ready", worker.hello()))
    while True:
        pipe.send(outcome(worker, pipe.recv()))


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is None:
        return
    sentinel = parent.sentinel

    def watch() -> None:
        wait([sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
