"""Correlations of maps, against SciPy."""

from itertools import pairwise, permutations
from typing import ClassVar

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cosine
from scipy.stats import kendalltau, pearsonr, spearmanr
from skimage.metrics import structural_similarity

from tests.metrics.laws import VECTORS, MetricLaws
from xai_ext import Explanation
from xai_ext.metrics import Status, agreement


class TestPearson(MetricLaws):
    function = staticmethod(agreement)
    options: ClassVar = {"metric": "pearson"}


class TestAgreement:
    @pytest.mark.parametrize(
        ("metric", "oracle"),
        [
            ("spearman", lambda x, y: spearmanr(x, y).statistic),
            ("rank_correlation", lambda x, y: spearmanr(np.abs(x), np.abs(y)).statistic),
            ("pearson", lambda x, y: pearsonr(x, y).statistic),
            ("kendall", lambda x, y: kendalltau(x, y).statistic),
            ("cosine", lambda x, y: 1 - cosine(x, y)),
        ],
    )
    def test_scipy_finds_the_same(self, metric, oracle):
        rng = np.random.default_rng(0)
        a, b = rng.integers(-3, 4, (1000, 7, 5)), rng.normal(size=(1000, 7, 5)).round(1)  # both with ties
        expected = [oracle(x.ravel(), y.ravel()) for x, y in zip(a, b, strict=True)]
        np.testing.assert_allclose(agreement(a, b, metric), expected, rtol=0, atol=1e-12)

    @pytest.mark.parametrize("metric", ["spearman", "pearson"])
    def test_a_constant_map_correlates_with_nothing(self, metric):
        a, b = (np.array([VECTORS["dis-rc-const"]["inputs"][name]]) for name in "ab")
        for x, y in ((a, b), (b, a), (a, a)):
            found = agreement(x, y, metric, return_details=True)
            assert found.value.isnan().all()
            assert found.status.tolist() == [Status.CONSTANT]

    def test_a_map_that_is_not_finite_is_named(self):
        a, b = np.array([[1.0, 2], [3, 4]]), np.array([[1.0, 2], [np.inf, 4]])
        for x, y in ((a, b), (b, a)):
            found = agreement(x, y, return_details=True)
            assert found.status.tolist() == [Status.OK, Status.NON_FINITE]
            assert found.value.isnan().tolist() == [False, True]

    def test_magnitudes_may_be_ranked(self):
        a, b = np.array([[-3.0, 1, 2]]), np.array([[9.0, 1, 4]])
        assert agreement(a, b).item() == pytest.approx(-0.5)
        assert agreement(a, b, ranking="abs").item() == 1

    @pytest.mark.parametrize("scale", [1e-200, 1.0, 1e200])
    def test_extreme_units_do_not_overflow(self, scale):
        a = np.array([[1.0, 2, 4]]) * scale
        assert agreement(a, a, "pearson").item() == pytest.approx(1, abs=1e-15)

    def test_several_inputs_are_compared_together(self):
        rng = np.random.default_rng(0)
        a, b = rng.normal(size=(2, 3, 10))
        parts = [(x[:, :6].reshape(3, 2, 3), x[:, 6:]) for x in (a, b)]
        assert torch.equal(agreement(*parts), agreement(a, b))

    def test_an_explanation_is_compared_as_its_density(self):
        labels = np.array([[0, 0, 1], [2, 2, 2]])
        values = np.array([4.0, 3.0, 3.0])
        explanation = Explanation(values, values * 0, (labels,), 0.0, 0.0, 0, "LIME")
        other = np.random.default_rng(0).normal(size=(1, 2, 3))
        density = np.array([[[2.0, 2, 3], [1, 1, 1]]])
        assert torch.equal(agreement(explanation, other), agreement(density, other))

    @pytest.mark.parametrize(
        ("b", "metric", "message"),
        [
            (np.ones((2, 3)), "spearmann", "did you mean 'spearman'"),
            (np.ones((2, 4)), "spearman", r"same shapes, got \[\(3,\)\] and \[\(4,\)\]"),
            (np.ones((3, 3)), "spearman", "as many examples, got 2 and 3"),
        ],
    )
    def test_what_cannot_be_compared_is_refused(self, b, metric, message):
        with pytest.raises(ValueError, match=message):
            agreement(np.ones((2, 3)), b, metric)


def orders(scores):
    """Every order that breaks the ties of a map, highest first."""
    return [o for o in permutations(range(len(scores))) if all(scores[i] >= scores[j] for i, j in pairwise(o))]


def by_enumeration(a, b, k):
    """The four of Krishna et al. at the k highest magnitudes: means over all ways to break ties in both maps."""
    totals = np.zeros(4)
    first, second = orders(np.abs(a)), orders(np.abs(b))
    for x in first:
        for y in second:
            common = set(x[:k]) & set(y[:k])
            same_rank = [i for i, j in zip(x[:k], y[:k], strict=True) if i == j]
            signs = [sum(np.sign(a[i]) == np.sign(b[i]) for i in items) for items in (common, same_rank)]
            totals += [len(common), len(same_rank), *signs]
    return totals / (k * len(first) * len(second))


