"""Overlap over all regions, against sets."""

import numpy as np
import pytest
import torch

from tests.metrics.examples import scenes
from xai_ext.metrics import TopK, au_iou, chance, iou, iou_curve, max_iou


def test_every_point_is_the_overlap_of_the_k_highest():
    maps, masks = scenes(6)
    curve = iou_curve(maps, masks)
    assert curve.shape == (6, 31)
    assert (curve[:, 0] == 0).all()
    for k in (1, 8, 29, 30):
        torch.testing.assert_close(curve[:, k], iou(maps, masks, threshold=TopK(k)), rtol=1e-12, atol=1e-14)


def test_stable_ties_are_in_raster_order():
    maps, masks = scenes(6)
    curve = iou_curve(maps, masks, ties="stable")
    for i in range(6):
        order = sorted(range(30), key=lambda p: -maps[i].ravel()[p])
        for k in (1, 5, 17):
            chosen, truth = set(order[:k]), set(np.flatnonzero(masks[i]))
            assert curve[i, k].item() == pytest.approx(len(chosen & truth) / len(chosen | truth), abs=1e-14)


def test_the_area_is_the_mean_of_trapezoids():
    maps, masks = scenes(6)
    curve = iou_curve(maps, masks).numpy()
    np.testing.assert_allclose(au_iou(maps, masks), np.trapezoid(curve) / 30, atol=1e-14)
    found = au_iou(np.ones((6, 5, 6)), masks, return_details=True)
    torch.testing.assert_close(found.value, found.chance, rtol=1e-12, atol=0)
    torch.testing.assert_close(found.chance, chance("au_iou", masks), rtol=1e-12, atol=0)


def test_normalised_a_perfect_map_has_one():
    _, masks = scenes(6)
    perfect = masks + np.random.default_rng(0).random(masks.shape) / 2
    np.testing.assert_allclose(au_iou(perfect, masks, normalized=True), 1, atol=1e-14)
    assert (au_iou(perfect, masks) < 1).all()


def test_undefined_examples_are_nan_and_shorter_curves_repeat_their_end():
    maps, masks = scenes(3)
    masks[1] = False
    ignore = np.zeros_like(masks)
    ignore[2, 0, 1:] = True
    curve = iou_curve(maps, masks, ignore=ignore)
    assert curve.isnan().all(1).tolist() == [False, True, False]
    assert (curve[2, 26:] == curve[2, 25]).all()
    named = iou_curve({"a": maps}, masks, ignore=ignore)
    assert torch.equal(named["a"].nan_to_num(), curve.nan_to_num())


class TestPublished:
    def by_hand(self, saliency, mask):
        noisy = saliency.ravel() + np.random.default_rng(12345).normal(0, 1e-9, saliency.size)
        inside, found = 0, []
        for i, p in enumerate(sorted(range(saliency.size), key=lambda p: -noisy[p])):
            inside += int(mask.ravel()[p])
            union = i + int(mask.sum()) - inside
            found.append(inside / union if union else np.inf)
        return found

    def test_it_is_what_was_published(self):
        maps, masks = scenes(5)
        curves = [self.by_hand(a, m) for a, m in zip(maps, masks, strict=True)]
        np.testing.assert_allclose(iou_curve(maps, masks, compat="shapbpt"), curves, atol=1e-12)
        np.testing.assert_allclose(max_iou(maps, masks, compat="shapbpt"), np.max(curves, axis=1), atol=1e-12)
        areas = [np.trapezoid(c, np.arange(30) / 30) for c in curves]
        np.testing.assert_allclose(au_iou(maps, masks, compat="shapbpt"), areas, atol=1e-12)

    def test_a_perfect_map_of_ten_pixels_exceeds_one(self):
        mask = np.zeros((1, 5, 6), bool)
        mask[0, :2, :5] = True
        assert max_iou(mask.astype(float), mask, compat="shapbpt").item() == pytest.approx(10 / 9)

    def test_contradictions_are_refused(self):
        with pytest.raises(ValueError, match="without normalisation"):
            au_iou(*scenes(1), normalized=True, compat="shapbpt")
        with pytest.raises(ValueError, match="compat must be one of"):
            max_iou(*scenes(1), compat="rise")
