"""Detectors of tables through Captum and SHAP: a planted feature comes first, in the unit and sign of the score."""

import warnings
from importlib import import_module

import numpy as np
import pytest
import shap
import torch
from captum.attr import FeatureAblation, IntegratedGradients, ShapleyValueSampling
from sklearn.covariance import EllipticEnvelope
from sklearn.ensemble import IsolationForest
from sklearn.neighbors import LocalOutlierFactor
from sklearn.svm import OneClassSVM

from tests.laws import GeneratorsUntouched
from xai_ext.anomaly import NotDifferentiableError, as_score
from xai_ext.models import as_numpy_function

rng = np.random.default_rng(0)
NORMALS = rng.normal(size=(256, 2)) @ rng.normal(size=(2, 4)) + 0.1 * rng.normal(size=(256, 4))  # near a plane
BACKGROUND = NORMALS[:8]
SKLEARN = {
    "forest": lambda: IsolationForest(n_estimators=40, random_state=0),
    "lof": lambda: LocalOutlierFactor(novelty=True),
    "svm": lambda: OneClassSVM(nu=0.1, gamma=0.01),
    "envelope": lambda: EllipticEnvelope(random_state=0),
}
PYOD = ("iforest.IForest", "knn.KNN", "ecod.ECOD", "copod.COPOD", "auto_encoder.AutoEncoder")
DEPENDENT = ("ecod.ECOD", "copod.COPOD")  # they rank a row among the rows beside it


def of_pyod(name, **options):
    pytest.importorskip("pyod", reason="PyOD, of the extra `anomaly`, is not installed")
    module, _, kind = name.partition(".")
    if kind == "AutoEncoder":
        options = {"hidden_neuron_list": [8, 2], "lr": 1e-2, "epoch_num": 10, "dropout_rate": 0.0, "verbose": 0}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return getattr(import_module(f"pyod.models.{module}"), kind)(**options)


@pytest.fixture(params=[*SKLEARN, *PYOD], scope="module")
def detector(request):
    """Name, and the fitted detector."""
    made = SKLEARN[request.param]() if request.param in SKLEARN else of_pyod(request.param)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return request.param, made.fit(NORMALS)


def probed(name, fitted):
    """The score, which knows from then on whether rows depend on each other."""
    score, rows = as_score(fitted), torch.from_numpy(NORMALS[:3])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        info = score.probe(rows)
    assert info.batch_invariant == (name not in DEPENDENT)
    assert ["row by row" in str(w.message) for w in caught] == [True] * (name in DEPENDENT)
    return score


def planted(feature):
    row = NORMALS[20 + feature : 21 + feature].copy()
    row[0, feature] += 6 * NORMALS[:, feature].std()
    return row


@pytest.mark.parametrize("feature", [0, 3])
def test_a_planted_feature_comes_first_in_captum_and_shap(detector, feature):
    score, row = probed(*detector), planted(feature)
    x, mean = torch.from_numpy(row), torch.from_numpy(NORMALS.mean(0, keepdims=True))
    torch.manual_seed(0)
    for method in (FeatureAblation(score), ShapleyValueSampling(score)):
        attribution = method.attribute(x, baselines=mean)[0]
        assert int(attribution.argmax()) == feature
        assert float(attribution[feature]) > 0
    f = as_numpy_function(score)
    found = shap.Explainer(f, shap.maskers.Independent(BACKGROUND, max_samples=8))(row)
    assert int(found.values[0].argmax()) == feature
    assert found.values[0, feature] > 0
    # in the unit of the score: from the mean score of the background to the score of the row, in float32
    scale = 1e-5 * max(1.0, float(np.abs(f(np.concatenate([BACKGROUND, row]))).max()))
    assert found.base_values[0] == pytest.approx(f(BACKGROUND).mean(), abs=scale)
    assert found.values.sum() + found.base_values[0] == pytest.approx(f(row)[0], abs=scale)


def test_scoring_leaves_every_generator_alone(detector):
    score = as_score(detector[1])
    with GeneratorsUntouched():
        score(torch.from_numpy(NORMALS[:3]))


@pytest.fixture(scope="module")
def fitted():
    return of_pyod("auto_encoder.AutoEncoder").fit(NORMALS)


class TestPyODsAutoEncoder:
    def test_it_decides_by_the_threshold_of_its_training_data(self, fitted):
        score = as_score(fitted)
        assert score.info.kind == "pyod"
        assert score.threshold == fitted.threshold_ == score.info.threshold_source
        flagged = score.decide(torch.from_numpy(NORMALS)).numpy()
        # the same rows in batches of other sizes: equal to float32 rounding, so not at the threshold itself
        clear = np.abs(fitted.decision_scores_ - fitted.threshold_) > 1e-5
        np.testing.assert_array_equal(flagged[clear], fitted.labels_[clear] == 1)
        assert flagged.mean() == pytest.approx(0.1, abs=0.01)

    def test_a_row_scores_alone_as_it_does_in_a_batch(self, fitted):
        score, x = as_score(fitted), torch.from_numpy(NORMALS[:40])
        torch.testing.assert_close(score(x), torch.cat([score(r[None]) for r in x]), atol=1e-5, rtol=1e-5)

    def test_its_numpy_scores_have_no_gradient_and_it_says_so(self, fitted):
        with pytest.raises(NotDifferentiableError, match="ShapleyValueSampling"):
            IntegratedGradients(as_score(fitted)).attribute(torch.from_numpy(NORMALS[:1]))
