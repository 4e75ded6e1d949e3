"""Runs over data sets: whatever happens on the way, the result is the same."""

import json

import numpy as np
import pytest

from tests.laws import GeneratorsUntouched
from tests.study.bench_runs import SMALL, rows_of, same, write_images, write_white
from xai_ext.study._files import DiskFull
from xai_ext.study._lock import Locked
from xai_ext.study.bench import BenchRun, bench
from xai_ext.study.store import OtherConfiguration, Store

pytest.importorskip("pyarrow")

N_UNITS = 7 * 5


@pytest.fixture(scope="module")
def whole(data, tmp_path_factory):
    """An undisturbed serial run."""
    return bench(data, out=tmp_path_factory.mktemp("run") / "whole", **SMALL)


def test_a_call_that_is_refused_before_it_began_leaves_no_folder(data, tmp_path):
    with pytest.raises(ValueError, match="there is no folder or table"):
        bench("mistyped", out=tmp_path / "run", **SMALL)
    assert not (tmp_path / "run").exists()
    Store(tmp_path / "run").create()
    (tmp_path / "run" / "lock-1-of-2").touch()  # another shard has just begun
    Store(tmp_path / "run").remove_if_empty()
    assert (tmp_path / "run" / "parts").is_dir()


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
