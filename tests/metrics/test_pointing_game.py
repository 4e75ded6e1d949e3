"""The pointing game, against distances counted one by one; chance levels and details."""

from itertools import product
from types import SimpleNamespace
from typing import ClassVar

import numpy as np
import pytest
import torch

from tests.metrics.examples import scenes
from tests.metrics.laws import VECTORS, MetricLaws
from xai_ext.metrics import FractionOfMax, Mean, Status, TopK, chance, iou, max_iou, pointing_game


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
