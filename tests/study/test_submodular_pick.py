"""Submodular pick, against lime and brute force."""

import itertools

import numpy as np
import pytest
from lime.submodular_pick import SubmodularPick

from xai_ext import Explanation
from xai_ext.study import appearance_clusters, submodular_pick


def explanation(values, labels=None):
    values = np.asarray(values, dtype=float)
    labels = np.arange(len(values)) if labels is None else labels
    return Explanation(values, np.zeros_like(values), (labels,), np.array(0.0), np.array(1.0), 9, "LIME")


def coverage_of(matrix, chosen):
    return np.sqrt(matrix.sum(0))[(matrix[list(chosen)] > 0).any(0)].sum()


class _Limes:
    """As lime's explanations of one label look to its SubmodularPick."""

    mode = "classification"

    def __init__(self, row):
        self.row = row

    def available_labels(self):
        return [0]

    def as_list(self, label=0):
        return [(f"f{j}", v) for j, v in enumerate(self.row) if v]

    def as_map(self):
        return {0: [(j, v) for j, v in enumerate(self.row) if v]}


class _Explainer:
    def __init__(self, rows):
        self.rows = iter(rows)

    def explain_instance(self, data, predict_fn, **kwargs):
        return _Limes(next(self.rows))


@pytest.mark.parametrize("seed", range(10))
def test_it_picks_what_limes_submodular_pick_picks(seed):
    rng = np.random.default_rng(seed)
    matrix = rng.random((8, 40)) * (rng.random((8, 40)) < 0.2)  # so many features that gains do not tie
    theirs = SubmodularPick(
        _Explainer(matrix), np.zeros((8, 1)), None, method="full", num_exps_desired=4, num_features=40
    )
    ours = submodular_pick([explanation(row) for row in matrix], 4, features="players")
    assert list(ours.indices) == list(theirs.V)


@pytest.mark.filterwarnings("ignore:picked")
def test_it_reaches_the_guaranteed_share_of_the_best_pick():
    rng = np.random.default_rng(0)
    for _ in range(200):
        matrix = rng.random((8, 10)) * (rng.random((8, 10)) < 0.25)
        matrix[0, 0] = 1.0
        pick = submodular_pick([explanation(row) for row in matrix], 3, features="players")
        best = max(coverage_of(matrix, c) for c in itertools.combinations(range(8), 3))
        assert pick.coverage[-1] == pytest.approx(coverage_of(matrix, pick.indices))
        assert pick.coverage[-1] >= (1 - 1 / np.e) * best - 1e-12


def test_ties_go_to_the_smaller_index_and_signs_do_not_matter():
    explanations = [explanation(v) for v in ([0, 0, 0.1], [-4, 1, 0], [4, -1, 0])]
    pick = submodular_pick(explanations, 2, features="players")
    assert list(pick.indices) == [1, 0]
    np.testing.assert_allclose(pick.importance, np.sqrt([8, 2, 0.1]))


def test_nothing_is_picked_that_covers_nothing_new():
    with pytest.warns(UserWarning, match="picked 1 of 2 explanations, not 2"):
        pick = submodular_pick([explanation([1, 0]), explanation([2, 0])], 2, features="players")
    assert list(pick.indices) == [0]
    with pytest.warns(UserWarning, match="picked 2 of 2 explanations, not 5"):
        submodular_pick([explanation([1, 0]), explanation([0, 2])], 5, features="players")


def test_players_of_a_feature_are_summed_and_minus_one_is_ignored():
    features = [np.array([1, 1, -1]), np.array([0])]
    pick = submodular_pick([explanation([1, -2, 9]), explanation([0.5])], 2, features=features)
    np.testing.assert_array_equal(pick.matrix, [[0, 3], [0.5, 0]])


def test_l1_takes_the_loudness_away():
    loud = [explanation([100, 0]), explanation([0, 1])]
    pick = submodular_pick(loud, 2, features="players", normalize="l1")
    np.testing.assert_array_equal(pick.matrix, np.eye(2))


def test_one_output_is_looked_at():
    values = np.array([[1.0, 0.0], [0.0, 2.0]])
    np.testing.assert_array_equal(
        submodular_pick([explanation(values)], 1, features="players", output=1).matrix, [[0, 2]]
    )
    with pytest.raises(ValueError, match="output must be one of 2 outputs"):
        submodular_pick([explanation(values)], 1, features="players", output=2)


class TestErrors:
    def test_players_of_different_photos_are_not_comparable(self):
        other = explanation([1, 2], np.array([1, 0]))
        with pytest.raises(ValueError, match="share their labels"):
            submodular_pick([explanation([1, 2]), other], 1, features="players")

    @pytest.mark.parametrize("features", [[np.array([0])], [np.array([0, 1]), np.array([0])], [np.zeros(2)] * 2])
    def test_ids_that_do_not_fit(self, features):
        with pytest.raises(ValueError, match=r"of lengths \[2, 2\]"):
            submodular_pick([explanation([1, 2]), explanation([1, 2])], 1, features=features)

    def test_nothing_to_pick(self):
        with pytest.raises(ValueError, match="explanations must hold at least one"):
            submodular_pick([], 1, features="players")
        with pytest.raises(TypeError, match="features"):
            submodular_pick([explanation([1])], 1)


class TestAppearanceClusters:
    def photo(self, left, right):
        image, labels = np.zeros((6, 8, 3)), np.zeros((6, 8), int)
        image[:, :4], image[:, 4:], labels[:, 4:] = left, right, 1
        return image, labels

    def test_regions_that_look_alike_are_one_feature_whatever_their_number(self):
        red, blue = (1, 0, 0), (0, 0, 1)
        first, second = self.photo(red, blue), self.photo(red, blue)
        second = second[0], 1 - second[1]
        ids = appearance_clusters(*zip(first, second, strict=True), n_features=2, rng=np.random.default_rng(0))
        np.testing.assert_array_equal(ids[0], ids[1][::-1])
        assert set(ids[0]) == {0, 1}

    def test_a_byte_image_is_what_its_floats_are_and_the_seed_reproduces(self):
        rng = np.random.default_rng(0)
        image = rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)
        labels = np.arange(48).reshape(6, 8) // 5
        results = [
            appearance_clusters([i], [labels], n_features=3, rng=np.random.default_rng(1))[0]
            for i in (image, image, image / 255)
        ]
        for other in results[1:]:
            np.testing.assert_array_equal(other, results[0])

    def test_there_are_no_more_clusters_than_regions(self):
        (ids,) = appearance_clusters(*([a] for a in self.photo(0.2, 0.7)), rng=np.random.default_rng(0))
        assert sorted(ids) == [0, 1]

    def test_errors(self):
        image, labels = self.photo(0.2, 0.7)
        rng = np.random.default_rng(0)
        with pytest.raises(ValueError, match="as many"):
            appearance_clusters([image], [], rng=rng)
        with pytest.raises(ValueError, match=r"\(H, W, 3\)"):
            appearance_clusters([image[..., :2]], [labels], rng=rng)
        with pytest.raises(ValueError, match="without gaps"):
            appearance_clusters([image], [labels * 2], rng=rng)
