"""Every number in the tables of a run's page, computed again from exported CSV with pandas and SciPy alone."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from tests.study.bench_runs import SMALL, write_images
from xai_ext.study._safe_names import write_csv
from xai_ext.study.bench import bench
from xai_ext.study.report._bench import context

pytest.importorskip("pyarrow")
pytest.importorskip("duckdb")
HEADS = {"method", "dataset", "mean", "from", "to", "sd", "images", "undefined"}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    root = tmp_path_factory.mktemp("run")
    data = [str(write_images(root / "a", 5)), str(write_images(root / "b", 4, seed=1))]
    return bench(data, out=root / "run", **SMALL)


@pytest.fixture(scope="module")
def page(run):
    return context(run)


@pytest.fixture(scope="module")
def exported(run, tmp_path_factory):
    return pd.read_csv(write_csv(run.table(), tmp_path_factory.mktemp("csv") / "table.csv"))


@pytest.fixture(scope="module")
def pairs(run, tmp_path_factory):
    rows = run.sql("select * from results where kind = 'pair'")
    return pd.read_csv(write_csv(rows, tmp_path_factory.mktemp("csv") / "pairs.csv"))


def values_of(table):
    """One dict per row: numbers as they were before they were rounded for the page."""
    heads = [head for head, _ in table.head]
    return [{h: c.value if c.is_number else c.text for h, c in zip(heads, row, strict=True)} for row in table.rows]


def interval(per_image):
    """Student's t over images."""
    half = stats.t.ppf(0.975, len(per_image) - 1) * stats.sem(per_image)
    return per_image.mean() - half, per_image.mean() + half


def metric_of(table, exported):
    """Which metric a table is of: the one whose means are in it."""
    (wanted,) = {round(values_of(table)[0]["mean"], 12)}
    means = exported.groupby(["metric", "dataset", "method"]).value.mean()
    found = [m for m, *_ in means[np.isclose(means, wanted, rtol=1e-9, atol=0)].index]
    assert found, f"no metric of the export has the mean {wanted}"
    return found


def test_means_intervals_and_counts(page, exported):
    seen = set()
    for table in page["scores"]:
        metric = metric_of(table, exported)[0]
        seen.add(metric)
        for row in values_of(table):
            assert set(row) <= HEADS
            own = exported.query("metric == @metric and method == @row['method'] and dataset == @row['dataset']")
            per_image = own.groupby("image_id").value.mean()
            low, high = interval(per_image.to_numpy())
            assert row["mean"] == pytest.approx(own.value.mean(), rel=1e-10)
            assert (row["from"], row["to"]) == pytest.approx((low, high), rel=1e-8, abs=1e-12)
            assert row["sd"] == pytest.approx(own.value.std(ddof=1), rel=1e-10)
            assert row["images"] == len(per_image)
            assert row["undefined"] == 0
    assert {"deletion", "insertion", "srg", "srg@prob", "gini"} <= seen


def holm(p):
    order, corrected = np.argsort(p), np.empty(len(p))
    corrected[order] = np.minimum(1, np.maximum.accumulate((len(p) - np.arange(len(p))) * np.sort(p)))
    return corrected


def test_comparisons_of_methods(page, exported):
    srg = next(t for t in page["compared"] if t.caption.startswith("SRG"))
    rows = pd.DataFrame(values_of(srg))
    assert len(rows) == 2 * 3
    exported = exported[exported.metric == "srg"]
    for dataset, own in rows.groupby("dataset"):
        wide = exported[exported.dataset == dataset].pivot_table(index="image_id", columns="method", values="value")
        p = []
        for row in own.to_dict("records"):
            difference = (wide[row["method a"]] - wide[row["method b"]]).to_numpy()
            assert row["a - b"] == pytest.approx(difference.mean(), rel=1e-10)
            assert (row["from"], row["to"]) == pytest.approx(interval(difference), rel=1e-8)
            assert row["a is better on"] == np.mean(difference > 0)
            p.append(stats.wilcoxon(difference).pvalue)
            assert row["p (Wilcoxon)"] == pytest.approx(p[-1])
        np.testing.assert_allclose(own["p (Holm)"], holm(np.array(p)))


def test_what_changes_a_map(run, pairs):
    found = run.disagreement(n_permutations=99).changes_maps
    found = found[(found.measure == "spearman") & (found.view == "pixels")].set_index("factor").disagreement
    own = pairs.query("view == 'pixels' and metric == 'spearman'")  # a method that draws nothing agrees with itself
    for factor in ("method", "seed"):
        per_image = 1 - own[own.relation == factor].groupby(["dataset", "image_id"]).value.mean()
        assert found[factor] == pytest.approx(per_image.mean(), rel=1e-10)
