"""Tables of maps, reports on decisions, published setups."""

import json
import os
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import norm
from torch import nn

from tests.anomaly.worlds import Blurring, images
from tests.laws import GeneratorsUntouched
from xai_ext.anomaly import DetectorScore, ReconstructionScore
from xai_ext.study._decision_stats import _local, equal_recall_threshold, holm, wilson
from xai_ext.study._explain_table import ALWAYS
from xai_ext.study.anomaly import (
    AnomalyConfig,
    anomaly_demo,
    compare_all,
    cross_table,
    decision_report,
    explain_table,
    paper_setup,
    report_of,
)

ROOT = Path(__file__).parents[2]
MASK = np.zeros((16, 16), bool)
MASK[4:8, 4:8] = True


class Dim(nn.Module):
    """Cannot reconstruct what is bright."""

    def forward(self, x):
        return 0.95 * x.clamp(max=0.35)


def scene():
    """A bright square on a smooth dark image."""
    x = 0.3 * images(1, height=16, width=16)
    x[0, 0, 4:8, 4:8] += 0.6
    return ReconstructionScore(Dim()), x


class TestExplainTable:
    def test_the_reference_rows_are_there_whatever_is_asked(self):
        score, x = scene()
        assert set(explain_table(score, x, MASK, {}).index) == set(ALWAYS)
        table = explain_table(score, x, MASK, {"mine": MASK.astype(float), "random": MASK.astype(float)})
        assert set(table.index) == {"mine", *ALWAYS}
        assert table.loc["random", "iou_otsu"] < 1  # nobody's map replaces a reference

    def test_a_perfect_map_scores_one_and_a_map_elsewhere_zero(self):
        score, x = scene()
        row = explain_table(score, x, MASK, {"mine": MASK.astype(float)}).loc["mine"]
        for name in (
            "iou_otsu",
            "iou_mass80",
            "oracle_iou_area",
            "oracle_max_iou",
            "pointing_game",
            "mass_accuracy",
            "roc_auc",
        ):
            assert row[name] == 1, name
        assert row["iou_top5"] == pytest.approx(13 / 16)  # 5 % of 256 are 13 pixels of its 16, tied
        other = explain_table(score, x, MASK, {"mine": np.roll(MASK, 8).astype(float)}).loc["mine"]
        assert (other["pointing_game"], other["mass_accuracy"]) == (0, 0)

    def test_chance_is_what_random_maps_score(self):
        score, x = scene()
        noise = {f"r{i}": np.random.default_rng(i).random((16, 16)) for i in range(60)}
        table = explain_table(score, x, MASK, noise).loc[list(noise)]
        for name in ("iou_top5", "oracle_iou_area", "pointing_game", "mass_accuracy", "roc_auc"):
            error = table[name].std() / np.sqrt(60)
            # IoU at the expected intersection differs a little from the expected IoU
            assert abs(table[name].mean() - table[f"chance_{name}"].mean()) <= 4 * error + 0.005, name

    def test_the_mass_of_the_maximum_is_on_the_object_more_than_the_raw_maps(self):
        score, x = scene()
        table = explain_table(score, x, MASK, {})
        assert table.loc["closed_form", "mass_accuracy"] > table.loc["raw_map", "mass_accuracy"]
        assert table.loc["closed_form", "roc_auc"] == pytest.approx(table.loc["raw_map", "roc_auc"])  # same ranks

    def test_maps_of_another_size_are_resized_and_it_says_how(self):
        score, x = scene()
        table = explain_table(
            score, x, MASK, {"small": np.random.default_rng(0).random((4, 4)), "t": torch.ones(1, 3, 16, 16)}
        )
        assert table.loc["small", "resized"] == "bilinear"
        assert table.loc["t", "resized"] == ""

    def test_a_score_without_a_map_has_empty_rows_that_say_so(self):
        score = DetectorScore.from_callable(lambda x: x.flatten(1).amax(1))
        table = explain_table(score, images(1, height=16, width=16), MASK, {})
        assert table.loc["raw_map", "resized"] == "no map"
        assert np.isnan(table.loc["closed_form", "roc_auc"])

    def test_the_table_is_the_same_twice_and_touches_no_generator(self):
        score, x = scene()
        with GeneratorsUntouched():
            a, b = (explain_table(score, x, MASK, {}) for _ in range(2))
        pd.testing.assert_frame_equal(a, b)

    def test_masks_that_do_not_fit_are_refused(self):
        score, x = scene()
        with pytest.raises(ValueError, match="nearest"):
            explain_table(score, x, MASK[:8], {})


