"""Verdicts on detectors whose reasons are known, and evidence counted by hand."""

import warnings

import numpy as np
import pytest
import torch

from tests.anomaly.worlds import images
from tests.laws import GeneratorsUntouched
from xai_ext.anomaly import (
    VAEGAN,
    DetectorScore,
    Max,
    ReconstructionScore,
    TopK,
    evidence,
    right_reason,
    texture_defects,
)

MASK = np.zeros((16, 16), bool)
MASK[9:12, 9:12] = True


def flat(**changes):
    """Grey images (1, 1, 16, 16), changed where asked: name -> value."""
    x = torch.full((1, 1, 16, 16), 0.5)
    places = {"defect": np.s_[9:12, 9:12], "mark": np.s_[:3, :3], "light": np.s_[15:, :1]}
    for name, value in changes.items():
        x[0, 0][places[name]] = value
    return x


def grey(x):
    return torch.full_like(x, 0.5)


def judged(fn, x, mask=MASK, threshold=0.2, **options):
    score = DetectorScore.from_callable(fn, reference=grey)
    score.threshold = threshold
    return right_reason(score, x, mask, **options)


def contrast(x, rows=np.s_[:], columns=np.s_[:]):
    return (x - 0.5).abs()[:, 0, rows, columns].flatten(1).amax(1)


def corner(x):
    return contrast(x, np.s_[:3], np.s_[:3])


class TestVerdicts:
    def test_a_detector_that_sees_the_defect_is_right(self):
        found = judged(contrast, flat(defect=1.0))
        assert found.verdict == ("right",)
        assert (found.s_x[0], found.s_repaired[0], found.s_transplanted[0]) == (0.5, 0, 0.5)
        assert (found.repair_effect[0], found.transplant_effect[0]) == (1, 1)
        assert found.placebo_repaired[0] == 0.5
        assert found.placebo_transplanted[0] == 0

    def test_a_detector_that_sees_a_mark_in_the_corner_is_wrong(self):
        x = flat(defect=1.0, mark=0.9)
        assert judged(corner, x).verdict == ("wrong",)

    def test_a_defect_beside_another_reason_is_undecided(self):
        found = judged(contrast, flat(defect=1.0, mark=0.9))  # the mark alarms it, too
        assert (found.verdict, found.status) == (("undecided",), ("sufficient, but flagged without it, too",))
        assert (found.necessary[0], found.sufficient[0]) == (False, True)

    def test_a_defect_that_alarms_in_its_own_light_alone_is_necessary_and_not_sufficient(self):
        def in_light(x):
            return contrast(x, np.s_[9:12], np.s_[9:12]) * x[:, 0, 15, 0]

        found = judged(in_light, flat(defect=1.0, light=1.0), carrier=lambda x: flat(light=0.1))
        assert (found.verdict, found.status) == (("partly",), ("necessary, not sufficient",))

    def test_what_is_not_flagged_has_no_reason(self):
        assert judged(contrast, flat(defect=0.6)).verdict == ("not_detected",)

    @pytest.mark.parametrize(
        ("options", "status"),
        [
            ({"repair": lambda x: flat(mark=0.0)}, "the repaired image is flagged"),
            ({"carrier": lambda x: flat(mark=0.0)}, "the carrier is flagged"),
        ],
    )
    def test_where_a_control_fails_it_is_undecided(self, options, status):
        found = judged(contrast, flat(defect=1.0), **options)
        assert found.verdict == ("undecided",)
        assert status in found.status[0].split("; ")

    def test_a_repair_that_silences_everywhere_proves_nothing(self):
        def untouched(x):
            return (x != 0.5).flatten(1).all(1).float()

        found = judged(untouched, flat(defect=1.0) + 0.01, threshold=0.5)
        assert found.status == ("repairing elsewhere silences it too",)

    def test_a_transplant_that_alarms_everywhere_proves_nothing(self):
        def differs(x):
            return (x != 0.5).flatten(1).any(1).float()

        found = judged(differs, flat(defect=1.0) + 0.01, carrier=grey, repair=grey, threshold=0.5)
        assert found.status == ("transplanting elsewhere alarms it too",)

    def test_empty_full_and_large_masks(self):
        x, full = flat(defect=1.0), np.ones((16, 16), bool)
        assert judged(contrast, x, ~full).verdict == (None,)
        assert judged(contrast, x, ~full).status == ("empty mask",)
        assert judged(contrast, x, full).status == ("full mask",)
        large = full.copy()
        large[:2] = False
        assert judged(contrast, x, large).status == ("no placebo fits",)

    def calibrated(self, *normals):
        score = DetectorScore.from_callable(contrast, reference=grey)
        score.calibrate(torch.cat([*normals, *[flat(mark=0.6)] * 20]))
        score.threshold = 0.2
        return score

    @pytest.mark.parametrize(
        ("near", "far"),
        [({"light": 0.58}, {"light": 0.6, "defect": 0.65}), ({"light": 0.55}, {"light": 0.65}),
         ({"light": 0.65}, {"beside": 0.55})],
    )  # fmt: skip
    def test_the_normal_that_is_nearest_outside_of_the_mask_and_around_it_carries_the_defect(self, near, far):
        """Not the one that is like the defect; and what differs around the mask differs more."""
        x = flat(defect=1.0, light=0.5 if "beside" in far else 0.57)
        normals = [flat(**near), flat(**{k: v for k, v in far.items() if k != "beside"})]
        if "beside" in far:
            normals[1][0, 0, 8, 10] = far["beside"]
        for order in (normals, normals[::-1]):
            found = right_reason(self.calibrated(*order), x, MASK)
            assert found.s_carrier[0] == pytest.approx(float(contrast(normals[0])), abs=1e-6)

    def test_a_normal_that_is_flagged_itself_carries_nothing(self):
        score = self.calibrated(flat(light=0.6), flat(light=0.7))
        score.threshold = 0.15
        assert right_reason(score, flat(defect=1.0, light=0.7), MASK).s_carrier[0] == pytest.approx(0.1, abs=1e-6)

    def test_means_are_warned_of(self):
        score = ReconstructionScore(VAEGAN(size=16).eval(), reduce="mean")
        score.threshold = 0.0
        with pytest.warns(UserWarning, match="unreliable for the reducer Mean"):
            right_reason(score, flat(defect=1.0), MASK)

    def test_thirteen_rows_per_image_and_a_table(self):
        rows = []

        def spy(x):
            rows.append(len(x))
            return contrast(x)

        found = judged(spy, torch.cat([flat(defect=1.0), flat(mark=1.0)]), np.stack([MASK, MASK]))
        assert sum(rows) == 26
        assert found.table()["verdict"].tolist() == ["right", "wrong"]
        score = DetectorScore.from_callable(spy, reference=grey).calibrate(0.5 + 0.01 * images(40, height=16, width=16))
        rows.clear()
        right_reason(score, flat(defect=1.0), MASK)  # the carrier's score is known
        assert sum(rows) == 12

    @pytest.mark.parametrize("mask", [np.ones((8, 8), bool), 3 * MASK.astype(int), np.stack([MASK] * 2)])
    def test_masks_that_do_not_fit_are_refused(self, mask):
        with pytest.raises(ValueError, match="nearest"):
            judged(contrast, flat(), mask)


