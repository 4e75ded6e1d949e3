"""Several targets per image, and another baseline for metrics, in runs over data sets."""

import numpy as np
import pytest

from tests.study.bench_runs import SMALL, same, write_images
from xai_ext.study.bench import BenchRun, bench

pytest.importorskip("pyarrow")

FEW = SMALL | {"methods": "captum.Saliency,stratified_lime", "repeats": 2}


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    return str(write_images(tmp_path_factory.mktemp("targets") / "photos", 3))


@pytest.fixture(scope="module")
def both(photos, tmp_path_factory):
    return bench(photos, out=tmp_path_factory.mktemp("run") / "both", **FEW | {"target": "top2"})


def values_of(run):
    table = run.table()
    keys = ["image_id", "class_id", "method", "seed", "metric"]
    kept = table[~table.metric.isin(["metric_rows"])]
    return kept.set_index(keys).value.sort_index()


def test_each_target_has_the_numbers_of_a_run_of_its_own(both, photos, tmp_path):
    found = {rank: values_of(BenchRun(both.folder, target_rank=rank)) for rank in (1, 2)}
    for index, name in enumerate(("ant", "bee")):
        alone = values_of(bench(photos, out=tmp_path / name, **FEW | {"target": name}))
        together = np.concatenate([f[f.index.get_level_values("class_id") == index].to_numpy() for f in found.values()])
        np.testing.assert_array_equal(np.sort(together), np.sort(alone.to_numpy()))


def test_every_image_is_there_once_for_each_target(both):
    status = both.status()
    assert status["images"] == status["images_done"] == 6
    assert status["units"] == status["units_done"] == 18
    ranks = both.sql("select target_rank, count(distinct image_id) as n from results group by all order by all")
    assert ranks.to_numpy().tolist() == [[1, 3], [2, 3]]


def test_the_study_of_disagreement_is_of_one_target(both):
    found = [BenchRun(both.folder, target_rank=rank).disagreement(n_permutations=99) for rank in (1, 2)]
    assert [f.setup["n_images"] for f in found] == [3, 3]
    assert found[0].to_json() != found[1].to_json()


def test_other_images_are_of_the_same_target(both):
    plan = both._plan
    for image, item in enumerate(plan.items):
        assert plan.items[plan.previous(image)].rank == item.rank


def test_a_list_of_classes_keeps_its_order(photos, tmp_path):
    run = bench(photos, out=tmp_path / "run", **FEW | {"target": "bee,ant", "methods": "captum.Saliency"})
    assert set(run.table().class_id) == {1}
    assert set(BenchRun(run.folder, target_rank=2).table().class_id) == {0}


def test_it_is_continued_and_shared_like_any_other_run(both, photos, tmp_path):
    for shard in ("1/2", "2/2", None):
        run = bench(photos, out=tmp_path / "run", shard=shard, **FEW | {"target": "top2"})
    same(run, both)


@pytest.mark.parametrize(("target", "says"), [("top11", "top1 to top10"), ("top0", "top1 to top10")])
def test_too_many_targets_are_refused_before_anything_runs(photos, tmp_path, target, says):
    with pytest.raises(ValueError, match=says):
        bench(photos, out=tmp_path / "run", **FEW | {"target": target})


def test_a_target_that_the_run_has_not_is_refused(both):
    with pytest.raises(ValueError, match="target_rank must lie between 1 and 2, got 3"):
        BenchRun(both.folder, target_rank=3)


def test_metrics_may_put_something_else_in_place_than_methods(photos, tmp_path):
    asked = FEW | {"methods": "captum.Saliency,captum.FeatureAblation"}
    runs = [bench(photos, out=tmp_path / str(b), metric_baseline=b, **asked) for b in (None, "zero", "white")]
    usual, zero, white = (values_of(run).xs(0, level="seed") for run in runs)
    np.testing.assert_array_equal(usual.to_numpy(), zero.to_numpy())
    changed = usual[usual != white].index.get_level_values("metric").unique()
    assert {"deletion", "insertion"} <= set(changed)
    assert not {"cost", "gini", "f_baseline"} & set(changed)
