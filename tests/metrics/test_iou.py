"""IoU, against sets of positions."""

import numpy as np
import pytest
import torch
from skimage.filters import threshold_otsu

from tests.metrics.examples import scenes
from tests.metrics.laws import VECTORS
from xai_ext.metrics import (
    Absolute,
    FractionOfMax,
    MaskArea,
    Mean,
    Otsu,
    RangeFraction,
    Status,
    TopFraction,
    TopK,
    iou,
    max_iou,
    pointing_game,
)

RULES = [FractionOfMax(0.4), RangeFraction(0.3), Mean(), Otsu(), Absolute(0.25), TopFraction(0.3), TopK(5), MaskArea()]


def overlap(predicted, mask):
    predicted, mask = (set(map(tuple, np.argwhere(a))) for a in (predicted, mask))
    return len(predicted & mask) / len(predicted | mask)


class TestIou:
    @pytest.mark.parametrize(
        ("rule", "predicted"),
        [
            (FractionOfMax(0.4), lambda a: (a >= 0.4 * a.max()) & (a > 0)),
            (RangeFraction(0.3), lambda a: a > a.min() + 0.3 * np.ptp(a)),
            (Mean(), lambda a: a >= a.mean()),
            (Otsu(), lambda a: a > threshold_otsu(a)),
            (Absolute(0.25), lambda a: a >= 0.25),
        ],
        ids=["share of the maximum", "share of the range", "mean", "Otsu", "absolute"],
    )
    def test_it_is_the_overlap_of_sets(self, rule, predicted):
        maps, masks = scenes()
        details = iou(maps, masks, threshold=rule, return_details=True)
        for i, (saliency, mask) in enumerate(zip(maps, masks, strict=True)):
            region = predicted(saliency)
            assert details.value[i].item() == pytest.approx(overlap(region, mask), abs=1e-15)
            assert details.n_predicted[i].item() == region.sum()
            assert details.threshold[i].item() == saliency[region].min()

    @pytest.mark.parametrize(("rule", "k"), [(TopK(7), 7), (TopFraction(0.25), 8), (TopFraction(0.001), 1)])
    def test_the_k_highest_without_ties(self, rule, k):
        maps, masks = np.random.default_rng(3).normal(size=(9, 5, 6)), scenes(9)[1]  # 0.25 of 30 is 7.5, rounded up
        values = iou(maps, masks, threshold=rule)
        expected = [overlap(a >= np.sort(a.ravel())[-k], m) for a, m in zip(maps, masks, strict=True)]
        np.testing.assert_allclose(values, expected, atol=1e-15)

    def test_a_cut_group_of_ties_is_shared(self):
        maps = np.array([[[3.0, 1, 1], [1, 1, 0]]])
        mask = np.array([[[1, 1, 0], [0, 0, 1]]])
        found = iou(maps, mask, threshold=MaskArea(), return_details=True)
        assert found.n_predicted.item() == 3
        assert found.value.item() == pytest.approx(1.5 / 4.5)  # 1 and two of four, one of which is on the object

    def test_vectors(self):
        vector = VECTORS["iou-1"]
        maps, mask = (np.array([vector["inputs"][name]]) for name in ("map", "mask"))
        for key, rule in {
            "threshold_half_max_iou": FractionOfMax(0.5),
            "top_area_equal_iou": MaskArea(),
            "top_25pct_iou": TopFraction(0.25),
            "mean_threshold_iou": Mean(),
            "otsu_iou": Otsu(),
        }.items():
            found = iou(maps, mask, threshold=rule).item()
            assert found == pytest.approx(vector["expected"][key], abs=vector["tol"]), key

    @pytest.mark.parametrize("rule", RULES, ids=str)
    def test_empty_and_full_objects(self, rule):
        maps, masks = scenes(2)
        masks[0], masks[1] = False, True
        found = iou(maps, masks, threshold=rule, return_details=True)
        assert found.status.tolist() == [Status.EMPTY_MASK, Status.FULL_MASK]
        assert found.value[0].isnan()
        assert found.value[1].item() == pytest.approx(found.n_predicted[1].item() / 30, abs=1e-15)

    @pytest.mark.parametrize(
        ("level", "rule", "predicted"),
        [
            (0.1, FractionOfMax(0.5), 30),
            (0.1, Mean(), 30),  # the mean of 30 times 0.1 is not 0.1 in floating point
            (0.1, RangeFraction(0.3), 0),
            (0.1, Otsu(), 0),
            (0.0, FractionOfMax(0.5), 0),
            (-1.0, FractionOfMax(0.5), 0),
        ],
    )
    def test_constant_maps(self, level, rule, predicted):
        mask = scenes(1)[1]
        found = iou(np.full((1, 5, 6), level), mask, threshold=rule, return_details=True)
        assert found.n_predicted.item() == predicted
        assert found.value.item() == (pytest.approx(mask.mean()) if predicted else 0)
        assert found.status.tolist() == [Status.CONSTANT]
        assert found.threshold.isnan().item() == (predicted == 0)

    def test_ignored_positions_are_not_there(self):
        maps, masks = scenes()
        ignore = np.zeros_like(masks)
        ignore[:, :, 4:] = True
        for rule in RULES:
            cropped = iou(maps[:, :, :4], masks[:, :, :4], threshold=rule)
            assert torch.equal(iou(maps, masks, threshold=rule, ignore=ignore), cropped)
        assert torch.equal(max_iou(maps, masks, ignore=ignore), max_iou(maps[:, :, :4], masks[:, :, :4]))
        assert torch.equal(pointing_game(maps, masks, ignore=ignore), pointing_game(maps[:, :, :4], masks[:, :, :4]))

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"masks": np.full((2, 5, 6), 255)}, "hold only 0 and 1, got int64 up to 255"),
            ({"masks": [[[1]]]}, "masks must be a tensor or an array"),
            ({"masks": np.ones((5, 6), bool)}, r"fix: masks\[None\]"),
            ({"masks": np.ones((3, 5, 6), bool)}, "attributions hold 2 examples, masks 3"),
            ({"masks": np.ones((2, 4, 6), bool)}, r"resize_map\(attributions, \(4, 6\)\)"),
            ({"ignore": np.ones((2, 5, 5), bool)}, "ignore must have the shape of the masks"),
            ({"threshold": 0.5}, r"such as FractionOfMax\(0.5\)"),
            ({"threshold": Otsu}, "threshold must be a rule"),
            ({"threshold": TopK(31)}, "k must be between 0 and the 30 positions, got 31"),
            ({"attributions": (np.ones((2, 5, 6)),) * 2}, r"one map per input \(1\), got 2"),
            ({"sign": "both"}, "sign must be one of"),
        ],
    )
    def test_what_cannot_be_used_is_refused(self, change, message):
        maps, masks = scenes(2)
        with pytest.raises((ValueError, TypeError), match=message):
            iou(**({"attributions": maps, "masks": masks, "threshold": Mean()} | change))

    @pytest.mark.parametrize(
        ("make", "message"),
        [
            (lambda: FractionOfMax(1.5), "fraction must be between 0 and 1"),
            (lambda: TopFraction(-0.1), "fraction must be between 0 and 1"),
            (lambda: TopK(0), "k must be at least 1"),
            (lambda: TopK(2.5), "k must be an int"),
        ],
    )
    def test_rules_refuse_what_they_cannot_mean(self, make, message):
        with pytest.raises((ValueError, TypeError), match=message):
            make()

    def test_masks_may_have_one_channel(self):
        maps, masks = scenes()
        assert torch.equal(iou(maps, masks[:, None], threshold=Mean()), iou(maps, masks, threshold=Mean()))

    def test_only_the_rule_that_sees_the_mask_says_so(self):
        assert [rule for rule in RULES if rule.label_aware] == [MaskArea()]


