"""The pointing game, against distances counted one by one; chance levels and details."""

from itertools import product
from types import SimpleNamespace
from typing import ClassVar

import numpy as np
import pytest
import torch

from tests.metrics.examples import scenes
from tests.metrics.laws import VECTORS, MetricLaws
from xai_ext.metrics import (
    FractionOfMax,
    Mean,
    Status,
    TopK,
    box_iou,
    chance,
    energy_pointing_game,
    iou,
    mass_accuracy,
    max_iou,
    pointing_accuracy,
    pointing_game,
)


class TestPointingGame:
    @pytest.mark.parametrize("tolerance", [0, 1, 1.4, 2**0.5, 3**0.5, 2.3, 5**0.5, 4, 100])
    def test_distances_by_brute_force(self, tolerance):
        maps, masks = scenes(12)
        found = {t: pointing_game(maps, masks, tolerance=tolerance, ties=t) for t in ("expected", "first", "any")}
        for i, (saliency, mask) in enumerate(zip(maps, masks, strict=True)):
            hits = [
                min(np.sqrt(((p - q) ** 2).sum()) for q in np.argwhere(mask)) <= tolerance
                for p in np.argwhere(saliency == saliency.max())
            ]
            assert found["expected"][i].item() == pytest.approx(np.mean(hits), abs=1e-15)
            assert found["first"][i].item() == hits[0]
            assert found["any"][i].item() == any(hits)

    def test_volumes_have_distances_too(self):
        mask = np.zeros((1, 4, 4, 4), bool)
        mask[0, 0, 0, 0] = True
        maps = np.zeros((1, 4, 4, 4))
        maps[0, 1, 1, 1] = 1
        assert pointing_game(maps, mask, tolerance=3**0.5).item() == 1  # inclusive, although 3**0.5 squared is below 3
        assert pointing_game(maps, mask, tolerance=1.7).item() == 0

    def test_vector_of_ties(self):
        vector = VECTORS["pg-ties"]
        maps, mask = (np.array([vector["inputs"][name]]) for name in ("map", "mask"))
        for ties, key in (("expected", "expected"), ("first", "first_raster"), ("any", "any")):
            assert pointing_game(maps, mask, ties=ties).item() == vector["expected"][key]

    def test_vector_of_tolerance(self):
        vector = VECTORS["pg-tol"]["inputs"]
        mask = np.zeros((5, *vector["shape"]), bool)
        mask[:, vector["mask_only_pixel"][0], vector["mask_only_pixel"][1]] = True
        maps = np.zeros(mask.shape)
        for i, (y, x) in enumerate(vector["points_yx"]):
            maps[i, y, x] = 1
        assert pointing_game(maps, mask, tolerance=3).tolist() == VECTORS["pg-tol"]["expected"]["hit_inclusive"]
        assert pointing_game(maps, mask, tolerance=2.99).tolist() == [1, 1, 1, 0, 0]

    def test_vector_of_a_plain_hit(self):
        maps, mask = (np.array([VECTORS["loc-1"]["inputs"][name]]) for name in ("map", "mask"))
        assert pointing_game(maps, mask).item() == VECTORS["loc-1"]["expected"]["pointing_game"]

    @pytest.mark.parametrize("tolerance", [-1, np.nan])
    def test_a_tolerance_is_a_distance(self, tolerance):
        with pytest.raises(ValueError, match="tolerance must be a distance in pixels"):
            pointing_game(*scenes(1), tolerance=tolerance)

    def test_an_unknown_tie_rule_is_refused(self):
        with pytest.raises(ValueError, match="ties must be one of"):
            pointing_game(*scenes(1), ties="all")

    def test_the_maximum_of_magnitudes_may_be_asked_for(self):
        maps, mask = np.array([[[-2.0, 1], [0, 0]]]), np.array([[[1, 0], [0, 0]]])
        assert pointing_game(maps, mask).item() == 0
        assert pointing_game(maps, mask, sign="abs").item() == 1
        assert maps.min() == -2  # the caller's array is not the one that loses its signs


