"""Agreement of the maps of one photo."""

from itertools import combinations

import numpy as np
import pytest
from scipy.stats import spearmanr

from xai_ext.study.photo_agreement import photo_agreement

LABELS = np.minimum(np.arange(36).reshape(6, 6) // 3, 8)  # the last region is larger


def over_regions(a, b):
    means = ([m[LABELS == region].mean() for region in range(9)] for m in (a, b))
    return spearmanr(*means).statistic


def test_the_size_of_regions_is_no_agreement():
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(20), np.arange(1, 21))[None]
    found = photo_agreement({"random": rng.random((60, *labels.shape))}, {"random": True}, labels)
    assert abs(found.floor[0]) < 0.05  # of sums: above 0.9


def test_pairs_meet_run_by_run_and_floors_are_between_runs():
    rng = np.random.default_rng(0)
    runs = {"drawn": rng.normal(size=(3, 6, 6)), "fixed": rng.normal(size=(1, 6, 6))}
    found = photo_agreement(runs, {"drawn": True, "fixed": False}, LABELS)
    expected = np.mean([over_regions(m, runs["fixed"][0]) for m in runs["drawn"]])
    assert found.matrix[0, 1] == found.matrix[1, 0] == pytest.approx(expected, abs=1e-12)
    floor = np.mean([over_regions(a, b) for a, b in combinations(runs["drawn"], 2)])
    assert found.floor.tolist() == [pytest.approx(floor, abs=1e-12), 1.0]
    assert found.n_runs == (3, 1)


def test_one_run_of_a_method_that_draws_has_no_floor_and_constant_maps_no_agreement():
    maps = {"a": [np.random.default_rng(0).normal(size=(6, 6))], "flat": [np.ones((6, 6))]}
    found = photo_agreement(maps, {"a": True, "flat": False}, LABELS)
    assert np.isnan(found.floor[0])
    assert np.isnan(found.matrix[0, 1])
    assert found.as_json()["matrix"] == [[pytest.approx(1), None], [None, None]]
    assert found.as_json()["seed_floor"] == [None, 1.0]
