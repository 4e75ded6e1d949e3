"""Runs over data sets: whatever happens on the way, the result is the same."""

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

import numpy as np
import pytest

from tests.laws import GeneratorsUntouched
from tests.study.bench_runs import SMALL, rows_of, write_images, write_white
from xai_ext.study import bench as bench_module
from xai_ext.study._files import DiskFull
from xai_ext.study._lock import Locked
from xai_ext.study.bench import BenchRun, bench
from xai_ext.study.store import OtherConfiguration, Store

pytest.importorskip("pyarrow")

N_UNITS = 7 * 5
SLOW = {"models": ["tests.study.small_models:slow"], "methods": "captum.KernelShap,center,random", "repeats": 3}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp("data")
    return [str(write_images(root / "a", 4)), str(write_images(root / "b", 3, seed=1))]


@pytest.fixture(scope="module")
def whole(data, tmp_path_factory):
    """An undisturbed serial run."""
    return bench(data, out=tmp_path_factory.mktemp("run") / "whole", **SMALL)


@pytest.fixture(scope="module")
def slow_whole(data, tmp_path_factory):
    return bench(data[:1], out=tmp_path_factory.mktemp("run") / "slow", **SMALL | SLOW)


def same(run, other):
    assert rows_of(run) == rows_of(other)


class TestOneRun:
    def test_every_unit_is_done_once(self, whole):
        table = whole.table()
        costs = table[table.metric == "cost"]
        assert whole.exit_code == 0
        assert len(costs) == costs.unit_id.nunique() == N_UNITS
        assert set(costs.groupby("image_id").size()) <= {5, 10}
        assert (costs.value <= SMALL["budget"]).all()
        assert set(costs.method_status) == {"ok"}

    def test_status_counts_what_is_there(self, whole):
        status = whole.status()
        assert status["units"] == status["units_done"] == N_UNITS
        assert status["blocks"] == status["blocks_done"] == 3  # of 2, 2 and 3 images: none of two data sets
        assert not status["running"]

    def test_sql_sees_what_the_table_has(self, whole):
        pytest.importorskip("duckdb")
        found = whole.sql("select avg(value) as srg from results where kind = 'unit' and metric = 'srg'")
        table = whole.table()
        assert found.srg[0] == pytest.approx(table[table.metric == "srg"].value.mean())

    def test_the_report_of_disagreement_has_both_data_sets(self, whole):
        found = whole.disagreement(n_permutations=99)
        assert found.setup["n_images"] == 7
        assert found.setup["datasets"] == ["a", "b"]
        assert len(found.score_ranks.between) > 0

    def test_nothing_is_left_open(self, whole):
        assert list(Store(whole.folder).open.iterdir()) == []
        assert not list(whole.folder.rglob(".tmp-*"))
        assert not list(whole.folder.glob("lock*"))

    def test_global_generators_are_untouched(self, data, tmp_path):
        with GeneratorsUntouched():
            bench(data[1:], out=tmp_path / "run", **SMALL | {"methods": "random,stratified_lime"})

    def test_maps_are_kept_on_request(self, data, tmp_path):
        pytest.importorskip("zarr")
        run = bench(data[1:], out=tmp_path / "run", **SMALL | {"save_maps": "full", "methods": "center,random"})
        pixels, maps = run.maps("1.png")
        assert pixels.shape == (16, 16, 3)
        y, x = np.meshgrid(np.arange(16) - 7.5, np.arange(16) - 7.5)
        np.testing.assert_allclose(maps["center"], np.exp(-(y**2 + x**2) / 32), rtol=1e-3, atol=1e-7)
        assert run.maps("9.png") is None

    def test_an_unknown_option_is_named(self, data, tmp_path):
        with pytest.raises(ValueError, match="did you mean 'budget'"):
            bench(data, out=tmp_path / "run", budgt=3)


class TestShares:
    def test_shards_in_folders_of_their_own_are_the_whole(self, whole, data, tmp_path):
        for i in (1, 2, 3):
            bench(data, out=tmp_path / str(i), shard=f"{i}/3", **SMALL)
        joined = BenchRun(*(tmp_path / str(i) for i in (2, 1, 3)))
        same(joined, whole)
        settings = {"n_permutations": 99}
        assert joined.disagreement(**settings).to_json() == whole.disagreement(**settings).to_json()

    def test_shards_in_one_folder_are_the_whole_on_any_engine(self, whole, data, tmp_path):
        bench(data, out=tmp_path, shard="2/2", engine="processes", workers=2, **SMALL)
        assert BenchRun(tmp_path).status()["images_done"] == 2
        same(bench(data, out=tmp_path, shard="1/2", **SMALL), whole)

    @pytest.mark.parametrize("shard", ["0/3", "4/3", "1", "a/b"])
    def test_a_shard_that_is_none_is_refused(self, shard, data, tmp_path):
        with pytest.raises(ValueError, match="shard must be i/n"):
            bench(data, out=tmp_path / "run", shard=shard, **SMALL)


