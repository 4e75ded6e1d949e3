"""Detectors of other libraries: signs, thresholds, and a planted feature on top."""

import warnings
from collections import namedtuple

import numpy as np
import pytest
import torch
from captum.attr import FeatureAblation, IntegratedGradients, ShapleyValueSampling
from sklearn.covariance import EllipticEnvelope
from sklearn.ensemble import IsolationForest
from sklearn.neighbors import LocalOutlierFactor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import OneClassSVM
from torch import nn

from tests.anomaly.worlds import Blurring, images, table
from tests.games import shapley
from xai_ext.anomaly import VAEGAN, DetectorScore, Max, NotDifferentiableError, ReconstructionScore, TopK, as_score

X = table(300)
SKLEARN = {
    "forest": IsolationForest(n_estimators=40, random_state=0),
    "forest with contamination": IsolationForest(n_estimators=40, contamination=0.1, random_state=0),
    "lof": LocalOutlierFactor(novelty=True),
    "svm": OneClassSVM(nu=0.1),
    "envelope": EllipticEnvelope(random_state=0),
    "pipeline": make_pipeline(StandardScaler(), IsolationForest(n_estimators=40, random_state=0)),
}


@pytest.fixture(params=SKLEARN, scope="module")
def fitted(request):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return SKLEARN[request.param].fit(X)


class TestSklearn:
    @pytest.mark.parametrize("output", ["score_samples", "decision_function"])
    def test_it_decides_as_predict_does(self, fitted, output):
        rows = 1.7 * table(1000, seed=1)
        score = DetectorScore.from_sklearn(fitted, output=output)
        flagged = score.decide(torch.from_numpy(rows)).numpy()
        np.testing.assert_array_equal(flagged, fitted.predict(rows) == -1)
        assert 0 < flagged.mean() < 1
        assert score.info.threshold_source == score.threshold

    def test_a_planted_feature_comes_first(self, fitted):
        score, mean = DetectorScore.from_sklearn(fitted), torch.zeros(1, 4, dtype=torch.float64)
        torch.manual_seed(0)
        for seed in range(5):
            x = torch.from_numpy(0.3 * table(1, seed=seed + 10))
            x[0, seed % 4] += 6
            for method in (FeatureAblation(score), ShapleyValueSampling(score)):
                assert int(method.attribute(x, baselines=mean).argmax()) == seed % 4

    def test_gradients_are_refused_with_the_methods_that_work(self, fitted):
        with pytest.raises(NotDifferentiableError, match="ShapleyValueSampling"):
            IntegratedGradients(DetectorScore.from_sklearn(fitted)).attribute(torch.zeros(1, 4))

    def test_calibration_replaces_the_threshold_and_keeps_the_sources(self, fitted):
        score = DetectorScore.from_sklearn(fitted)
        own = score.threshold
        score.calibrate(torch.from_numpy(table(99, seed=3)))
        assert score.info.threshold_source == own != score.threshold
        assert score.info.differentiable is False


def test_lof_that_scores_its_training_data_only_is_refused():
    with pytest.raises(ValueError, match="novelty=True"):
        DetectorScore.from_sklearn(LocalOutlierFactor().fit(X))


def test_features_turn_images_into_rows():
    forest = IsolationForest(n_estimators=10, random_state=0).fit(table(100, 2))
    score = DetectorScore.from_sklearn(forest, features=lambda x: torch.stack([x.mean((1, 2, 3)), x.std((1, 2, 3))], 1))
    assert score(images(3)).shape == (3,)
    assert score(images(3)).dtype == torch.float64


def test_an_estimator_without_scores_is_refused():
    with pytest.raises(TypeError, match="neither score_samples nor decision_function"):
        DetectorScore.from_sklearn(StandardScaler().fit(X))


PyODLike = type("IForest", (), {"__module__": "pyod.models.iforest", "threshold_": 0.4,
                                "decision_function": lambda self, rows: rows[:, 0] ** 2})  # fmt: skip


class TestPyOD:
    def test_a_stand_in_keeps_its_sign_and_threshold(self):
        score = as_score(PyODLike())
        assert score.info.kind == "pyod"
        assert score.decide(torch.tensor([[0.5, 0.0], [-0.7, 0.0]])).tolist() == [False, True]

    @pytest.mark.parametrize("name", ["iforest.IForest", "knn.KNN", "ecod.ECOD", "copod.COPOD"])
    def test_real_ones_decide_by_their_threshold_and_shapley_values_are_complete(self, name):
        pytest.importorskip("pyod", reason="PyOD, of the extra `anomaly`, is not installed")
        from importlib import import_module

        module, _, kind = name.partition(".")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            clf = getattr(import_module(f"pyod.models.{module}"), kind)().fit(X)
        score, x = DetectorScore.from_pyod(clf), torch.from_numpy(table(5, seed=4))
        expected = clf.decision_function(X) > clf.threshold_
        np.testing.assert_array_equal(score.decide(torch.from_numpy(X)).numpy(), expected)
        ranked = kind in ("ECOD", "COPOD")
        if ranked:
            with pytest.warns(UserWarning, match="row by row"):
                assert score.probe(x).batch_invariant is False
        else:
            assert score.probe(x).batch_invariant
        assert torch.equal(score(x), torch.cat([score(r[None]) for r in x]))
        assert self.gap(score, x[:1]) <= 1e-9
        planted = 0.3 * x[:1]
        planted[0, 2] += 6
        assert self.values(score, planted).argmax() == 2
        if ranked:  # without row by row the same sum is off
            score.row_by_row = False
            assert self.gap(score, x[:1]) > 1e-3

    def gap(self, score, x):
        return abs(float(self.values(score, x).sum() - score(x) + score(torch.zeros_like(x))))

    def values(self, score, x):
        """Of all coalitions in one batch."""
        return shapley(lambda z: score(torch.where(z > 0, x, 0.0)), 4)


