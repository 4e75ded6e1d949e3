"""The runs of one photo, spread over processes of this machine."""

import os
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import torch

from xai_ext._batching import Plan, fix_plan, measured_plan
from xai_ext._checks import InputError
from xai_ext._randomness import preserved_generators
from xai_ext._task import Method
from xai_ext.models import load
from xai_ext.study._scheduler import CRASHES
from xai_ext.study._worker import weights_digest
from xai_ext.study.config import Config
from xai_ext.study.engine import Engine, Event
from xai_ext.study.methods import Wanted, choose_methods
from xai_ext.study.unit import Scene, Terms, run_unit

_TICK = 0.2  # seconds
_TENSORS = ("x", "baseline", "metric_baseline")  # of a scene
_STAYS = ("method", "notes")  # of a result: they may hold what cannot be sent


@dataclass(frozen=True)
class Run:
    """A unit by the number of its scene, the name of its method and its repeat."""

    scene: int
    method: str
    repeat: int


@dataclass(frozen=True, eq=False)
class PhotoSetup:
    """The same for all workers: what was measured, and the scenes without their classifier, tensors as arrays."""

    config: Config
    methods: Wanted
    terms: Terms
    threads: int
    plan: Plan
    scenes: tuple[Mapping[str, Any], ...]


class PhotoWorker:
    """Loads model and methods by name, and runs units of the scenes."""

    def __init__(self, setup: PhotoSetup) -> None:
        torch.set_num_threads(setup.threads)
        with preserved_generators():
            self._classifier = load(setup.config.model).on(setup.config.device)
        fix_plan(self._classifier.module, setup.plan)
        self._scenes = [Scene(classifier=self._classifier, **self._received(known)) for known in setup.scenes]
        self._methods = {m.name: m for m in choose_methods(setup.methods, setup.config.settings)}
        self._terms = setup.terms

    def _received(self, known: Mapping[str, Any]) -> dict[str, Any]:
        there = {name: torch.from_numpy(known[name]) for name in _TENSORS if known[name] is not None}
        return {**known, **{name: tensor.to(self._classifier.device) for name, tensor in there.items()}}

    def hello(self) -> dict[str, Any]:
        """What differs from process to process, and what must not."""
        return {"pid": os.getpid(), "weights": weights_digest(self._classifier)}

    def run(self, run: Run) -> dict[str, Any]:
        """The fields of a `UnitResult` that can be sent."""
        found = run_unit(self._methods[run.method], self._scenes[run.scene], run.repeat, self._terms)
        return {f.name: getattr(found, f.name) for f in fields(found) if f.name not in _STAYS}


def photo_setup(config: Config, methods: Wanted, terms: Terms, scenes: Sequence[Scene], threads: int) -> PhotoSetup:
    """What workers need to compute the same bits as this process."""
    plan = measured_plan(scenes[0].classifier.module, (scenes[0].x,))
    return PhotoSetup(config, methods, terms, threads, plan, tuple(_sent(scene) for scene in scenes))


def _sent(scene: Scene) -> dict[str, Any]:
    """Tensors would go through shared memory that a killed process leaves behind."""
    known = {f.name: getattr(scene, f.name) for f in fields(scene) if f.name != "classifier"}
    tensors = {name: known[name].cpu().numpy() for name in _TENSORS if known[name] is not None}
    return {**known, **tensors}


def check_names(methods: Wanted) -> None:
    """Can another process make these methods for itself?"""
    made = [m.name for m in methods if isinstance(m, Method)]
    if made:
        raise InputError(
            f'workers need methods by name, got objects: {", ".join(made)}; fix: "module:callable", a function that '
            "returns the Method, or workers=0"
        )


class Crew:
    """Hands runs to workers; a run whose worker dies is tried again, and has failed at the third death.

    Parameters
    ----------
    engine : Engine
    runs : sequence of Run
        In the order in which they start.
    weights : str
        Digest of the model that every worker must have loaded.
    is_lost : callable
        Asked before a run starts; where it says so, it does not.
    receive : callable
        Takes each finished run with the fields of its result.
    """

    def __init__(
        self, engine: Engine, runs: Sequence[Run], weights: str, *, is_lost: Callable[[Run], bool],
        receive: Callable[[Run, Mapping[str, Any]], None],
    ) -> None:  # fmt: skip
        self._engine, self._queue, self._weights = engine, deque(runs), weights
        self._is_lost, self._receive = is_lost, receive
        self._busy: dict[int, Run] = {}
        self._deaths: Counter[Run] = Counter()
        self._failed_starts = 0

    def work(self, workers: int, tick: Callable[[], None]) -> None:
        """Until nothing is left, or `tick`, called a few times a second, raises; no worker is left then."""
        try:
            for _ in range(workers):
                self._engine.start()
            while self._queue or self._busy:
                tick()
                for event in self._engine.wait(_TICK):
                    self._handle(event)
        finally:
            self._engine.close()

    def _handle(self, event: Event) -> None:
        run = self._busy.pop(event.worker, None)
        if event.what == "died":
            self._bury(run, event.payload)
            return
        self._failed_starts = 0
        if event.what == "ready":
            self._greet(event.payload)
        elif run is not None:
            self._receive(run, event.payload if event.what == "done" else _failed(**event.payload))
        self._send_next(event.worker)

    def _greet(self, hello: Mapping[str, Any]) -> None:
        if hello["weights"] != self._weights:
            raise InputError(
                "the model has other weights in each process; fix: draw them from a seed where it is made, or workers=0"
            )

    def _send_next(self, worker: int) -> None:
        while self._queue:
            run = self._queue.popleft()
            if not self._is_lost(run):
                self._busy[worker] = run
                self._engine.send(worker, run)
                return

    def _bury(self, run: Run | None, payload: Mapping[str, Any]) -> None:
        if run is None:
            self._failed_starts += 1
        else:
            self._deaths[run] += 1
        if self._failed_starts >= CRASHES:
            raise InputError(f"workers die while they start:\n{payload['log']}")
        if run is not None and self._deaths[run] >= CRASHES:
            self._receive(run, _failed(f"its worker died {CRASHES} times (exit {payload['exit']})", payload["log"]))
        elif run is not None:
            self._queue.appendleft(run)
        if self._queue:
            self._engine.start()


def _failed(note: str, traceback: str) -> dict[str, Any]:
    return {"status": "failed", "note": note, "error": traceback}
