"""Studies by name."""

import json

import pytest
import torch

from xai_ext.anomaly import ReconstructionScore, texture_defects
from xai_ext.study import presets
from xai_ext.study.methods import choose_methods
from xai_ext.study.presets import PRESETS, anomaly, applied


def test_a_preset_fills_what_was_not_typed():
    options, data = applied("disagreement", {"budget": 500, "repeats": 3, "models": ("a",)}, {"models"}, [])
    assert options["models"] == ("a",)
    assert options["baselines"] == ("zero", "blur")
    assert data == ("photos", "instruments")
    assert applied("disagreement", {}, set(), ["folder"])[1] == ("folder",)


def test_without_data_there_is_nothing_to_do():
    with pytest.raises(ValueError, match="bench needs data"):
        applied(None, {}, set(), [])
    with pytest.raises(ValueError, match="did you mean 'disagreement'"):
        applied("disagreemnt", {}, set(), [])


def test_the_methods_of_the_study_exist():
    names = {m.name for m in choose_methods(PRESETS["disagreement"]["methods"])}
    assert names == set(PRESETS["disagreement"]["methods"].split(","))
    assert {"center", "random"} < names


class _Blurred(torch.nn.Module):
    def forward(self, x):
        return torch.nn.functional.avg_pool2d(x, 5, 1, 2)


def make_score():
    return ReconstructionScore(_Blurred().eval()).calibrate(
        texture_defects(n_train=1, n_calibration=60, n_good=1, n_bad=1, n_nuisance=1).calibration
    )


def make_nothing():
    return 3


@pytest.fixture
def few(monkeypatch):
    def fewer(texture, *, seed, n_train, n_calibration):
        return texture_defects(texture, seed=seed, n_train=1, n_calibration=1, n_good=12, n_bad=12, n_nuisance=6)

    import xai_ext.anomaly

    monkeypatch.setattr(xai_ext.anomaly, "texture_defects", fewer)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::UserWarning")  # a blur is no good detector
def test_decisions_of_a_detector(few, tmp_path):
    text = anomaly("anomaly_decision", "tests.study.test_presets:make_score", tmp_path)
    assert "rates:" in text
    assert json.loads((tmp_path / "decision.json").read_text())["detection"]


def test_what_is_no_detector_is_refused(tmp_path):
    with pytest.raises(TypeError, match="must return an AnomalyScore, got int"):
        anomaly("anomaly_paper", "tests.study.test_presets:make_nothing", tmp_path)
    with pytest.raises(ValueError, match="--model must be module:make_score, got 'efficientnet_lite0'"):
        anomaly("anomaly_paper", "efficientnet_lite0", tmp_path)


@pytest.mark.slow
def test_the_published_maps_of_a_detector(few, tmp_path, monkeypatch):
    from functools import partial

    monkeypatch.setattr(presets, "_paper", partial(presets._paper, n_samples=20))
    text = anomaly("anomaly_paper", "tests.study.test_presets:make_score", tmp_path, n_images=1)
    assert "S1 code" in text
    assert "raw_map" in text
    assert (tmp_path / "maps.csv").read_text().startswith("map,")
