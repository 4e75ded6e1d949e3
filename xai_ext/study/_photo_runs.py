"""What a comparison runs, in which order, and what came of it: in this process, or on workers."""

from bisect import insort
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from operator import attrgetter
from typing import Any

from xai_ext._task import Cancelled, Method
from xai_ext.models import Classifier
from xai_ext.study._photo_workers import Crew, PhotoWorker, Run, photo_setup
from xai_ext.study._progress import Display, Stop, duration
from xai_ext.study._worker import weights_digest
from xai_ext.study.config import Config
from xai_ext.study.engine import Processes
from xai_ext.study.methods import REFERENCE_DRAWS, Wanted
from xai_ext.study.unit import Scene, Terms, UnitResult, planned_rows, run_unit


@dataclass(frozen=True, eq=False)
class Setup:
    """A comparison before anything is explained.

    Attributes
    ----------
    scenes : list of Scene
        One per target.
    seconds_per_row : float
        Median of three bare forwards.
    """

    config: Config
    methods: list[Method]
    classifier: Classifier
    scenes: list[Scene]
    seconds_per_row: float
    threads: int
    warnings: list[str]
    top: list[tuple[str, float]]

    @property
    def terms(self) -> Terms:
        """What all runs share."""
        c = self.config
        return Terms(c.budget, c.seed, c.metric_steps, probabilities=True, hosts=c.hosts)

    def planned(self, method: Method) -> int:
        """Rows of one run of a method, its metrics' included: at most."""
        return planned_rows(method, self.scenes[0].labels, self.config.budget, self.config.metric_steps)

    @property
    def total(self) -> int:
        """Rows of everything."""
        runs = sum(n_runs(m, self.config.repeats) * self.planned(m) for m in self.methods)
        return runs * len(self.scenes)

    def table(self) -> str:
        """Rows per method, and how long all will take."""
        lines = [f"{m.name:28} {n_runs(m, self.config.repeats):2} x {self.planned(m):5}" for m in self.methods]
        return "\n".join([*lines, self.summary()])

    def summary(self) -> str:
        """All rows, and how long they will take."""
        spread = f" on {self.workers} workers" if self.workers else ""
        return f"{self.total} evaluations at most, about {duration(self.eta)}{spread}"

    @property
    def workers(self) -> int:
        """Processes beside this one: no more than there are runs."""
        return min(self.config.workers, len(self.runs))

    @property
    def runs(self) -> list[Run]:
        """All of them, the first ones of each method before the others, cheapest first."""
        cheapest = sorted(self.methods, key=self.planned)
        most = max(n_runs(m, self.config.repeats) for m in self.methods)
        return [
            Run(scene, method.name, repeat)
            for repeat in range(most)
            for method in cheapest
            if repeat < n_runs(method, self.config.repeats)
            for scene in range(len(self.scenes))
        ]

    @property
    def eta(self) -> float:
        """Seconds that all will take."""
        return self.total * self.seconds_per_row / max(1, self.workers)


def n_runs(method: Method, repeats: int) -> int:
    """Only methods that draw run again; references are cheap."""
    if not method.draws:
        return 1
    return max(REFERENCE_DRAWS, repeats) if method.host == "reference" else repeats


Found = dict[str, list[UnitResult]]


class _Book:
    """Per target: method -> its runs, in the order of repeats whenever they come."""

    def __init__(self, setup: Setup, display: Display) -> None:
        self.found: list[Found] = [{m.name: [] for m in setup.methods} for _ in setup.scenes]
        self.methods = {m.name: m for m in setup.methods}
        self._scenes, self._display = setup.scenes, display

    def is_lost(self, run: Run) -> bool:
        """Has an earlier repeat failed?"""
        return any(r.values is None and r.repeat < run.repeat for r in self.found[run.scene][run.method])

    def keep(self, run: Run, result: UnitResult) -> None:
        """One more; the first of a method is shown."""
        insort(self.found[run.scene][run.method], result, key=attrgetter("repeat"))
        if run.repeat == 0:
            self._display.say(_line(self._scenes[run.scene], result))

    def receive(self, run: Run, sent: Mapping[str, Any]) -> None:
        """The same from a worker."""
        result = UnitResult(self.methods[run.method], **{"repeat": run.repeat, **sent})
        self.keep(run, result)
        self._display.advance(result.n_forward + result.metric_rows)


def run_all(setup: Setup, names: Wanted, display: Display, stop: Stop) -> list[Found]:
    """Per target: method -> its runs; `names` are what workers make the methods from."""
    book = _Book(setup, display)
    display.say(f"{', '.join(f'{name} {value:.2f}' for name, value in setup.top)}")
    display.say(setup.summary())
    try:
        if setup.workers:
            _on_workers(setup, names, display, book)
        else:
            _here(setup, display, book)
    except Cancelled:
        display.say(f"stopped by {stop.signal.name if stop.signal else 'request'}: what is finished is kept")
    finally:
        display.close()
    return book.found


def _here(setup: Setup, display: Display, book: _Book) -> None:
    for run in setup.runs:
        if not book.is_lost(run):
            display.doing(run.method)
            method, scene = book.methods[run.method], setup.scenes[run.scene]
            book.keep(run, run_unit(method, scene, run.repeat, setup.terms, display.advance))


def _on_workers(setup: Setup, names: Wanted, display: Display, book: _Book) -> None:
    given = photo_setup(setup.config, names, setup.terms, setup.scenes, setup.threads)
    engine = Processes(lambda _: partial(PhotoWorker, given))
    crew = Crew(engine, setup.runs, weights_digest(setup.classifier), is_lost=book.is_lost, receive=book.receive)
    crew.work(setup.workers, tick=partial(display.advance, 0))


def _line(scene: Scene, run: UnitResult) -> str:
    what = f"SRG {run.metrics['srg']:.2f}" if "srg" in run.metrics else run.note
    name = f"{run.method.name:28} {scene.target_name[:20]:20}"
    return f"{name} {run.cost:5} evals {run.seconds:6.1f} s  {run.status}  {what}"