def kill_workers(engines, n, pause, over):
    """SIGKILL `n` workers at random moments, unless the run is over before."""
    rng, killed = random.Random(0), set()
    while len(killed) < n and not over.wait(pause * (0.5 + rng.random())):
        alive = set(engines[-1].pids.values()) - killed if engines else set()
        if alive:
            killed.add(rng.choice(sorted(alive)))
            os.kill(max(killed & alive), signal.SIGKILL)


@pytest.mark.slow
@pytest.mark.parametrize(("engine", "n"), [("processes", 3), ("ray", 1)])  # Ray's workers take seconds to start
def test_killed_workers_change_nothing(engine, n, slow_whole, data, tmp_path, monkeypatch):
    if engine == "ray" and importlib.util.find_spec("ray") is None:
        pytest.skip("needs the extra cluster")
    engines, over, make = [], threading.Event(), bench_module._engine
    monkeypatch.setattr(bench_module, "_engine", lambda *given: engines.append(make(*given)) or engines[-1])
    killer = threading.Thread(target=kill_workers, args=(engines, n, 0.4, over))
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


def of_session(session):
    """Processes that the killed one left behind."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[3]) == session and fields[0] != "Z":
            found.append(int(path.parent.name))
    return found


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for processes in /proc")
def test_a_killed_runner_loses_little_and_leaves_nobody(slow_whole, data, tmp_path):
    out = tmp_path / "run"
    process = started(data[:1], out, engine="processes", workers=2)
    when_open(out, 4, process)
    time.sleep(random.Random(1).random() * 0.3)
    process.kill()
    process.wait()
    deadline = time.monotonic() + 5
    while of_session(process.pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert of_session(process.pid) == []
    assert len(Store(out).remembered()) >= 4
    same(bench(data[:1], out=out, **SMALL | SLOW), slow_whole)


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


class TestTrouble:
    def test_a_unit_that_kills_its_worker_is_set_aside(self, tmp_path):
        folder = write_images(tmp_path / "a", 3)
        write_white(folder / "white.png")
        options = SMALL | {"models": ["tests.study.small_models:poison"], "methods": "center,random_segments"}
        run = bench(str(folder), out=tmp_path / "run", engine="processes", workers=2, **options)
        assert run.exit_code == 3
        quarantined = run.failures
        assert {(one["where"], one["image_id"]) for one in quarantined} == {("quarantine", "white.png")}
        assert len(quarantined) == 3
        assert "died 3 times (exit -9)" in quarantined[0]["note"]
        status = run.table().drop_duplicates("unit_id").groupby("image_id").method_status.unique()
        assert status["white.png"] == ["quarantined"]
        assert [list(status[f"{i}.png"]) for i in range(3)] == [["ok"]] * 3

    def test_a_unit_that_raises_is_tried_once_and_on_request_again(self, tmp_path):
        folder = write_images(tmp_path / "a", 3)
        write_white(folder / "white.png")
        options = SMALL | {"models": ["tests.study.small_models:picky"], "methods": "center,random_segments"}
        run = bench(str(folder), out=tmp_path / "run", **options)
        assert run.exit_code == 3
        assert len(run.failures) == 3
        assert all("too bright" in one["traceback"] for one in run.failures)
        before = rows_of(run)
        assert bench(str(folder), out=tmp_path / "run", **options).exit_code == 3
        again = bench(str(folder), out=tmp_path / "run", retry_failed=True, **options)
        assert rows_of(again) == before
        events = [json.loads(line)["event"] for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
        assert events.count("failed") == 6

    def test_too_many_failures_stop_the_run(self, tmp_path):
        folder = tmp_path / "a"
        folder.mkdir()
        for i in range(6):
            write_white(folder / f"{i}.png")
        options = SMALL | {"models": ["tests.study.small_models:picky"], "methods": "random"}
        run = bench(str(folder), out=tmp_path / "run", **options)
        assert run.exit_code == 4
        assert "10 of 10 units failed, the last one with: RuntimeError: too bright" in run.message

    def test_a_broken_image_fails_alone(self, tmp_path):
        folder = write_images(tmp_path / "a", 3)
        (folder / "broken.png").write_bytes((folder / "0.png").read_bytes()[:100])
        run = bench(str(folder), out=tmp_path / "run", **SMALL | {"methods": "center"})
        assert run.exit_code == 3
        assert [one["image_id"] for one in run.failures] == ["broken.png"]

    @pytest.mark.parametrize("after", [0, 12, 20])
    def test_a_full_disk_stops_and_what_fits_later_is_the_same(self, after, whole, data, tmp_path, monkeypatch):
        """Journal, part and log are written through the same door."""
        from xai_ext.study import _files

        write, written = _files._write, []

        def full(path, content, durable):
            written.append(path)
            if len(written) > after and path.parent.name in ("parts", "open"):
                with path.open("wb") as file:
                    file.write(content[: len(content) // 2])
                raise OSError(28, "No space left on device")
            write(path, content, durable)

        monkeypatch.setattr(_files, "_write", full)
        run = bench(data, out=tmp_path / "run", **SMALL)
        assert run.exit_code == DiskFull.exit_code == 6
        assert "bytes; fix: free some space" in run.message
        assert not list(run.folder.rglob(".tmp-*"))
        monkeypatch.undo()
        same(bench(data, out=tmp_path / "run", **SMALL), whole)

    def test_a_damaged_part_is_computed_again(self, whole, data, tmp_path):
        bench(data, out=tmp_path / "run", **SMALL)
        part = sorted((tmp_path / "run" / "parts").iterdir())[1]
        content = bytearray(part.read_bytes())
        content[len(content) // 3] ^= 4
        part.write_bytes(content)
        assert BenchRun(tmp_path / "run").verify() == [part.name]
        assert (tmp_path / "run" / "corrupt" / part.name).exists()
        assert BenchRun(tmp_path / "run").status()["blocks_done"] == 2
        same(bench(data, out=tmp_path / "run", **SMALL), whole)


@pytest.fixture(scope="module")
def centers(data, tmp_path_factory):
    return bench(data, out=tmp_path_factory.mktemp("run") / "run", **SMALL | {"methods": "center"}).folder


class TestOtherConfigurations:
    @pytest.mark.parametrize(
        ("change", "key"),
        [
            ({"models": ["tests.study.small_models:other"]}, "models, preprocessing, weights"),
            ({"budget": 21}, "budget"),
            ({"baselines": ["black"]}, "baselines"),
            ({"seed": 1}, "seed"),
            ({"repeats": 3}, "repeats"),
            ({"methods": "random"}, "methods"),
            ({"segments": "grid:2x2"}, "segments"),
            ({"target": "1"}, "target"),
            ({"metric_steps": 4}, "metric_steps"),
            ({"hosts": "as-is"}, "hosts"),
            ({"agreement": ["pearson"]}, "agreement"),
            ({"images_per_part": 4}, "images_per_part"),
            ({"limit": 2}, "data, limit"),
        ],
    )
    def test_one_change_is_refused_and_named(self, change, key, centers, data):
        with pytest.raises(OtherConfiguration, match=f"another {key};") as error:
            bench(data, out=centers, **SMALL | {"methods": "center"} | change)
        assert error.value.exit_code == 5

    def test_other_weights_under_the_same_name_are_refused(self, centers, data, monkeypatch):
        from tests.study import small_models

        monkeypatch.setattr(small_models, "tiny", small_models.other)
        with pytest.raises(OtherConfiguration, match="another weights;"):
            bench(data, out=centers, **SMALL | {"methods": "center"})

    @pytest.mark.parametrize("change", [{"engine": "processes", "workers": 2}, {"shard": "1/2"}, {"max_failures": 0.5}])
    def test_how_it_runs_may_change(self, change, centers, data):
        assert bench(data, out=centers, **SMALL | {"methods": "center"} | change).exit_code == 0

    def test_other_numerics_are_refused_and_on_request_told_apart(self, data, tmp_path):
        options = SMALL | {"methods": "center"}
        bench(data, out=tmp_path / "run", shard="1/2", **options)
        with pytest.raises(OtherConfiguration, match="threads: 1 then, 2 now"):
            bench(data, out=tmp_path / "run", threads=2, **options)
        run = bench(data, out=tmp_path / "run", threads=2, allow_numerics=True, **options)
        assert dict(run.table().groupby("numerics").image_id.count() > 0) == {0: True, 1: True}

    def test_a_second_runner_is_refused_unless_forced(self, data, tmp_path):
        from xai_ext.study._lock import Lock

        options = SMALL | {"methods": "center"}
        bench(data, out=tmp_path / "run", shard="1/2", **options)
        with Lock(tmp_path / "run"):
            with pytest.raises(Locked, match="another runner works on this folder") as error:
                bench(data, out=tmp_path / "run", **options)
            assert error.value.exit_code == 5
            assert BenchRun(tmp_path / "run").status()["running"]
            run = bench(data, out=tmp_path / "run", force=True, **options)
        assert run.status()["images_done"] == 7

    def test_a_folder_of_something_else_is_left_alone(self, data, tmp_path):
        (tmp_path / "letter.txt").write_text("dear")
        with pytest.raises(ValueError, match="holds something else"):
            bench(data, out=tmp_path, **SMALL)


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
