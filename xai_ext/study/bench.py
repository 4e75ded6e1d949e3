"""Every method on every image of data sets: started, continued, shared among workers, and read."""

import shutil
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from xai_ext._task import Cancelled
from xai_ext.study._bench_run import BenchRun
from xai_ext.study._blocks import Blocks
from xai_ext.study._files import DiskFull
from xai_ext.study._identity import identify, plan_of
from xai_ext.study._lock import Lock
from xai_ext.study._maps import MapArchive
from xai_ext.study._plan import BenchConfig, Plan, Running, split_options
from xai_ext.study._progress_lines import Progress
from xai_ext.study._scheduler import Scheduler, TooManyFailures
from xai_ext.study._worker import Setup, Worker, versions
from xai_ext.study.data import Item, Reading, read_data
from xai_ext.study.engine import Engine, Processes, Serial, pinned, warm_up
from xai_ext.study.store import Store

_BYTES_PER_UNIT = 1500  # of parts: about 20 rows
_BYTES_PER_MAP = {"none": 0, "compact": 3000, "full": 100_000}  # of half precision, compressed, where it is full
DONE, SOME_FAILED = 0, 3

__all__ = ["BenchConfig", "BenchRun", "Running", "bench"]


def bench(data: str | Sequence[str], *, out: str | Path, reading: Reading | None = None, **options: Any) -> BenchRun:
    """Run every method on every image, or continue where an earlier call stopped.

    Parameters
    ----------
    data : str or sequence of str
        Folders, CSV files, "photos" or "instruments"; ``NAME=SOURCE`` names a data set. See `read_data`.
    out : path
        The folder of the run. The same call again continues it; a call for something else is refused.
    reading : Reading, optional
        How tables are read.
    **options
        The fields of `BenchConfig`, which decide results, and of `Running`, which do not.

    Returns
    -------
    BenchRun
        ``exit_code`` is that of ``xai-ext bench``: 0 done, 3 some units failed or were quarantined, 4 too many
        failed, 6 the disk is full, 130 or 143 interrupted.

    Notes
    -----
    Numbers depend on image, model, baseline, method and repeat alone: not on engine, workers, shards, interruptions
    or order. Rows per forward are measured once and then kept in the manifest, because they change the last bits.
    """
    config, running = split_options(options)
    if running.engine == "processes":
        warm_up()
    sources = (data,) if isinstance(data, str) else tuple(data)
    store = Store(out)
    store.create()
    try:
        with Lock(store.folder, running.shard_of, force=running.force), _stoppable() as stopped:
            return _locked(store, sources, reading, config, running, stopped)
    finally:
        store.remove_if_empty()


def _locked(
    store: Store, sources: Sequence[str], reading: Reading | None, config: BenchConfig, running: Running,
    stopped: "Stopped",
) -> BenchRun:  # fmt: skip
    store.clean()
    before, known = store.manifest(), store.plan_items()
    how = replace(reading or Reading(), limit=config.limit, seed=config.seed)
    items = read_data(sources, how, known)
    identity, setup, methods = identify(config, running, items, before)
    manifest = identity.manifest(before, running)
    if manifest != before:
        store.write_manifest(manifest)
    if [_on_disk(i) for i in items] != known:
        store.write_plan(items)
    plan = plan_of(config, items, methods, identity.of)
    numerics = len(manifest["numerics"]) - 1 if running.allow_numerics else 0
    if running.retry_failed:
        _forget_failures(store, plan)
    try:
        _work(store, plan, setup, config, running, stopped, numerics)
        code, message = stopped.code, ""
    except (DiskFull, TooManyFailures) as error:
        code, message = error.exit_code, str(error)
    lost = bool(store.recorded(store.failed) or store.recorded(store.quarantine))
    return BenchRun(store.folder, exit_code=code or (SOME_FAILED if lost else DONE), message=message)