def test_the_cross_table_counts_verdicts_against_explanations():
    table = cross_table(["right", "right", "wrong", None], np.array([0.9, 0.2, np.nan, 0.6]))
    assert table.loc["right"].to_dict() == {"explanation right": 1, "explanation wrong": 1}
    assert table.loc["none", "explanation right"] == 1


class TestPaperSetups:
    @pytest.mark.parametrize("variant", ["code", "text", "decision"])
    @pytest.mark.parametrize("setup", ["S1", "S2", "S3"])
    def test_each_gives_a_signed_map_that_is_high_on_the_defect(self, setup, variant):
        score, x = scene()
        found = paper_setup(score, x, MASK, setup=setup, variant=variant, n_samples=200, n_segments=20)
        assert found.values.shape == (16, 16)
        assert found.oracle == (setup == "S2")
        assert found.values[MASK].mean() > found.values[~MASK].mean()
        assert found.n_evals <= 202

    def test_segments_are_as_many_as_asked_for_where_quickshift_can(self):
        x = images(1, height=32, width=32)
        found = paper_setup(ReconstructionScore(Blurring()), x, setup="S1", n_samples=10, n_segments=20)
        assert abs(found.n_segments - 20) <= 2

    def test_lime_of_the_frozen_additive_score_is_the_known_map(self):
        """5,000 evaluations of a sum find what its closed form says for nothing."""
        score, x = scene()
        found = paper_setup(score, x, setup="S1", variant="text", n_samples=600, n_segments=12).values
        exact = ReconstructionScore(score.model, residual="sq_mean", reduce="mean").closed_form(x)[0].region_map()
        _, labels = np.unique(found, return_inverse=True)
        sums = np.bincount(labels.ravel(), exact.ravel())
        np.testing.assert_allclose(np.unique(found), sums, atol=0.02 * sums.sum())  # lime's ridge shrinks

    def test_the_oracle_needs_a_mask_and_is_refused_in_a_ranking(self):
        score, x = scene()
        with pytest.raises(ValueError, match="oracle"):
            paper_setup(score, x, setup="S2")
        options = {"n_samples": 10, "n_segments": 5}
        cheat = {"S2": lambda x: paper_setup(score, x, MASK, setup="S2", **options)}
        with pytest.raises(ValueError, match=r"\['S2'\] saw the truth"):
            compare_all(score, x, MASK[None], cheat)
        shown = explain_table(score, x, MASK, {"S2": cheat["S2"](x)})
        assert shown.loc["S2", "oracle"]
        ranked = compare_all(score, x, MASK[None], {"S1": lambda x: paper_setup(score, x, setup="S1", **options)})
        assert {"S1", *ALWAYS} == set(ranked.index)

    def test_unknown_names_are_refused(self):
        score, x = scene()
        with pytest.raises(ValueError, match="setup must be one of"):
            paper_setup(score, x, setup="S4")
        with pytest.raises(ValueError, match="variant must be one of"):
            paper_setup(score, x, setup="S1", variant="paper")


RATES = {"good": 0.05, "gain": 0.30, "defect": 0.70}


def simulated(rng, better=0.0, worse=0.0, n=120):
    """Scores with known flag rates at threshold 0, and evidence that removes a share of the false alarms of one group,
    or of the hits."""
    tables = {}
    for name, rate in RATES.items():
        s = rng.normal(norm.ppf(rate), 1, n)
        local = np.where(s > 0, 0.01, 0.0)
        removed = rng.random(n) < {"gain": better, "defect": worse}.get(name, 0.0)
        tables[name] = pd.DataFrame({"s": s, "repair_area": np.where(removed & (s > 0), 0.2, local), "p": 0.5, "z": s,
                                     "contrast": np.where(removed, 0.1, 0.11),
                                     "n_spots": 1.0, "largest_spot": 0.1, "roi_mass": 1.0})  # fmt: skip
    return tables