class TestMaxIou:
    def test_it_is_the_best_of_all_thresholds(self):
        maps, masks = scenes(60)
        found = max_iou(maps, masks, return_details=True)
        for i, (saliency, mask) in enumerate(zip(maps, masks, strict=True)):
            candidates = {level: overlap(saliency >= level, mask) for level in np.unique(saliency)}
            assert found.value[i].item() == pytest.approx(max(candidates.values()), abs=1e-15)
            level = found.threshold[i].item()
            assert candidates[level] == pytest.approx(found.value[i].item(), abs=1e-15)
            assert found.n_predicted[i].item() == (saliency >= level).sum()
        assert (found.value <= 1).all()

    def test_it_is_one_for_a_perfect_map_and_only_then(self):
        _, masks = scenes()
        rng = np.random.default_rng(1)
        perfect = np.where(masks, 2.0, 0.0) + rng.random(masks.shape)
        assert (max_iou(perfect, masks) == 1).all()
        perfect[:, 0, 0] = -1  # one object pixel is last
        assert (max_iou(perfect, masks) < 1).all()

    def test_vector(self):
        vector = VECTORS["iou-1"]
        maps, mask = (np.array([vector["inputs"][name]]) for name in ("map", "mask"))
        found = max_iou(maps, mask, return_details=True)
        assert found.value.item() == vector["expected"]["max_iou"]
        assert found.threshold.item() == vector["expected"]["max_iou_threshold"]