def _work(
    store: Store, plan: Plan, setup: Setup, config: BenchConfig, running: Running, stopped: "Stopped", numerics: int
) -> None:
    done = store.part_names()
    i, n = running.shard_of or (1, 1)
    mine = range(i - 1, len(plan.blocks), n)
    left = [number for number in mine if plan.part_name(number) not in done]
    if not left:
        return
    _check_room(store, plan, left, config)
    archive = MapArchive(store.folder, plan) if config.save_maps == "full" else None
    progress = _progress(plan, left, running)
    scheduler = Scheduler(
        Blocks(plan, store, left, archive, compact=config.save_maps == "compact"),
        _engine(setup, running, stopped),
        running,
        {"versions": versions(), "weights": dict(setup.weights)},
        numerics=numerics,
        cancelled=lambda: stopped.code != 0,
        watch=progress,
    )
    store.log("started", engine=running.engine, workers=running.workers, shard=running.shard, blocks=len(left))
    try:
        scheduler.run()
    finally:
        progress.close()
        store.log("ended", **vars(scheduler.tally), first_eta=progress.first_eta)
    if not stopped.code and scheduler.tally.done and not scheduler.tally.succeeded:
        raise TooManyFailures("no unit succeeded; fix: see failed/ and quarantine/")


def _check_room(store: Store, plan: Plan, left: Sequence[int], config: BenchConfig) -> None:
    units = plan.units_per_image * sum(len(plan.blocks[number]) for number in left)
    needed = units * (_BYTES_PER_UNIT + _BYTES_PER_MAP[config.save_maps])
    free = shutil.disk_usage(store.folder).free
    if free < needed:
        raise DiskFull(
            f"{units} units need about {needed} bytes, {free} are free; fix: another disk, a --limit, or fewer maps"
        )


def _engine(setup: Setup, running: Running, stopped: "Stopped") -> Engine:
    if running.engine == "processes":
        return Processes(lambda number: partial(Worker, replace(setup, device=pinned(setup.device, number))))
    if running.engine == "ray":
        from xai_ext.study._ray import Ray

        return Ray(setup, running.workers, running.ray_address, running.gpus_per_worker)
    return Serial(setup, stopped.check)


def _progress(plan: Plan, left: Sequence[int], running: Running) -> Progress:
    """What is still to be done, but for the units that the journal has."""
    images = sum(len(plan.blocks[number]) for number in left)
    settings = len(plan.models) * len(plan.baselines) * images
    per_method = {method: repeats * settings for method, repeats in plan.methods}
    return Progress(sum(per_method.values()), per_method, running.workers, running.progress)


def _forget_failures(store: Store, plan: Plan) -> None:
    """Their records, and the parts in which they are missing."""
    lost = {*store.recorded(store.failed), *store.recorded(store.quarantine)}
    if not lost:
        return
    for number in range(len(plan.blocks)):
        tasks = {u.id for u in plan.units(number)} | {plan.pairs_id(i) for i in plan.blocks[number]}
        if tasks & lost:
            (store.parts / plan.part_name(number)).unlink(missing_ok=True)
            store.forget(plan.pairs_id(i) for i in plan.blocks[number])
    for folder in (store.failed, store.quarantine):
        for path in folder.glob("*.json"):
            path.unlink()


def _on_disk(item: Item) -> Item:
    return replace(item, root="")


class Stopped:
    """Has somebody asked to stop? ``code`` is the exit code then, else 0."""

    def __init__(self) -> None:
        self.code = 0

    def check(self, rows: int) -> None:
        """Between two forwards."""
        if self.code:
            raise Cancelled


@contextmanager
def _stoppable() -> Iterator[Stopped]:
    """The first SIGINT or SIGTERM asks, the second one is obeyed at once."""
    stopped = Stopped()
    if threading.current_thread() is not threading.main_thread():
        yield stopped
        return
    before: Mapping[int, Any] = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def ask(number: int, frame: Any) -> None:
        stopped.code = 128 + number
        _restore(before)

    try:
        for number in before:
            signal.signal(number, ask)
        yield stopped
    finally:
        _restore(before)


def _restore(handlers: Mapping[int, Callable[..., Any] | int | None]) -> None:
    for number, handler in handlers.items():
        signal.signal(number, handler)
