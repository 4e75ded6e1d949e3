"""Tables of a comparison, read back as a spreadsheet would."""

from dataclasses import replace

import numpy as np
import pandas as pd

from tests.study.report.runs import comparison, run
from xai_ext.study.export import write_run_tables, write_tables


def test_means_of_the_exported_values_are_those_of_the_scores(tmp_path):
    result = comparison()
    paths = write_tables(result, tmp_path)
    assert [p.name for p in paths] == ["metrics.csv", "agreement.csv"]
    table = pd.read_csv(paths[0])
    for score in result.scores:
        own = table[table.method == score.name]
        means = own.groupby("metric")["value"].mean()
        np.testing.assert_allclose([means[m] for m in score.metrics], list(score.metrics.values()), rtol=1e-12)
        assert set(own.n_evals) == {score.cost}
        assert own.groupby("metric").size().eq(score.runs).all()


def test_every_pair_is_exported_once_with_both_floors(tmp_path):
    result = comparison()
    table = pd.read_csv(write_tables(result, tmp_path)[1])
    found = result.agreement
    assert len(table) == len(found.names) * (len(found.names) - 1) // 2
    for row in table.itertuples():
        i, j = found.names.index(row.a), found.names.index(row.b)
        np.testing.assert_allclose([row.agreement, row.floor_a, row.floor_b],
                                   [found.matrix[i, j], found.floor[i], found.floor[j]])  # fmt: skip


def test_a_method_without_a_map_has_a_row_that_says_why_and_names_are_no_formulas(tmp_path):
    result = comparison()
    failed = replace(result.scores[0], name="=1+1", status="failed", note="@broken", values={}, metrics={})
    table = pd.read_csv(write_tables(replace(result, scores=[failed]), tmp_path)[0])
    assert table.loc[0, ["method", "status", "note"]].tolist() == ["'=1+1", "failed", "'@broken"]
    assert table["value"].isna().all()


def test_further_targets_stand_below(tmp_path):
    result = comparison()
    other = replace(result, scene=replace(result.scene, target=0))
    table = pd.read_csv(write_tables(replace(result, further=(other,)), tmp_path)[0])
    assert list(table.target.unique()) == [result.scene.target_name, other.scene.target_name]


def test_a_run_is_exported_beside_its_report(tmp_path):
    paths = write_run_tables(run(), tmp_path / "study.html")
    assert [p.name for p in paths] == ["study-metrics.csv", "study-agreement.csv"]
    np.testing.assert_array_equal(pd.read_csv(paths[0])["value"], run().table()["value"])
    np.testing.assert_array_equal(pd.read_csv(paths[1])["mean"], run().disagreement().matrix["mean"])