class TestLabelFree:
    def score(self, **options):
        """The residual to grey; normals differ from it by up to .1."""

        class Grey(torch.nn.Module):
            def forward(self, x):
                return grey(x)

        normals = 0.5 + 0.2 * (images(40, height=16, width=16) - 0.5)
        return ReconstructionScore(Grey(), **options).calibrate(normals)

    def test_an_image_by_hand(self):
        score = self.score()
        x = torch.cat([flat(), flat(defect=1.0), flat(defect=1.0, mark=0.0)])
        roi = np.zeros((16, 16), bool)
        roi[8:] = True
        table = evidence(score, x, roi=roi)
        assert table["s"].tolist() == [0.0, 0.5, 0.5]
        assert table["n_spots"].tolist() == [0, 1, 2]
        np.testing.assert_allclose(table["largest_spot"], [0, 9 / 256, 9 / 256])
        np.testing.assert_allclose(table["roi_mass"], [np.nan, 1, 0.5])
        # 9 of 256 pixels are 3.5 %, 18 are 7 %; blurred edges need a little more
        assert table["repair_area"].tolist() == [0.0, 0.05, 0.12] or table["repair_area"].tolist() == [0.0, 0.05, 0.08]
        kept = score.info.calibration.scores
        median = np.median(kept)
        assert table["z"][1] == pytest.approx((0.5 - median) / (1.4826 * np.median(np.abs(kept - median))))
        assert table["p"].tolist() == [1.0, 1 / 41, 1 / 41]
        assert table["reference_ok"].tolist() == [False, True, True]

    def test_contrast_is_the_rank_among_normals_of_the_score_over_the_median_of_its_own_map(self):
        score = self.score()
        normals, scores = score.bank
        ratios = sorted(scores / np.median((normals - 0.5).abs().flatten(1).numpy(), axis=1))
        x = flat()
        x[..., ::2] += 0.1  # half of the pixels differ by .1, half by .04, so that the median is .07
        x[..., 1::2] += 0.04
        x[0, 0, 0, 0] = 0.5 + 0.07 * (ratios[11] + ratios[12]) / 2  # between the 12th and the 13th of 40
        found = evidence(score, torch.cat([flat(), x, flat(defect=1.0), x[:, :, :, :1].expand_as(x) * 0 + 0.7]))
        assert found["contrast"].tolist() == [1 / 41, 13 / 41, 1.0, 1 / 41]
        assert np.isnan(
            evidence(DetectorScore.from_callable(corner, reference=grey).calibrate(normals), x)["contrast"][0]
        )

    def test_what_no_area_mends_is_infinite_and_other_reducers_have_no_spots(self):
        score = self.score()
        assert evidence(score, torch.ones(1, 1, 16, 16))["repair_area"].tolist() == [np.inf]
        table = evidence(self.score(reduce=TopK(3)), flat(defect=1.0))
        assert table[["n_spots", "largest_spot", "roi_mass"]].isna().all().all()
        assert table["repair_area"][0] == 0.05

    def test_a_smoothed_map_has_no_shares_of_pixels(self):
        table = evidence(self.score(smooth=0.3), flat(defect=1.0), roi=MASK)
        assert table["roi_mass"].isna().all()

    def test_a_region_of_another_size_covers_the_same_part_of_the_image(self):
        halves = np.arange(8)[:, None] >= 4, np.arange(16)[:, None] >= 8
        coarse, fine = (
            evidence(self.score(), flat(defect=1.0, mark=0.0), roi=np.broadcast_to(half, (len(half),) * 2))["roi_mass"]
            for half in halves
        )
        np.testing.assert_array_equal(coarse, fine)
        assert fine[0] == 0.5

    def test_without_a_map_only_scores_and_chances_are_told(self):
        score = DetectorScore.from_callable(contrast, reference=grey)
        score.calibrate(0.5 + 0.01 * images(40, height=16, width=16))
        table = evidence(score, torch.cat([flat(), flat(defect=1.0)]))
        assert table["s"].tolist() == [0.0, 0.5]
        assert table["repair_area"].isna().tolist() == [False, True]
        assert table["n_spots"].isna().all()

    def test_at_most_eight_further_rows_are_spent_on_an_area(self):
        score, rows = self.score(), []
        inner = score.model.forward
        score.model.forward = lambda x: rows.append(len(x)) or inner(x)
        evidence(score, flat(defect=1.0))
        spent = sum(rows)
        rows.clear()
        evidence(score, flat(defect=1.0), areas=(0.1,))
        assert spent - sum(rows) == 7

    def test_nothing_is_touched(self):
        score, x = self.score(), flat(defect=1.0)
        before = x.clone()
        with GeneratorsUntouched():
            evidence(score, x)
            right_reason(score, x, MASK)
        assert torch.equal(x, before)

    def test_normals_are_needed(self):
        score = ReconstructionScore(VAEGAN(size=16).eval())
        score.threshold = 0.1
        with pytest.raises(ValueError, match="calibrate"):
            evidence(score, flat())