class TestKrishna:
    FOUR = ("feature_agreement", "rank_agreement", "sign_agreement", "signed_rank_agreement")

    def test_the_four_are_means_over_all_ways_to_break_ties(self):
        a, b = np.random.default_rng(0).integers(-2, 3, (2, 60, 5)).astype(float)
        for k in range(1, 6):
            expected = np.array([by_enumeration(x, y, k) for x, y in zip(a, b, strict=True)])
            for column, name in enumerate(self.FOUR):
                np.testing.assert_allclose(agreement(a, b, name, k=k), expected[:, column], rtol=0, atol=1e-12)

    def test_pairs_are_counted_one_by_one(self):
        a, b = np.abs(np.random.default_rng(1).integers(-2, 3, (2, 60, 5))).astype(float)
        expected = []
        for x, y in zip(a, b, strict=True):
            pairs = [(np.sign(x[i] - x[j]), np.sign(y[i] - y[j])) for i in range(5) for j in range(i)]
            expected.append(np.mean([1.0 if p == q else 0.5 if 0 in (p, q) else 0.0 for p, q in pairs]))
        np.testing.assert_allclose(agreement(a, b, "pairwise_rank_agreement"), expected, rtol=0, atol=1e-12)

    def test_constant_maps_tie_every_pair(self):
        a, b = np.ones((1, 4)), np.array([[1.0, 2, 3, 4]])
        assert agreement(a, a, "pairwise_rank_agreement").item() == 1
        assert agreement(a, b, "pairwise_rank_agreement").item() == 0.5

    @pytest.mark.parametrize("name", [*FOUR, "pairwise_rank_agreement", "rank_correlation", "topq_iou", "kendall"])
    def test_the_numbering_of_features_and_the_unit_do_not_matter(self, name):
        rng = np.random.default_rng(2)
        a, b = rng.integers(-3, 4, (2, 20, 9)).astype(float)
        order = rng.permutation(9)
        expected = agreement(a, b, name, k=4)
        torch.testing.assert_close(agreement(a[:, order], b[:, order], name, k=4), expected, rtol=1e-13, atol=1e-13)
        for factor in (1e-6, 1e6):
            torch.testing.assert_close(agreement(a * factor, b, name, k=4), expected, rtol=1e-13, atol=1e-13)

    def test_a_count_and_a_fraction_are_told_apart_by_their_type(self):
        a, b = np.random.default_rng(3).normal(size=(2, 6, 8))
        one, everything = agreement(a, b, "feature_agreement", k=1), agreement(a, b, "feature_agreement", k=1.0)
        assert set(one.tolist()) <= {0.0, 1.0}
        assert (everything == 1).all()
        both = agreement(a, b, "feature_agreement", k=[1, 0.44, 1.0])
        assert both.shape == (6, 3)
        assert torch.equal(both[:, 0], one)
        assert torch.equal(both[:, 1], agreement(a, b, "feature_agreement", k=4))  # 3.52 rounds to 4

    def test_a_cut_tie_group_bounds_what_can_be_reached(self):
        a, b = np.random.default_rng(4).integers(0, 3, (2, 40, 7)).astype(float)
        for name in (*self.FOUR, "topq_iou"):
            found = agreement(a, b, name, k=3, return_details=True)
            assert (found.value <= found.ceiling + 1e-12).all()
        own = agreement(a, a, "feature_agreement", k=3, return_details=True)
        torch.testing.assert_close(own.value, own.ceiling, rtol=1e-12, atol=0)
        group = np.array([[5.0, 5, 5, 5]])
        assert agreement(group, group, "feature_agreement", k=2).item() == 0.5  # 2 of 4: 2 * (1/2)^2 / 2

    def test_topq_is_the_overlap_of_sets(self):
        a, b = np.random.default_rng(5).normal(size=(2, 10, 12))
        for x, y, found in zip(a, b, agreement(a, b, "topq_iou", k=5), strict=True):
            first, second = (set(np.argsort(-v)[:5]) for v in (x, y))
            assert found.item() == pytest.approx(len(first & second) / len(first | second), abs=1e-12)

    def test_a_subset_of_features_is_compared_alone(self):
        a, b = np.random.default_rng(6).normal(size=(2, 5, 9))
        for name in ("rank_correlation", "pairwise_rank_agreement"):
            assert torch.equal(
                agreement(a, b, name, features=[1, 4, 7]), agreement(a[:, [1, 4, 7]], b[:, [1, 4, 7]], name)
            )
        with pytest.raises(ValueError, match="indices of the 9 features"):
            agreement(a, b, "rank_correlation", features=[9])

    @pytest.mark.parametrize("k", [0, 10, -1, 0.0, 1.5, True, "3"])
    def test_k_beyond_the_features_is_refused(self, k):
        with pytest.raises(ValueError, match="k "):
            agreement(np.ones((1, 9)), np.ones((1, 9)), "feature_agreement", k=k)

    def test_one_feature_has_no_pairs(self):
        for name in ("pairwise_rank_agreement", "rank_correlation", "pearson"):
            found = agreement(np.ones((1, 1)), np.ones((1, 1)), name, return_details=True)
            assert found.value.isnan().all()
            assert found.status.tolist() == [Status.TOO_FEW]


