"""Maps that a run keeps: whole, or as means over the shared regions."""

import shutil

import numpy as np
import pytest

from tests.study.bench_runs import SMALL, rows_of, same, write_images
from xai_ext.study.bench import BenchRun, bench
from xai_ext.study.store import Store

pytest.importorskip("pyarrow")
pytest.importorskip("zarr")

FEW = SMALL | {"methods": "captum.FeatureAblation,random", "target": "top2"}


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    return str(write_images(tmp_path_factory.mktemp("maps") / "photos", 2))


@pytest.fixture(scope="module")
def runs(photos, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    return {how: bench(photos, out=folder / how, **FEW | {"save_maps": how}) for how in ("none", "compact", "full")}


def blocks_of(values):
    return values.reshape(4, 4, 4, 4).mean((1, 3)).repeat(4, 0).repeat(4, 1)


def test_compact_maps_are_means_over_the_regions(runs):
    pixels, compact = runs["compact"].maps("1.png")
    seen, full = runs["full"].maps("1.png")
    assert set(compact) == set(full) == {"captum.FeatureAblation", "random"}
    for name, values in full.items():
        np.testing.assert_allclose(compact[name], blocks_of(values), rtol=2e-3, atol=1e-5)
    assert pixels.shape == seen.shape
    grey, of_file = seen.mean(2).ravel(), pixels.mean(2).ravel()
    assert np.corrcoef(grey, of_file)[0, 1] > 0.8  # of noise, which a lossy file keeps least


def test_each_target_has_its_own(runs):
    first, second = (
        [BenchRun(runs[how].folder, target_rank=rank).maps("0.png")[1]["captum.FeatureAblation"] for rank in (1, 2)]
        for how in ("compact", "full")
    )  # fmt: skip
    assert not np.allclose(first[0], first[1])
    np.testing.assert_allclose(first, second, rtol=2e-3, atol=1e-5)


def test_maps_of_regions_lose_nothing(runs):
    values = runs["compact"].maps("0.png")[1]["captum.FeatureAblation"]
    np.testing.assert_allclose(values, blocks_of(values), rtol=1e-12)
    assert np.ptp(values) > 0


def test_nothing_else_depends_on_them(runs):
    kept = [[row for row in rows_of(run) if row["values"] == row["content"] == "None"] for run in runs.values()]
    assert kept[0] == kept[1] == kept[2]
    assert runs["compact"].table().columns.tolist() == runs["none"].table().columns.tolist()
    found = [run.disagreement(n_permutations=99) for run in runs.values()]
    assert found[0].to_json() == found[1].to_json()


def test_regions_and_pixels_are_kept_once(runs):
    kinds = runs["compact"].sql("select kind, count(*) as n from results where values is not null or content is not "
                                "null group by kind order by kind")  # fmt: skip
    assert dict(zip(kinds.kind, kinds.n, strict=True)) == {"map": 12, "pixels": 4, "regions": 4}


def test_they_are_the_same_bytes_from_workers(runs, photos, tmp_path):
    again = bench(photos, out=tmp_path / "run", engine="processes", workers=2, **FEW | {"save_maps": "compact"})
    same(again, runs["compact"])


def test_no_maps_no_pictures(runs):
    assert runs["none"].maps("1.png") is None
    assert runs["compact"].maps("9.png") is None


def test_runs_from_before_there_were_such_maps_are_read(runs, tmp_path):
    shutil.copytree(runs["none"].folder, tmp_path / "old")
    old = Store(tmp_path / "old")
    for name, table in old.read_parts()[0]:
        (old.parts / name).unlink()
        old.write_part(name, table.drop_columns(["values", "content"]))
    assert rows_of(BenchRun(old.folder)) == rows_of(runs["none"])
    assert BenchRun(old.folder).table().equals(runs["none"].table())
