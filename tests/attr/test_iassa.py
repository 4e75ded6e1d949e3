"""IASSA as a Captum class."""

import warnings

import numpy as np
import pytest
import torch
from captum.attr import FeatureAblation, Occlusion
from torch import nn

from tests.attr.conformance import CaptumConformance, Spy
from tests.laws import GeneratorsUntouched
from xai_ext import MaskedModel
from xai_ext.attr import IASSA
from xai_ext.methods.iassa import Attention, Level, Schedule, iassa


class TestConformance(CaptumConformance):
    draws = False
    make = IASSA
    name = "IASSA"

    def attribute(self, model, *args, **kwargs):
        kwargs.setdefault("n_samples", 40)  # each of 30 scalars is hidden once
        return super().attribute(model, *args, **kwargs)

    @pytest.mark.parametrize(("n", "rows", "budget"), [(1, 1, 7), (1, 4, 30), (3, 2, 11)])
    def test_neither_budget_nor_rows_per_call_are_exceeded(self, n, rows, budget):
        spy = Spy(nn.Sequential(nn.Flatten(), nn.Linear(36, 2)).eval())
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # windows grow at these budgets
            self.attribute(spy, torch.rand(n, 1, 6, 6), target=0, n_samples=budget, perturbations_per_eval=rows)
        assert max(spy.calls) <= rows * n
        assert sum(spy.calls) <= budget * n

    def test_a_budget_too_small_for_the_scalars_names_the_one_needed(self):
        with pytest.raises(ValueError, match="must be at least 14, got 13"):
            self.attribute(lambda x: x.sum(1), torch.rand(1, 12), n_samples=13)

    def test_no_generator_moves_without_a_seed(self):
        with GeneratorsUntouched():
            self.attribute(lambda x: x.sum(1), torch.rand(1, 5, generator=torch.Generator()))


def score(x):
    return x[:, 0, 4:7, 2:5].sum((1, 2)) * x[:, 1].mean((1, 2)) + x.mean((1, 2, 3))


X = torch.rand(2, 2, 12, 9, generator=torch.Generator().manual_seed(0))


class TestOcclusion:
    def test_replacing_occlusion_keeps_the_call_and_with_one_level_the_result(self):
        kwargs = {"sliding_window_shapes": (2, 4, 3), "strides": (2, 2, 1), "baselines": 0.5}
        got = IASSA(score).attribute(X, levels=1, **kwargs)
        torch.testing.assert_close(got, Occlusion(score).attribute(X, **kwargs), rtol=0, atol=1e-5)

    def test_of_a_tuple(self):
        def forward(a, b):
            return score(a) + b.square().sum((1, 2))

        b = torch.rand(2, 1, 10)
        kwargs = {"sliding_window_shapes": ((2, 4, 3), (1, 3)), "strides": ((2, 2, 1), 2)}
        got = IASSA(forward).attribute((X, b), levels=1, **kwargs)
        for g, e in zip(got, Occlusion(forward).attribute((X, b), **kwargs), strict=True):
            torch.testing.assert_close(g, e, rtol=0, atol=1e-5)

    def test_a_feature_mask_makes_it_feature_ablation(self):
        mask = torch.arange(108).reshape(12, 9) // 20
        got = IASSA(score).attribute(X, feature_mask=mask)
        torch.testing.assert_close(got, FeatureAblation(score).attribute(X, feature_mask=mask[None, None]))

    def test_later_levels_shrink_from_the_first_window(self):
        e = IASSA(score).explain(X[:1], sliding_window_shapes=(2, 6, 4), levels=3, shrink=0.5, n_samples=300)[0]
        assert [v["window"] for v in e.diagnostics["levels"]] == [(6, 4), (3, 2), (2, 1)]


def test_every_argument_of_the_method_arrives():
    level = Schedule.geometric((12, 9), shrink=0.6, levels=2).levels
    method = IASSA(score, attention=Attention("image", weight=0.2, cells=5))
    got = method.attribute(X[:1], n_samples=90, levels=2, shrink=0.6, region=0.4)
    model = MaskedModel(score, X[:1], batch_size=1)
    expected = iassa(model, Schedule(level, region=0.4), budget=90, attention=Attention("image", 0.2, cells=5))
    np.testing.assert_allclose(got[0, 0], expected.region_map(), rtol=1e-5, atol=1e-6)
    assert (
        method.explain(X[:1], tol=100.0, sliding_window_shapes=(2, 4, 3), strides=(2, 2, 1))[0].diagnostics["stop"]
        == "tol"
    )
    gray = IASSA(lambda x: x[:, 2:4].sum((1, 2))).attribute(X[:, 0], n_samples=90, spatial_dims=2)
    assert gray.shape == (2, 12, 9)
    assert method.attribute(X, n_samples=60, return_input_shape=False).shape == (2, 1, 12, 9)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3, stride=2, padding=1)

    def forward(self, x):
        return self.conv(x).tanh().mean((2, 3))


def test_the_preset_runs_the_published_levels_within_their_cost():
    torch.manual_seed(0)
    x = torch.rand(1, 1, 30, 30)
    with torch.no_grad():
        e = IASSA(Net(), preset="paper").explain(x, target=1, perturbations_per_eval=64)[0]
    assert e.diagnostics["levels"][0]["window"] == (6, 6)
    assert len(e.diagnostics["levels"]) == 6
    assert e.n_evals <= Schedule.paper((30, 30)).cost_bound((30, 30)) + 3


class TestErrors:
    @pytest.mark.parametrize(
        ("kwargs", "match"),
        [
            ({"sliding_window_shapes": (1, 4, 3)}, "hides all channels"),
            ({"sliding_window_shapes": (4, 3)}, "one number for each"),
            ({"sliding_window_shapes": ((2, 4, 3), (1, 2))}, "one entry per input"),
            ({"levels": 0}, "levels must be at least 1"),
            ({"shrink": 1.5}, "shrink must lie strictly between"),
            ({"n_samples": 2}, "n_samples must be at least 3"),
        ],
    )
    def test_impossible_arguments(self, kwargs, match):
        with pytest.raises(ValueError, match=match):
            IASSA(score).attribute(X, **kwargs)

    def test_a_preset_with_levels(self):
        with pytest.raises(ValueError, match="preset fixes windows, levels and region, got levels too"):
            IASSA(score, preset="paper").attribute(X, levels=2)

    def test_several_scores(self):
        with pytest.raises(ValueError, match="IASSA explains one"):
            IASSA(nn.Sequential(nn.Flatten(), nn.Linear(216, 3))).attribute(X)


def test_the_docstring_says_what_the_values_are_not():
    assert "not Shapley values" in IASSA.__doc__
    assert Level((1,)).stride is None
