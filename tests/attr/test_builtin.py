"""Captum's own methods give what Captum gives when called by hand."""

import contextlib

import captum.attr as ca
import numpy as np
import pytest
import torch

from tests.laws import GeneratorsUntouched
from tests.tiny_models import conv
from xai_ext._batching import measured_plan
from xai_ext._task import CountedModel, Task, Unsupported
from xai_ext.attr import IASSA, RISE
from xai_ext.attr._builtin import methods
from xai_ext.segmentation import grid

MODULE = conv().module
MODULE[-1].weight.data.mul_(100)  # logits of a range at which Captum's Lasso(0.01) does not give zeros
X = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
BASELINE = torch.full_like(X, 0.3)
LABELS = grid(X, rows=4)
measured_plan(MODULE, (X,))  # timed once, outside what is counted
METHODS = {m.name: m for m in methods()}


def run(name, budget=61, module=MODULE, layer="2", seed=0, target=1):
    counted = CountedModel(module)
    task = Task(counted, X.clone(), BASELINE, target, LABELS, budget, 8, layer, seed)
    with GeneratorsUntouched():
        return METHODS[name].run(task).values, counted.cost


def summed(attributions):
    return attributions[0].detach().double().sum(0).numpy()


@pytest.mark.parametrize(
    ("name", "by_hand"),
    [
        ("captum.Saliency", lambda: ca.Saliency(MODULE).attribute(X.clone().requires_grad_(), 1)),
        (
            "captum.IntegratedGradients",
            lambda: ca.IntegratedGradients(MODULE).attribute(X, BASELINE, 1, n_steps=19, internal_batch_size=8),
        ),
        (
            "captum.Occlusion",
            lambda: ca.Occlusion(MODULE).attribute(X, (3, 6, 6), strides=(3, 5, 5), baselines=BASELINE, target=1),
        ),
        (
            "captum.LayerGradCam",
            lambda: ca.LayerAttribution.interpolate(
                ca.LayerGradCam(MODULE, MODULE[2]).attribute(X, 1, relu_attributions=True), (32, 32), "bilinear"
            ),
        ),
        (
            "captum.GuidedGradCam",
            lambda: ca.GuidedGradCam(MODULE, MODULE[2]).attribute(
                X.clone().requires_grad_(), 1, interpolate_mode="bilinear"
            ),
        ),
    ],
)
@pytest.mark.filterwarnings("ignore:Setting backward hooks")
def test_deterministic_methods_equal_captums(name, by_hand):
    np.testing.assert_allclose(run(name)[0], summed(by_hand()), atol=1e-5)


@pytest.mark.parametrize("name", ["captum.Lime", "captum.KernelShap"])
def test_sampled_methods_carry_densities_and_follow_the_seed(name):
    first, cost = run(name)
    assert cost == 61
    np.testing.assert_array_equal(run(name)[0], first)
    assert (run(name, seed=1)[0] != first).any()
    for k in range(16):  # each pixel has its region's value divided by the region's 64 pixels
        assert np.ptp(first[LABELS == k]) == 0


def test_rise_is_the_class_called_by_hand_and_follows_the_seed():
    by_hand = RISE(MODULE).attribute(X, BASELINE, 1, n_samples=61, perturbations_per_eval=8, seed=3)
    np.testing.assert_allclose(run("rise", seed=3)[0], by_hand[0, 0], atol=1e-5)
    assert (run("rise", seed=4)[0] != run("rise", seed=3)[0]).any()


def test_iassa_is_the_class_called_by_hand_and_its_warnings_are_notes():
    by_hand = IASSA(MODULE).attribute(X, BASELINE, 1, n_samples=200, perturbations_per_eval=8)
    np.testing.assert_allclose(run("iassa", budget=200)[0], by_hand[0, 0], atol=1e-5)
    small = METHODS["iassa"].run(Task(CountedModel(MODULE), X.clone(), BASELINE, 1, LABELS, 20, 8, None, 0))
    assert "budget is too small" in small.notes["warning 1"]


@pytest.mark.parametrize("budget", [5, 20, 61, 200, 500])
def test_no_method_exceeds_its_budget(budget):
    for name in METHODS:
        if METHODS[name].fixed_cost is None:
            with contextlib.suppress(Unsupported):
                assert run(name, budget)[1] <= budget


def test_occlusion_uses_as_much_of_its_budget_as_a_stride_allows():
    assert run("captum.Occlusion", 500)[1] > 160


def test_guided_methods_refuse_a_model_without_relu():
    layers = torch.nn.Conv2d(3, 2, 3), torch.nn.ReLU6(), torch.nn.Flatten(), torch.nn.Linear(1800, 2)
    module = torch.nn.Sequential(*layers)
    with pytest.raises(Unsupported, match=r"no nn\.ReLU"):
        run("captum.GuidedGradCam", module=module, layer="0")


def test_layer_methods_refuse_a_model_without_a_layer():
    with pytest.raises(Unsupported, match="no layer"):
        run("captum.LayerGradCam", layer=None)


def test_occlusion_refuses_a_budget_below_its_coarsest_grid():
    with pytest.raises(Unsupported, match="needs a budget of at least 37"):
        run("captum.Occlusion", budget=36)


def test_integrated_gradients_refuse_a_budget_without_a_step():
    with pytest.raises(Unsupported, match="at least 5"):
        run("captum.IntegratedGradients", budget=4)