class TestAnyMaximum(MetricLaws):
    function = staticmethod(pointing_game)
    options: ClassVar = {"ties": "any"}


class TestDetails:
    def test_statuses_stay_with_their_examples(self):
        maps, masks = scenes(5)
        maps[0, 2, 2], masks[1], maps[2], masks[3] = np.nan, False, 1.0, True
        expected = [Status.NON_FINITE, Status.EMPTY_MASK, Status.CONSTANT, Status.FULL_MASK, Status.OK]
        for found in (
            iou(maps, masks, threshold=Mean(), return_details=True),
            max_iou(maps, masks, return_details=True),
            pointing_game(maps, masks, return_details=True),
        ):
            assert found.status.tolist() == expected
            assert found.value.isnan().tolist() == [True, True, False, False, False]

    def test_details_come_by_name(self):
        maps, masks = scenes(2)
        found = pointing_game({"a": maps}, masks, return_details=True)
        assert found["a"].status.tolist() == [Status.OK] * 2


class TestChance:
    @pytest.mark.parametrize("tolerance", [0, 1, 2.5])
    def test_pointing_is_the_mean_over_all_single_maxima(self, tolerance):
        masks, ignore = scenes(3)[1], np.zeros((3, 5, 6), bool)
        ignore[:, 1] = True
        for skipped in (None, ignore):
            levels = chance("pointing_game", masks, tolerance=tolerance, ignore=skipped)
            for i in range(3):
                hits = []
                for y, x in product(range(5), range(6)):
                    if skipped is None or not skipped[i, y, x]:
                        maps = np.zeros((1, 5, 6))
                        maps[0, y, x] = 1
                        one = None if skipped is None else skipped[i : i + 1]
                        hits.append(pointing_game(maps, masks[i : i + 1], tolerance=tolerance, ignore=one).item())
                assert levels[i].item() == pytest.approx(np.mean(hits), abs=1e-15)

    def test_iou_is_that_of_a_map_without_information(self):
        masks = scenes(4)[1]
        for k in (1, 7, 30):
            flat = iou(np.ones((4, 5, 6)), masks, threshold=TopK(k))
            torch.testing.assert_close(chance("iou", masks, k=k), flat, rtol=1e-12, atol=0)

    def test_details_carry_it(self):
        maps, masks = scenes()
        found = iou(maps, masks, threshold=FractionOfMax(0.5), return_details=True)
        assert torch.equal(found.chance, chance("iou", masks, k=found.n_predicted))
        found = pointing_game(maps, masks, tolerance=1, return_details=True)
        assert torch.equal(found.chance, chance("pointing_game", masks, tolerance=1))
        assert max_iou(maps, masks, return_details=True).chance.isnan().all()

    def test_an_empty_mask_has_none(self):
        assert chance("iou", np.zeros((1, 2, 2), bool), k=1).isnan().all()
        assert chance("pointing_game", np.zeros((1, 2, 2), bool)).isnan().all()

    def test_iou_needs_a_size(self):
        with pytest.raises(ValueError, match="needs k"):
            chance("iou", scenes(1)[1])


def test_a_table_explanation_of_one_row_asks_for_its_batch():
    row = SimpleNamespace(values=np.ones((5, 6)), data=np.ones((5, 6)), base_values=0.0)
    with pytest.raises(ValueError, match=r"explanation\[:1\]"):
        pointing_game(row, np.ones((1, 5, 6), bool))