class TestDecisionReport:
    def test_rates_lie_in_their_intervals(self):
        rng = np.random.default_rng(0)
        covered = []
        for _ in range(500):
            for rate in RATES.values():
                low, high = wilson(int((rng.normal(norm.ppf(rate), 1, 120) > 0).sum()), 120)
                covered.append(low <= rate <= high)
        assert np.mean(covered) >= 0.93

    def test_the_report_holds_those_rates_and_intervals(self):
        tables = simulated(np.random.default_rng(1), better=0.5)
        report = report_of(tables, 0.0, defects=("defect",))
        rows = report.rates.set_index(["rule", "group"])
        flagged = int((tables["gain"]["s"] > 0).sum())
        assert rows.loc[("score", "gain"), "flagged"] == flagged
        assert tuple(rows.loc[("score", "gain"), ["low", "high"]]) == wilson(flagged, 120)
        assert rows.loc[("score+local", "gain"), "flagged"] == int(_local(tables["gain"], 0.0).sum()) < flagged

    def test_wilson_by_hand(self):
        """Of 0 in 10: upper end z^2 / (n + z^2)."""
        assert wilson(0, 10) == (pytest.approx(0, abs=1e-12), pytest.approx(3.8415 / 13.8415, abs=1e-4))

    def test_equal_recall_is_equal_to_one_image(self):
        scores = np.random.default_rng(2).normal(size=57)
        for n in (0, 1, 30, 56, 57):
            assert (scores > equal_recall_threshold(scores, n)).sum() == n

    @pytest.mark.parametrize(
        ("options", "sentence"),
        [
            ({"better": 0.9}, "lowers false alarms on gain; undecided on good"),
            ({"worse": 0.9}, None),
            ({}, "undecided on good, gain"),
        ],
    )
    def test_the_sentence_says_what_was_planted(self, options, sentence):
        report = report_of(simulated(np.random.default_rng(3), n=300, **options), 0.0, defects=("defect",))
        said = next(s for s in report.sentences if "score+local" in s)
        if sentence:
            assert f"At equal recall score+local {sentence}." == said
            assert f"At equal recall score+contrast {sentence}." in report.sentences  # the same images are removed
        else:  # the rule loses hits: at that recall the score alone has fewer false alarms
            assert "raises them on" in said
            assert "gain" in said.partition("raises them on")[2]
        assert report.sentences[-1] == "The decision stays the score alone."
        row = report.comparison.iloc[0]
        assert abs(row["recall"] - row["recall_of_score"]) <= 1 / 300

    def test_holm_by_hand(self):
        np.testing.assert_allclose(holm(np.array([0.01, 0.04, 0.03])), [0.03, 0.06, 0.06])

    def test_a_detector_that_knows_nothing_is_called_unfit(self):
        rng = np.random.default_rng(4)
        tables = {g: simulated(rng)["good"] for g in ("good", "defect")}
        report = report_of(tables, 0.0, defects=("defect",))
        assert report.sentences[0].startswith("The detector is unfit")
        assert not any("unfit" in s for s in report_of(simulated(rng), 0.0, defects=("defect",)).sentences)

    def test_reasons_and_what_predicts_a_wrong_one(self):
        tables = simulated(np.random.default_rng(5))
        defects = tables["defect"]
        wrong = np.arange(len(defects)) % 4 == 0
        defects["verdict"] = np.where(wrong, "wrong", "right")
        defects["largest_spot"] = np.where(wrong, 0.3, 0.1)
        report = report_of(tables, 0.0, defects=("defect",))
        detected = defects["s"] > 0
        row = report.reasons.set_index("verdict").loc["wrong"]
        assert row["count"] == (detected & wrong).sum()
        found = report.predictors.set_index("evidence")
        assert found.loc["largest_spot", "auroc"] == 1
        assert found.loc["p", "auroc"] == 0.5
        assert f"{row['share']:.0%} for a wrong one" in " ".join(report.sentences)

    def report(self, **options):
        score = ReconstructionScore(Blurring()).calibrate(0.3 * images(60, height=16, width=16, seed=1))
        bad = 0.3 * images(20, height=16, width=16, seed=2)
        bad[:, 0, 4:8, 4:8] += 0.6
        groups = {"good": 0.3 * images(60, height=16, width=16, seed=3), "defect": bad, "gain": 1.2 * bad.flip(0) - 0.1}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return decision_report(score, groups, masks=np.stack([MASK] * 20), **options)

    def test_from_images_to_json(self):
        report = self.report(roi=MASK)
        assert set(report.rates["rule"]) == {"score", "score+local", "score+contrast", "score+roi", "right_reason"}
        assert report.n_calibration == 60
        read = json.loads(report.to_json())
        assert set(read) == {"threshold", "alpha", "n_calibration", "rates", "comparison", "reasons", "predictors",
                             "detection", "sentences"}  # fmt: skip
        assert 0.9 < read["detection"]["auroc"] <= 1
        assert {"pixel_auroc", "aupro", "false_alarms"} <= set(read["detection"])
        assert "right reason" in report.summary()

    def test_normals_that_are_not_exchangeable_are_noticed(self):
        score = ReconstructionScore(Blurring()).calibrate(0.3 * images(60, height=16, width=16, seed=1))
        with pytest.warns(UserWarning, match="not exchangeable"):
            decision_report(score, {"good": images(60, height=16, width=16, seed=3)})

    def test_masks_of_unknown_groups_or_of_normals_are_refused(self):
        score = ReconstructionScore(Blurring()).calibrate(images(60))
        with pytest.raises(ValueError, match="did you mean 'defect'"):
            decision_report(
                score, {"good": images(2), "defect": images(2)}, masks={"defects": np.zeros((2, 6, 5), bool)}
            )
        with pytest.raises(ValueError, match="has no defects"):
            decision_report(score, {"good": images(2)}, masks={"good": np.zeros((2, 6, 5), bool)})

    def test_further_rules_are_compared_too(self):
        report = self.report(rules={"half": lambda table, threshold: np.asarray(table["s"] > 2 * threshold)})
        assert "half" in set(report.comparison["rule"])


