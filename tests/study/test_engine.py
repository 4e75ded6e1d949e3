"""Which GPU a worker has, and workers that never come."""

import importlib.util
from typing import ClassVar

import pytest
import torch

from tests.study.bench_runs import SMALL, write_images
from xai_ext.study import _scheduler, engine
from xai_ext.study import bench as bench_module
from xai_ext.study._plan import Running


@pytest.mark.parametrize(
    ("device", "gpus", "found"),
    [
        ("cuda", 3, ["cuda:0", "cuda:1", "cuda:2", "cuda:0"]),
        ("cuda", 1, ["cuda"] * 4),
        ("cuda:1", 3, ["cuda:1"] * 4),
        ("cpu", 3, ["cpu"] * 4),
        (None, 3, [None] * 4),
    ],
)
def test_workers_take_gpus_in_turn(monkeypatch, device, gpus, found):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    assert [engine.pinned(device, worker) for worker in range(4)] == found


@pytest.mark.parametrize(
    ("options", "says"),
    [({"gpus_per_worker": 0.5}, "only Ray shares out GPUs"), ({"gpus_per_worker": -1.0, "engine": "ray"}, "from 0")],
)
def test_shares_of_gpus_are_ray_s(options, says):
    with pytest.raises(ValueError, match=says):
        Running(**options)


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="needs the extra cluster")
def test_ray_sets_the_shares_aside_and_refuses_more_than_there_are(monkeypatch):
    from xai_ext.study._ray import Ray
    from xai_ext.study._worker import Setup
    from xai_ext.study.unit import Look, Terms

    monkeypatch.setenv("RAY_OVERRIDE_RESOURCES", '{"GPU": 1}')
    setup = Setup("center", Look(), Terms(), ("spearman",), 1, {}, {})
    with pytest.raises(ValueError, match=r"2 workers need 1.5 GPUs, the cluster has 1; fix: --workers 1"):
        Ray(setup, 2, gpus_per_worker=0.75)
    started = Ray(setup, 2, gpus_per_worker=0.5)
    try:
        for _ in range(2):
            started.start()
        events = []
        while len(events) < 2:
            events += started.wait(30)
        assert [e.what for e in events] == ["ready", "ready"]
        assert started._ray.available_resources().get("GPU", 0.0) == 0.0
    finally:
        started.close()


class _Mute:
    """Starts workers that never greet, as a cluster does whose CPUs others have."""

    pids: ClassVar[dict] = {}
    closed = False

    def start(self):
        return 0

    def wait(self, timeout):
        return []

    def close(self):
        self.closed = True


def test_workers_that_never_greet_are_not_waited_for_for_ever(tmp_path, monkeypatch):
    pytest.importorskip("pyarrow")
    mute = _Mute()
    monkeypatch.setattr(bench_module, "_engine", lambda *given: mute)
    monkeypatch.setattr(_scheduler, "START_LIMIT", 0.05)
    with pytest.raises(ValueError, match=r"no worker was ready within 0 s; fix: fewer --workers"):
        bench_module.bench(str(write_images(tmp_path / "photos", 2)), out=tmp_path / "run", **SMALL)
    assert mute.closed
