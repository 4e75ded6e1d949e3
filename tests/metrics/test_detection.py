"""Data-set metrics against scikit-learn and brute force."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy.ndimage import label
from scipy.stats import norm
from sklearn.metrics import precision_recall_curve, roc_auc_score

from xai_ext.metrics.detection import MassFraction, aupro, auroc, f1_max, oracle_threshold, pixel_auroc

RNG = np.random.default_rng(0)


def cases(n):
    """Scores with many ties, both classes present."""
    rng = np.random.default_rng(1)
    for _ in range(n):
        size = rng.integers(2, 60)
        labels = rng.random(size) < rng.uniform(0.1, 0.9)
        labels[:2] = True, False
        yield rng.integers(0, rng.integers(1, 30), size) / 7 + 0.4 * labels * rng.integers(0, 2), labels


def test_auroc_and_f1_are_scikit_learns():
    for scores, labels in cases(250):
        assert auroc(scores, labels) == pytest.approx(roc_auc_score(labels, scores), abs=1e-12)
        precision, recall, _ = precision_recall_curve(labels, scores)
        f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-300)
        found = f1_max(scores, labels)
        assert found.value == pytest.approx(f1.max(), abs=1e-12)
        predicted = scores >= found.threshold
        assert 2 * (predicted & labels).sum() / (predicted.sum() + labels.sum()) == pytest.approx(found.value)


@pytest.mark.parametrize("change", [lambda s: 1000 + 7 * s, np.exp])
def test_the_scale_of_scores_does_not_matter(change):
    for scores, labels in cases(20):
        assert auroc(change(scores), labels) == auroc(scores, labels)
        assert f1_max(change(scores), labels).value == f1_max(scores, labels).value
    maps, masks = RNG.integers(0, 9, (3, 8, 8)) / 4, RNG.random((3, 8, 8)) < 0.2
    for function in (pixel_auroc, aupro):
        assert function(change(maps), masks) == function(maps, masks)


def brute_force_aupro(maps, masks, limit, connectivity):
    structure = np.ones((3, 3)) if connectivity == 8 else None
    regions = []
    for i, mask in enumerate(masks):
        ids, n = label(mask, structure)
        regions += [(i, ids == j) for j in range(1, n + 1)]
    curve = [(0.0, 0.0)]
    for t in np.unique(maps)[::-1]:
        pro = np.mean([(maps[i][r] >= t).mean() for i, r in regions])
        curve.append(((maps[~masks] >= t).mean(), pro))
    area = 0.0
    for (x0, y0), (x1, y1) in pairwise(curve):
        if x0 >= limit:
            break
        end = min(x1, limit)
        y_end = y0 + (y1 - y0) * (end - x0) / (x1 - x0) if x1 > x0 else y1
        area += (end - x0) * (y0 + y_end) / 2
    return area / limit


@pytest.mark.parametrize("connectivity", [4, 8])
@pytest.mark.parametrize("limit", [0.05, 0.3, 1.0])
def test_aupro_is_the_brute_force_over_all_thresholds(limit, connectivity):
    rng = np.random.default_rng(2)
    for levels in (3, 10, 1000):
        masks = rng.random((4, 9, 7)) < 0.15
        masks[0] = False
        maps = rng.integers(0, levels, masks.shape) / levels + 0.3 * masks
        found = aupro(maps, masks, fpr_limit=limit, connectivity=connectivity)
        assert found == pytest.approx(brute_force_aupro(maps, masks, limit, connectivity), abs=1e-12)


def test_connectivity_joins_or_divides_a_diagonal():
    masks = np.zeros((1, 4, 4), bool)
    masks[0, [0, 1, 2], [0, 1, 1]] = True  # with 4 neighbours the first pixel is a defect of its own
    maps = np.zeros((1, 4, 4))
    maps[0, 0, 0] = 1
    assert aupro(maps, masks, connectivity=4) > aupro(maps, masks, connectivity=8)


def test_chance_and_perfection():
    masks = RNG.random((20, 32, 32)) < 0.05
    maps = RNG.random(masks.shape)
    assert aupro(maps, masks) == pytest.approx(0.15, abs=0.01)
    assert pixel_auroc(maps, masks) == pytest.approx(0.5, abs=0.02)  # 4 sd of 1,000 positives = .04 / 2
    assert aupro(masks.astype(float), masks) == 1
    assert aupro(np.zeros(masks.shape), masks) == pytest.approx(0.15, abs=1e-12)  # one tie group: the diagonal
    assert pixel_auroc(torch.from_numpy(maps)[:, None], torch.from_numpy(masks)) == pixel_auroc(maps, masks)


@pytest.mark.parametrize("area", [0.76, 0.85, 0.90])
def test_delong_intervals_cover(area):
    rng, shift = np.random.default_rng(3), norm.ppf(area) * np.sqrt(2)
    labels = np.arange(80) < 40
    found = [auroc(rng.normal(size=80) + shift * labels, labels, interval="delong") for _ in range(2000)]
    covered = np.mean([not (area < a.low or area > a.high) for a in found])  # NaN (no overlap) counts as covered
    assert 0.93 <= covered <= 0.97


def test_the_interval_is_nan_with_a_reason_where_it_is_undefined():
    apart = auroc([1.0, 2.0, 3.0, 4.0], [0, 0, 1, 1], interval="delong")
    assert (apart.value, apart.status) == (1.0, "the classes do not overlap")
    assert np.isnan(apart.low)
    assert auroc([1.0, 2.0, 2.0], [0, 0, 1], interval="delong").status == "fewer than two of a class"
    assert auroc([1.0, 2.0], [1, 1], interval="delong").status == "one class only"


def test_without_both_classes_values_are_nan():
    assert np.isnan(auroc([1.0, 2.0], [0, 0]))
    assert np.isnan(f1_max([1.0, 2.0], [0, 0]).value)
    assert np.isnan(aupro(np.ones((1, 2, 2)), np.zeros((1, 2, 2), bool)))
    assert np.isnan(aupro(np.ones((1, 2, 2)), np.ones((1, 2, 2), bool)))
    with pytest.raises(ValueError, match="both classes"):
        oracle_threshold([1.0, 2.0], [1, 1])


def test_on_ties_the_highest_threshold_is_taken_and_chance_is_all_positive():
    found = f1_max([3.0, 2.0, 1.0, 0.0], [1, 0, 0, 1])  # F1 is 2/3 at 3 and at 0
    assert (found.value, found.threshold, found.oracle) == (pytest.approx(2 / 3), 3.0, True)
    assert found.chance == pytest.approx(2 / 3)  # 2 * .5 / 1.5


def test_the_oracle_threshold_takes_the_first_best_of_the_samples():
    found = oracle_threshold([5.0, 1.0, 2.0, 4.0], [1, 0, 0, 1])
    # of "score > delta": 5 -> 0; 1 -> sqrt(1 * .5); 2 -> 1; 4 -> sqrt(.5)
    assert found.threshold == pytest.approx(2.00001)
    assert (found.true_positive_rate, found.false_positive_rate, found.oracle) == (1.0, 0.0, True)


class TestMassFraction:
    mask = np.zeros(5, bool)

    def test_the_fewest_that_hold_the_share(self):
        np.testing.assert_array_equal(
            MassFraction(0.8).inclusion(np.array([5.0, 3.0, 1.0, 1.0, -9.0]), self.mask), [1, 1, 0, 0, 0]
        )

    def test_ties_enter_together(self):
        np.testing.assert_array_equal(
            MassFraction(0.7).inclusion(np.array([4.0, 2.0, 2.0, 2.0, 0.0]), self.mask), [1, 1, 1, 1, 0]
        )

    def test_all_of_the_mass_is_all_that_is_positive(self):
        values = RNG.random(5) * [1, 1, 0, 1, -1]
        np.testing.assert_array_equal(MassFraction(1.0).inclusion(values, self.mask), values > 0)

    def test_without_mass_nothing_is_predicted(self):
        assert not MassFraction().inclusion(-np.ones(5), self.mask).any()
        with pytest.raises(ValueError, match="fraction"):
            MassFraction(0.0)


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda: auroc([1.0, np.nan], [0, 1]), "finite"),
        (lambda: auroc([1.0, 2.0], [0, 2]), "0/1"),
        (lambda: auroc([1.0, 2.0], [0, 1], interval="bootstrap"), "interval must be one of"),
        (lambda: auroc([1.0, 2.0], [0, 1], interval="delong", confidence=95), "confidence"),
        (lambda: aupro(np.ones((1, 2, 2)), np.ones((1, 3, 2), bool)), "resize_map"),
        (lambda: aupro(np.full((1, 2, 2), np.nan), np.ones((1, 2, 2), bool)), "finite"),
        (lambda: aupro(np.ones((1, 2, 2)), np.eye(2, dtype=bool)[None], connectivity=6), "4 or 8"),
        (lambda: aupro(np.ones((1, 2, 2)), np.eye(2, dtype=bool)[None], fpr_limit=0.0), "fpr_limit"),
    ],
)
def test_misuse_is_refused(call, match):
    with pytest.raises(ValueError, match=match):
        call()


def test_each_metric_says_what_it_is():
    assert {f.__name__ for f in (auroc, pixel_auroc, aupro) if f.higher_is_better and f.range == (0.0, 1.0)} == {
        "auroc", "pixel_auroc", "aupro"}  # fmt: skip
    assert f1_max.label_aware
    assert not auroc.label_aware