@pytest.fixture(scope="module")
def demo():
    return anomaly_demo(AnomalyConfig(budget=30, n_defects=1, epochs=1, n_train=64))


class TestDemo:
    """From a texture to a figure, with next to no training."""

    def test_it_trains_calibrates_explains_judges_and_writes(self, demo, tmp_path):
        assert demo.score.info.calibration.n == 300
        assert len(demo.verdicts.verdict) == 150
        names = {"bpt_owen", "stratified_lime", "iassa", "captum.IntegratedGradients", "shap.Partition"}
        assert names | set(ALWAYS) == set(demo.table.index)
        assert all(set(row.attributions) == names for row in demo.rows)
        assert [p.name for p in demo.save(tmp_path)] == ["figure.png", "result.json"]
        assert json.loads((tmp_path / "result.json").read_text())["config"]["texture"] == "brick"
        assert "image AUROC" in demo.summary()

    def test_the_command_is_one_line(self, demo, tmp_path, monkeypatch, capsys):
        from xai_ext import cli
        from xai_ext.study import anomaly

        seen = []

        def quick(config, *, progress):
            seen.append((config.texture, config.budget, config.seed, progress))
            return demo

        monkeypatch.setattr(anomaly, "anomaly_demo", quick)
        flags = ["--anomaly", "--budget", "40", "--seed", "3", "--progress", "none", "--out", str(tmp_path / "o")]
        monkeypatch.setattr("sys.argv", ["xai-ext", "compare", *flags])
        with pytest.raises(SystemExit) as stop:
            cli.main()
        assert not stop.value.code
        assert seen == [("brick", 40, 3, False)]
        assert "verdicts on 150 defects" in capsys.readouterr().out

    def test_the_example_runs(self, tmp_path):
        environment = {**os.environ, "MPLBACKEND": "agg", "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        quick = ["--epochs", "1", "--images", "64", "--defects", "1", "--budget", "30"]
        command = [sys.executable, "-W", "error::UserWarning", str(ROOT / "examples" / "anomaly.py"), *quick]
        run = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert run.returncode == 0, run.stderr[-2000:]
        assert "threshold" in run.stdout
