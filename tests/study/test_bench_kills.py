"""Runs whose workers or runner are killed or stopped, and a planted study: the result is the same."""

import importlib.util
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from datetime import datetime
from pathlib import Path

import pytest

from tests.study.bench_runs import SMALL, of_session, same
from xai_ext.study import bench as bench_module
from xai_ext.study.bench import BenchRun, bench
from xai_ext.study.store import Store

pytest.importorskip("pyarrow")

SLOW = {"models": ["tests.study.small_models:slow"], "methods": "captum.KernelShap,center,random", "repeats": 3}


@pytest.fixture(scope="module")
def slow_whole(data, tmp_path_factory):
    return bench(data[:1], out=tmp_path_factory.mktemp("run") / "slow", **SMALL | SLOW)


def kill_workers(engines, n, out, over):
    """SIGKILL `n` workers at random moments, unless the run is over before.

    Between two kills a few units are finished: one that dies with its worker three times is rightly set aside.
    """
    rng, killed, seen, last = random.Random(0), set(), set(), 0
    while len(killed) < n and not over.wait(0.2 * rng.random()):
        seen |= {path.name for path in (out / "open").glob("*.npz")}
        alive = set(engines[-1].pids.values()) - killed if engines else set()
        if alive and (not killed or len(seen) >= last + 4):
            victim, last = rng.choice(sorted(alive)), len(seen)
            killed.add(victim)
            os.kill(victim, signal.SIGKILL)


@pytest.mark.slow
@pytest.mark.parametrize(("engine", "n"), [("processes", 3), ("ray", 1)])  # Ray's workers take seconds to start
def test_killed_workers_change_nothing(engine, n, slow_whole, data, tmp_path, monkeypatch):
    if engine == "ray" and importlib.util.find_spec("ray") is None:
        pytest.skip("needs the extra cluster")
    engines, over, make = [], threading.Event(), bench_module._engine
    monkeypatch.setattr(bench_module, "_engine", lambda *given: engines.append(make(*given)) or engines[-1])
    killer = threading.Thread(target=kill_workers, args=(engines, n, tmp_path / "run", over))
    killer.start()
    run = bench(data[:1], out=tmp_path / "run", engine=engine, workers=2, **SMALL | SLOW)
    over.set()
    killer.join()
    log = (tmp_path / "run" / "log.jsonl").read_text().splitlines()
    assert sum(json.loads(line)["event"] == "died" for line in log) == n
    assert run.exit_code == 0
    same(run, slow_whole)


def started(data, out, **options):
    asked = {"data": data, "out": str(out), **SMALL, **SLOW, **options}
    return subprocess.Popen(
        [sys.executable, "-m", "tests.study.bench_runs", json.dumps(asked)], stderr=subprocess.DEVNULL,
        start_new_session=True,
    )  # fmt: skip


def when_open(out, n, process):
    """Wait until so many units are finished."""
    while process.poll() is None and len(list((out / "open").glob("*.npz"))) < n:
        time.sleep(0.01)


def kept(out):
    """What is finished on the disk."""
    return {path.name for folder in ("open", "parts") for path in (out / folder).glob("*.*")}


def when_more(out, n, process):
    """Wait until so many more units, or parts, are finished."""
    before = kept(out)
    while process.poll() is None and len(kept(out) - before) < n:
        time.sleep(0.01)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for processes in /proc")
def test_a_runner_killed_three_times_loses_little_and_leaves_nobody(slow_whole, data, tmp_path):
    out, rng = tmp_path / "run", random.Random(1)
    for _ in range(3):
        process = started(data[:1], out, engine="processes", workers=2)
        when_more(out, 4, process)
        time.sleep(rng.random() * 0.3)
        assert process.poll() is None
        process.kill()
        process.wait()
        deadline = time.monotonic() + 5
        while of_session(process.pid) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert of_session(process.pid) == []
    store = Store(out)
    assert store.part_names() or len(store.remembered()) >= 4
    same(bench(data[:1], out=out, **SMALL | SLOW), slow_whole)


@pytest.mark.slow
def test_two_forced_runners_on_one_folder_both_end_with_the_same_table(slow_whole, data, tmp_path):
    out = tmp_path / "run"
    other = started(data[:1], out)
    when_more(out, 1, other)
    assert other.poll() is None
    run = bench(data[:1], out=out, force=True, **SMALL | SLOW)
    assert (run.exit_code, other.wait()) == (0, 0)
    same(run, slow_whole)
    assert run.verify() == []


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_a_run_between_two_batches_of_captum(number, code, slow_whole, data, tmp_path):
    out = tmp_path / "run"
    process = started(data[:1], out)
    when_open(out, 1, process)
    asked = time.time()
    process.send_signal(number)
    assert process.wait() == code
    last = json.loads((out / "log.jsonl").read_text().splitlines()[-1])
    assert last["event"] == "ended"
    assert datetime.fromisoformat(last["time"]).timestamp() - asked < 2 * 0.05 + 2  # two batches and two seconds
    same(bench(data[:1], out=out, **SMALL | SLOW), slow_whole)


class TestPlantedStudy:
    """Two data sets, models and baselines, three methods, three seeds: method > model > baseline > seed."""

    OPTIONS = SMALL | {
        "models": ["tests.study.small_models:tiny", "tests.study.small_models:other"],
        "methods": ",".join(f"tests.study.small_models:{name}" for name in ("first", "second", "third")),
        "baselines": ["black", "white"], "repeats": 3, "target": "0",
    }  # fmt: skip

    @pytest.fixture(scope="class")
    @staticmethod
    def planted(data, tmp_path_factory):
        return bench(data, out=tmp_path_factory.mktemp("run") / "planted", **TestPlantedStudy.OPTIONS)

    def test_the_planted_order_of_factors_is_found(self, planted):
        report = planted.disagreement(n_permutations=99)
        found = report.changes_maps
        found = found[(found.view == "pixels") & (found.measure == "spearman")].set_index("factor").disagreement
        assert found.method > found.model > found.baseline > found.seed
        assert report.setup["n_images"] == 7

    @pytest.mark.slow
    def test_it_is_the_same_on_two_processes_and_in_three_shards(self, planted, data, tmp_path):
        same(bench(data, out=tmp_path / "two", engine="processes", workers=2, **self.OPTIONS), planted)
        for i in (1, 2, 3):
            bench(data, out=tmp_path / str(i), shard=f"{i}/3", **self.OPTIONS)
        joined = BenchRun(*(tmp_path / str(i) for i in (1, 2, 3)))
        same(joined, planted)
        settings = {"n_permutations": 99}
        assert joined.disagreement(**settings).to_json() == planted.disagreement(**settings).to_json()
