"""IASSA as a shap.Explainer."""

from typing import ClassVar

import numpy as np
import pytest
import shap
import torch
from torch import nn

from tests.explainers.conformance import IMAGES, NETWORK, Behaviour, ShapContract, model
from xai_ext import MaskedModel
from xai_ext.explainers import IASSA
from xai_ext.maskers import BPT
from xai_ext.methods.iassa import Attention, Level, Schedule, iassa
from xai_ext.models import as_numpy_function

# 12 x 15 pixels take 48 windows of 2 x 2: the contract's budgets are smaller
pytestmark = pytest.mark.filterwarnings("ignore:the budget is too small for windows")


class TestShapContract(ShapContract):
    explainer = IASSA
    least_budget = 3

    def test_the_estimand_is_named(self):
        assert "not Shapley values" in self.make()(IMAGES, max_evals=40, silent=True).details[0].estimand


class TestWithAttention(Behaviour):
    explainer = IASSA
    least_budget = 3
    settings: ClassVar = {"attention": Attention("image", weight=0.3, cells=5)}


def test_every_knob_of_the_call_arrives():
    explainer = IASSA(model, BPT(IMAGES[0], 0.2), attention=Attention("image", 0.2, cells=5))
    window = {"sliding_window_shapes": (3, 4, 5), "strides": (3, 2, 2)}
    more = {"levels": 2, "shrink": 0.5, "region": 0.4}
    result = explainer(IMAGES[:1], max_evals=200, outputs=[1], silent=True, **window, **more)
    x = torch.from_numpy(IMAGES[:1]).movedim(-1, 1)
    masked = MaskedModel(lambda i: NETWORK(i)[:, 1], x, 0.2, batch_size=8)
    schedule = Schedule((Level((4, 5), (2, 2)), Level((2, 2))), region=0.4)
    expected = iassa(masked, schedule, budget=200, attention=explainer.attention)
    np.testing.assert_allclose(result.values[0, ..., 0, 0], expected.region_map(), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(result.error_std[0, ..., 0, 0], expected.std_error.reshape(12, 15), atol=1e-12)
    early = explainer(IMAGES[:1], max_evals=200, outputs=[1], silent=True, tol=99.0, **window)
    assert early.details[0].diagnostics["stop"] == "tol"


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(3, 4, 3, stride=2, padding=1)

    def forward(self, x):
        return self.conv(x).tanh().mean((2, 3))


def test_the_preset_runs_the_published_levels_within_their_cost():
    image = np.random.default_rng(0).random((1, 30, 30, 3), dtype=np.float32)
    explainer = IASSA(as_numpy_function(Net().eval()), BPT(image[0]), preset="paper")
    (e,) = explainer(image, outputs=[1], silent=True).details
    levels = e.diagnostics["levels"]
    assert [v["window"] for v in levels] == [v.window for v in Schedule.paper((30, 30)).levels]
    assert 1000 < e.n_evals <= Schedule.paper((30, 30)).cost_bound((30, 30)) + 3
    assert e.diagnostics["n_effective"] is not None


class TestErrors:
    def test_features_of_a_plain_function(self):
        with pytest.raises(ValueError, match="needs a torch module"):
            IASSA(model, BPT(IMAGES[0]), attention="features")(IMAGES, silent=True)

    def test_a_preset_with_levels(self):
        with pytest.raises(ValueError, match="preset fixes windows, levels and region, got levels too"):
            IASSA(as_numpy_function(Net()), BPT(IMAGES[0]), preset="paper")(IMAGES, levels=2, silent=True)

    @pytest.mark.parametrize("kwargs", [{"preset": "papers"}, {"attention": "feature"}])
    def test_unknown_names(self, kwargs):
        with pytest.raises(ValueError, match="did you mean"):
            IASSA(model, BPT(IMAGES[0]), **kwargs)

    def test_other_maskers(self):
        with pytest.raises(TypeError, match="IASSA masks pixels"):
            IASSA(model, shap.maskers.Image(np.zeros((12, 15, 3)), (12, 15, 3)))


def test_the_docstring_says_what_the_values_are_not():
    assert "not Shapley values" in IASSA.__doc__