Batch = namedtuple("Batch", "pred_score anomaly_map")


class Inner(nn.Module):
    """As anomalib's torch models: embeddings in training, a batch of predictions in evaluation."""

    def __init__(self, column):
        super().__init__()
        self.column, self.drop = column, nn.Dropout(0.5)

    def forward(self, x):
        if self.training:
            return x.flatten(1)
        with torch.no_grad():
            scores = self.drop(x).amax((1, 2, 3))
        return Batch(scores[:, None] if self.column else scores, x.abs().mean(1, keepdim=True))


class Lightning(nn.Module):
    """As anomalib's modules: processors around the inner model."""

    def __init__(self, column):
        super().__init__()
        self.model, self.pre_processor = Inner(column), nn.Identity()
        self.post_processor = nn.Sigmoid()

    def forward(self, x):
        return self.post_processor(self.model(x).pred_score).clamp(0, 1)


Lightning.__module__ = "anomalib.models.image.stand_in"


@pytest.mark.parametrize("column", [True, False])
class TestAnomalib:
    x = torch.tensor([1.7, 5.0, 9.0]).reshape(3, 1, 1, 1) * torch.ones(3, 1, 4, 4)

    def test_scores_are_those_of_the_inner_model_and_modes_come_back(self, column):
        model = Lightning(column).train()
        model.pre_processor.eval()
        modes = [m.training for m in model.modules()]
        score = as_score(model)
        torch.testing.assert_close(score(self.x), torch.tensor([1.7, 5.0, 9.0]))  # clamped they would be 1, 1, 1
        assert [m.training for m in model.modules()] == modes
        assert score.map(self.x).shape == (3, 1, 4, 4)

    def test_a_reducer_of_its_map_is_a_score_with_a_closed_form(self, column):
        score = DetectorScore.from_anomalib(Lightning(column).eval(), output=TopK(2))
        (explanation,) = score.closed_form(self.x[:1])
        assert explanation.values.sum() == pytest.approx(1.7)
        assert torch.equal(score.surrogate(Max())(self.x), self.x.amax((1, 2, 3)))
        assert score.reduce == TopK(2)

    def test_a_score_without_a_graph_says_so_even_unprobed(self, column):
        with pytest.raises(NotDifferentiableError):
            IntegratedGradients(DetectorScore.from_anomalib(Lightning(column).eval())).attribute(self.x)

    def test_padim_and_patchcore_of_anomalib(self, column):
        pytest.importorskip("anomalib", reason="anomalib is not installed; it needs an environment of its own")
        from anomalib.models.image.padim.torch_model import PadimModel
        from anomalib.models.image.patchcore.torch_model import PatchcoreModel

        torch.manual_seed(0)
        options = {"backbone": "resnet18", "layers": ["layer1"], "pre_trained": False}
        x = torch.rand(8, 3, 64, 64)
        for model in (PadimModel(**options, n_features=20), PatchcoreModel(**options)):
            model.train()(x)
            model.fit() if isinstance(model, PadimModel) else model.subsample_embedding(0.1)
            score = DetectorScore.from_anomalib(model)
            scores, modes = score(x), [m.training for m in model.modules()]
            assert modes[0]
            assert torch.equal(scores, model.eval()(x).pred_score.reshape(8))
            assert score.probe(x).differentiable is False


class TestCallable:
    def test_sign_layout_and_arrays(self):
        x = images(3, channels=3)
        plain = DetectorScore.from_callable(lambda a: a[..., 0].sum((1, 2)), numpy=True, layout="channels_last")
        torch.testing.assert_close(plain(x), x[:, 0].sum((1, 2)))
        turned = DetectorScore.from_callable(lambda a: a.sum((1, 2, 3)), higher_is_anomalous=False)
        torch.testing.assert_close(turned(x), -x.sum((1, 2, 3)))
        assert (plain.info.differentiable, turned.info.sign) == (False, -1)

    def test_a_map_is_passed_on_and_checked(self):
        score = DetectorScore.from_callable(lambda x: x.amax((1, 2, 3)), map_fn=lambda x: x.abs())
        assert torch.equal(score.map(images(2)), images(2))
        with pytest.raises(ValueError, match=r"map must be \(2, 1, h, w\)"):
            score.map(images(2, channels=3))


class TestAsScore:
    def test_each_kind_finds_its_constructor(self):
        own = ReconstructionScore(Blurring())
        assert as_score(own) is own
        assert as_score(SKLEARN["svm"].fit(X)).info.kind == "scikit-learn"
        assert isinstance(as_score(VAEGAN(), reduce="mean"), ReconstructionScore)
        assert isinstance(as_score(Blurring(), residual="l2"), ReconstructionScore)
        assert as_score(torch.sum, higher_is_anomalous=True).info.kind == "callable"

    @pytest.mark.parametrize("obj", [Blurring(), len, 3])
    def test_when_unsure_it_lists_the_choices(self, obj):
        with pytest.raises(TypeError, match="from_callable"):
            as_score(obj)
