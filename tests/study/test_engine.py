"""Which GPU a worker has."""

import importlib.util

import pytest
import torch

from xai_ext.study import engine
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