@pytest.fixture(scope="module")
def brick():
    pytest.importorskip("safetensors", reason="safetensors, of the extra `anomaly`, is not installed")
    return texture_defects("brick", n_train=0, n_calibration=120, n_good=0, n_bad=60, n_nuisance=60)


class TestShippedNetwork:
    """Sixty defects of brick, and sixty images whose only oddity is a label."""

    @pytest.mark.parametrize("reduce", [Max(), TopK(0.01)])
    def test_verdicts_are_those_that_the_true_clean_image_gives(self, brick, reduce):
        score = ReconstructionScore(VAEGAN.load("brick"), reduce=reduce).calibrate(brick.calibration)
        found = right_reason(score, brick.bad, brick.masks)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            true = right_reason(
                score, brick.bad, brick.masks, repair=lambda x: brick.clean, carrier=lambda x: brick.clean
            )
        detected = [i for i, v in enumerate(found.verdict) if v != "not_detected"]
        assert len(detected) >= 20
        agree = np.mean([found.verdict[i] == true.verdict[i] for i in detected])
        assert agree >= 0.9

    def test_a_detection_of_a_label_is_never_called_right(self, brick):
        score = ReconstructionScore(VAEGAN.load("brick")).calibrate(brick.calibration)
        x, masks = brick.fooled()
        verdicts = [v for v in right_reason(score, x, masks).verdict if v != "not_detected"]
        assert len(verdicts) >= 50
        assert verdicts.count("right") <= 0.02 * len(verdicts)
        assert verdicts.count("wrong") >= 0.95 * len(verdicts)

    def test_above_the_threshold_the_evidence_is_on_the_defect_and_in_the_raw_map_it_is_not(self, brick):
        score = ReconstructionScore(VAEGAN.load("brick")).calibrate(brick.calibration)
        mass = right_reason(score, brick.bad, brick.masks).mass_above
        raw = score.map(brick.bad)[:, 0].detach()
        share = (raw * brick.masks).sum((1, 2)) / raw.sum((1, 2))
        assert np.nanmean(mass) >= 0.9
        assert float(share[~np.isnan(mass)].mean()) <= 0.25