class TestSsim:
    def test_it_is_scikit_images(self):
        a, b = np.random.default_rng(0).normal(size=(2, 5, 12, 15))
        unit = [(v - v.min((1, 2), keepdims=True)) / np.ptp(v, axis=(1, 2), keepdims=True) for v in (a, b)]
        expected = [structural_similarity(x, y, win_size=7, data_range=1.0) for x, y in zip(*unit, strict=True)]
        np.testing.assert_allclose(agreement(a, b, "ssim"), expected, rtol=0, atol=1e-9)
        joint = [max(x.max(), y.max()) - min(x.min(), y.min()) for x, y in zip(a, b, strict=True)]
        raw = [structural_similarity(x, y, win_size=5, data_range=r) for x, y, r in zip(a, b, joint, strict=True)]
        np.testing.assert_allclose(agreement(a, b, "ssim", win_size=5, normalize="none"), raw, rtol=0, atol=1e-9)

    def test_a_constant_map_has_none_in_both_orders(self):
        a, b = np.ones((1, 9, 9)), np.random.default_rng(0).random((1, 9, 9))
        assert agreement(a, b, "ssim").isnan().all()
        assert agreement(b, a, "ssim").isnan().all()

    @pytest.mark.parametrize(
        ("maps", "options", "message"),
        [
            (np.ones((1, 9)), {}, "ssim compares images"),
            (np.ones((1, 9, 9)), {"feature_mask": np.zeros((9, 9), int)}, "ssim compares images"),
            (np.ones((1, 9, 9)), {"win_size": 4}, "win_size must be odd"),
            (np.ones((1, 5, 9)), {}, "at most the shorter side"),
        ],
    )
    def test_what_is_no_image_is_refused(self, maps, options, message):
        with pytest.raises(ValueError, match=message):
            agreement(maps, maps, "ssim", **options)


class TestRegions:
    LABELS = np.array([[0, 0, 1], [2, 2, 2]])

    def test_a_region_is_one_feature(self):
        rng = np.random.default_rng(0)
        a, b = rng.normal(size=(2, 4, 3))
        density = [(v / [2, 1, 3])[:, self.LABELS] for v in (a, b)]
        for name in ("spearman", "feature_agreement"):
            expected = agreement(a, b, name, k=2)
            torch.testing.assert_close(agreement(*density, name, k=2, feature_mask=self.LABELS), expected)
            whole = [v[:, self.LABELS] for v in (a, b)]
            torch.testing.assert_close(
                agreement(*whole, name, k=2, feature_mask=self.LABELS, map_kind="region"), expected
            )

    @pytest.mark.parametrize("form", ["(1, H, W)", "(B, H, W)", "(B, C, H, W)"])
    def test_masks_come_in_captums_forms(self, form):
        a, b = np.random.default_rng(0).normal(size=(2, 4, 3, 2, 3))
        masks = {"(1, H, W)": self.LABELS[None], "(B, H, W)": np.stack([self.LABELS] * 4),
                 "(B, C, H, W)": np.broadcast_to(self.LABELS, (4, 3, 2, 3))}  # fmt: skip
        expected = agreement(a, b, feature_mask=self.LABELS)
        assert torch.equal(agreement(a, b, feature_mask=masks[form]), expected)

    def test_an_id_in_two_inputs_is_one_feature(self):
        a, b = np.random.default_rng(0).normal(size=(2, 1, 4))
        parts = [(x[:, :2], x[:, 2:]) for x in (a, b)]
        masks = np.array([0, 1]), np.array([1, 2])
        expected = agreement(*(np.stack([x[:, 0], x[:, 1] + x[:, 2], x[:, 3]], 1) for x in (a, b)))
        torch.testing.assert_close(agreement(*parts, feature_mask=masks), expected)

    @pytest.mark.parametrize(
        ("mask", "message"),
        [
            (np.zeros((3, 3), int), "must fit the maps"),
            (np.zeros((2, 2, 3), int), "must fit the maps"),
            (np.arange(18).reshape(1, 3, 2, 3), "the same for all channels"),
        ],
    )
    def test_masks_that_do_not_fit_are_refused(self, mask, message):
        with pytest.raises(ValueError, match=message):
            agreement(np.ones((4, 3, 2, 3)), np.ones((4, 3, 2, 3)), feature_mask=mask)


def test_a_misspelt_argument_is_refused_with_a_hint():
    with pytest.raises(TypeError, match=r"agreement\(\) has no argument 'feature_masks'; did you mean 'feature_mask'"):
        agreement(np.ones((1, 3)), np.ones((1, 3)), feature_masks=None)