class TestTorchray:
    @pytest.mark.parametrize("tolerance", [0, 1, 2, 15])
    def test_the_first_maximum_strictly_within(self, tolerance):
        maps, masks = scenes(12)
        masks[3] = False
        found = pointing_game(maps, masks, tolerance=tolerance, compat="torchray")
        for saliency, mask, hit in zip(maps, masks, found, strict=True):
            y, x = divmod(int(np.argmax(saliency)), 6)
            squares = [(y - v) ** 2 + (x - u) ** 2 for v in range(5) for u in range(6) if mask[v, u]]
            assert hit.item() == any(s < tolerance**2 for s in squares)

    def test_fifteen_pixels_unless_told_otherwise(self):
        maps, masks = np.zeros((1, 40, 40)), np.zeros((1, 40, 40), bool)
        maps[0, 0, 0], masks[0, 0, 14] = 1, True
        assert pointing_game(maps, masks, compat="torchray").item() == 1
        assert pointing_game(maps, np.roll(masks, 1, 2), compat="torchray").item() == 0
        with pytest.raises(ValueError, match="takes the first maximum"):
            pointing_game(maps, masks, ties="any", compat="torchray")


class TestAccuracy:
    def test_means_over_examples_and_classes(self):
        hits, classes = [1.0, 0.0, np.nan, 1.0], [0, 0, 1, 2]
        assert pointing_accuracy(hits) == pytest.approx(2 / 3)
        assert pointing_accuracy(hits, classes, average="macro") == pytest.approx(0.75)
        assert pointing_accuracy(hits, classes, num_classes=5, compat="torchray") == pytest.approx(1.5 / 5)
        assert np.isnan(pointing_accuracy([np.nan]))
        assert np.isnan(pointing_accuracy([np.nan], [0], average="macro"))

    def test_what_is_missing_is_named(self):
        with pytest.raises(ValueError, match="needs class_ids"):
            pointing_accuracy([1.0], average="macro")
        with pytest.raises(ValueError, match="needs num_classes of at least the 2"):
            pointing_accuracy([1.0, 0.0], [0, 1], num_classes=1, compat="torchray")


class TestMass:
    def test_it_is_the_share_of_the_positive_sum(self):
        maps, masks = scenes()
        positive = np.maximum(maps, 0)
        expected = [p[m].sum() / p.sum() for p, m in zip(positive, masks, strict=True)]
        np.testing.assert_allclose(energy_pointing_game(maps, masks), expected, atol=1e-14)
        magnitudes = [np.abs(a)[m].sum() / np.abs(a).sum() for a, m in zip(maps, masks, strict=True)]
        np.testing.assert_allclose(mass_accuracy(maps, masks, sign="abs"), magnitudes, atol=1e-14)

    def test_without_mass_there_is_no_share(self):
        _, masks = scenes(3)
        maps = np.stack([np.zeros((5, 6)), -np.ones((5, 6)), np.full((5, 6), 2.0)])
        found = energy_pointing_game(maps, masks, return_details=True)
        assert found.value.isnan().tolist() == [True, True, False]
        assert found.status.tolist() == [Status.CONSTANT] * 3
        assert found.value[2].item() == pytest.approx(masks[2].mean())

    def test_a_signed_share_is_refused(self):
        with pytest.raises(ValueError, match="sign must be one of 'positive', 'abs'"):
            energy_pointing_game(*scenes(1), sign="signed")


class TestBoxIou:
    def test_boxes_are_sets_of_pixels(self):
        rng = np.random.default_rng(0)
        corners = rng.integers(0, 8, (2, 6, 2))
        a, b = (np.concatenate([c, c + rng.integers(1, 6, (6, 2))], 1) for c in corners)
        for extra, convention in ((0, "half_open"), (1, "inclusive")):
            found = box_iou(a, b, convention)
            for i, p in enumerate(a):
                for j, q in enumerate(b):
                    first, second = (
                        {(x, y) for x in range(r[0], r[2] + extra) for y in range(r[1], r[3] + extra)} for r in (p, q)
                    )
                    expected = len(first & second) / len(first | second)
                    assert found[i, j].item() == pytest.approx(expected, abs=1e-14)

    def test_an_empty_box_is_refused(self):
        with pytest.raises(ValueError, match="x0 < x1"):
            box_iou([[0, 0, 0, 1]], [[0, 0, 1, 1]])
