"""Workers as actors of Ray, on this machine or on a cluster."""

import os
import secrets
import sys
import warnings
from typing import Any

from xai_ext._checks import InputError
from xai_ext.study._worker import Setup, Worker
from xai_ext.study.engine import Event, outcome

_NO_TOKEN = (
    "Ray listens on all interfaces and asks for no token; fix: RAY_AUTH_MODE=token and RAY_AUTH_TOKEN before the first "
    "import of ray"
)
_STORE = 200_000_000  # bytes of shared memory: results are small


class Ray:
    """Actors that Ray neither restarts nor retries: the scheduler does, and counts.

    Parameters
    ----------
    setup : Setup
    workers : int
    address : str, optional
        ``HOST:PORT`` of a cluster; None starts Ray on this machine. There a random token keeps strangers out, because
        Ray listens on all interfaces; a cluster needs ``RAY_AUTH_MODE=token`` and ``RAY_AUTH_TOKEN`` of its own.
    gpus_per_worker : float
        Share of a GPU that Ray sets aside for each.
    """

    def __init__(self, setup: Setup, workers: int, address: str | None = None, gpus_per_worker: float = 0.0) -> None:
        self._ray = _imported(address)
        self._setup, self._next, self._gpus = setup, 0, gpus_per_worker
        self.pids: dict[int, int] = {}
        self._actors: dict[int, Any] = {}
        self._pending: dict[Any, int] = {}
        quiet = {"include_dashboard": False, "log_to_driver": False, "logging_level": "error"}
        paths = os.pathsep.join(p for p in sys.path if p)
        environment = {"env_vars": {"PYTHONPATH": paths, "OMP_NUM_THREADS": str(setup.threads)}}
        if address is None:
            self._ray.init(num_cpus=workers, object_store_memory=_STORE, runtime_env=environment, **quiet)
        else:
            self._ray.init(address=address, log_to_driver=False, logging_level="error")
        self._check_room(workers)

    def start(self) -> int:
        """See `Engine`."""
        number, self._next = self._next, self._next + 1
        remote = self._ray.remote(num_cpus=1, num_gpus=self._gpus, max_restarts=0, max_task_retries=0)(_Actor)
        self._actors[number] = remote.remote(self._setup)
        self._pending[self._actors[number].hello.remote()] = number
        return number

    def send(self, worker: int, task: Any) -> None:
        """See `Engine`."""
        self._pending[self._actors[worker].run.remote(task)] = worker

    def wait(self, timeout: float) -> list[Event]:
        """See `Engine`."""
        if not self._pending:
            return []
        ready, _ = self._ray.wait(list(self._pending), num_returns=1, timeout=timeout)
        return [self._received(reference) for reference in ready]

    def kill(self, worker: int) -> None:
        """See `Engine`."""
        if worker in self._actors:
            self._ray.kill(self._actors[worker])

    def close(self) -> None:
        """See `Engine`."""
        for actor in self._actors.values():
            self._ray.kill(actor)
        self._ray.shutdown()

    def _received(self, reference: Any) -> Event:
        number = self._pending.pop(reference)
        try:
            what, payload = self._ray.get(reference)
        except self._ray.exceptions.RayActorError as error:
            self._actors.pop(number, None)
            self.pids.pop(number, None)
            return Event(number, "died", {"exit": None, "log": str(error)[-2000:]})
        if what == "ready":
            self.pids[number] = payload["pid"]
        return Event(number, what, payload)

    def _check_room(self, workers: int) -> None:
        """Ray would wait for ever."""
        found = self._ray.cluster_resources()
        for name, each in (("CPU", 1.0), ("GPU", self._gpus)):
            there = found.get(name, 0.0)
            if workers * each > there:
                self._ray.shutdown()
                fix = f"--workers {int(there / each)}" if there >= each else "another --ray-address, or --device cpu"
                raise InputError(f"{workers} workers need {workers * each:g} {name}s, the cluster has {there:g}; "
                                 f"fix: {fix}")  # fmt: skip


class _Actor:
    """A worker."""

    def __init__(self, setup: Setup) -> None:
        self._worker = Worker(setup)

    def hello(self) -> tuple[str, Any]:
        return "ready", self._worker.hello()

    def run(self, task: Any) -> tuple[str, Any]:
        return outcome(self._worker, task)


def _imported(address: str | None) -> Any:
    """Ray, with its usage reports off and, on this machine, a token."""
    if "ray" not in sys.modules:  # it reads them once
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        if address is None:
            os.environ.setdefault("RAY_AUTH_MODE", "token")
            os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
    if os.environ.get("RAY_AUTH_MODE") != "token":
        warnings.warn(_NO_TOKEN, stacklevel=4)
    try:
        import ray
    except Exception as error:
        raise InputError(f'engine "ray" needs Ray ({error}); fix: pip install "xai-ext[cluster]"') from error
    return ray
