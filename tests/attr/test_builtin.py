"""Captum's own methods give what Captum gives when called by hand."""

import contextlib

import captum.attr as ca
import numpy as np
import pytest
import torch

from tests.laws import GeneratorsUntouched
from tests.tiny_models import conv
from xai_ext._batching import measured_plan
from xai_ext._task import CountedModel, Skipped, Task, Unsupported
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
MASK = torch.from_numpy(LABELS)[None, None]


def of_regions(attributions):
    """Each pixel has its region's whole value on each channel; as densities of 64 pixels."""
    return attributions[:, :1] / 64


def task_for(budget=61, module=MODULE, layer="2", seed=0, target=1, hosts="prepared"):
    with torch.no_grad():
        f_input, f_baseline = (float(module(image)[0, target]) for image in (X, BASELINE))
    counted = CountedModel(module)
    return Task(counted, X.clone(), BASELINE, target, LABELS, budget, 8, layer, seed, hosts, f_input, f_baseline)


def result(name, **options):
    task = task_for(**options)
    with GeneratorsUntouched():
        return METHODS[name].run(task), task


def run(name, budget=61, **options):
    found, task = result(name, budget=budget, **options)
    return found.values, task.model.cost


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
        (
            "captum.FeatureAblation",
            lambda: of_regions(ca.FeatureAblation(MODULE).attribute(X, BASELINE, 1, None, MASK)),
        ),
        ("captum.InputXGradient", lambda: ca.InputXGradient(MODULE).attribute(X.clone().requires_grad_(), 1)),
        ("captum.GuidedBackprop", lambda: ca.GuidedBackprop(MODULE).attribute(X.clone().requires_grad_(), 1)),
        ("captum.DeepLift", lambda: ca.DeepLift(MODULE).attribute(X.clone().requires_grad_(), BASELINE, 1)),
    ],
)
@pytest.mark.filterwarnings("ignore:.*hooks")
def test_deterministic_methods_equal_captums(name, by_hand):
    np.testing.assert_allclose(run(name)[0], summed(by_hand()), atol=1e-5)


@pytest.mark.parametrize("name", ["captum.Lime", "captum.KernelShap", "captum.ShapleyValueSampling"])
def test_sampled_methods_carry_densities_and_follow_the_seed(name):
    first, cost = run(name)
    assert cost == (49 if "Shapley" in name else 61)
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
        with contextlib.suppress(Unsupported):
            fixed = METHODS[name].fixed_cost
            cost = run(name, budget)[1]
            assert cost <= budget if fixed is None else cost == fixed


def test_occlusion_uses_as_much_of_its_budget_as_a_stride_allows():
    assert run("captum.Occlusion", 500)[1] > 160


def with_activation(activation):
    return torch.nn.Sequential(
        torch.nn.Conv2d(3, 2, 3), activation, torch.nn.Flatten(), torch.nn.Linear(1800, 2)
    ).eval()


@pytest.mark.parametrize("name", ["captum.GuidedBackprop", "captum.GuidedGradCam"])
@pytest.mark.parametrize(("activation", "hosts"), [(torch.nn.SiLU(), "prepared"), (torch.nn.ReLU6(), "as-is")])
def test_guided_methods_refuse_a_model_without_relu(name, activation, hosts):
    with pytest.raises(Unsupported, match=r"no nn\.ReLU"):
        result(name, module=with_activation(activation), layer="0", hosts=hosts)


def test_guided_backpropagation_knows_relu6_where_the_network_is_prepared():
    module = with_activation(torch.nn.ReLU6())
    gradient = ca.Saliency(module).attribute(X.clone().requires_grad_(), 1, abs=False)
    found = result("captum.GuidedBackprop", module=module)[0].values
    assert np.abs(found - summed(gradient)).max() > 0.1 * np.abs(found).max()


def test_deep_lift_is_degenerate_where_its_sum_misses_the_gain():
    module = with_activation(torch.nn.ReLU6())
    module[0].weight.data.mul_(30)  # to both ends of ReLU6
    as_is, repaired = (result("captum.DeepLift", module=module, hosts=h) for h in ("as-is", "prepared"))
    assert as_is[0].status == "degenerate"
    assert "miss f(x) - f(baseline)" in next(iter(as_is[0].notes))
    assert repaired[0].status == "ok"
    gain = repaired[1].f_input - repaired[1].f_baseline
    assert repaired[0].values.sum() == pytest.approx(gain, rel=1e-4)
    assert repaired[1].model.cost == as_is[1].model.cost == 6


def test_a_reused_activation_is_captums_error_as_is_and_works_prepared():
    relu = torch.nn.ReLU()
    module = torch.nn.Sequential(
        torch.nn.Conv2d(3, 2, 3), relu, torch.nn.Conv2d(2, 2, 3), relu, torch.nn.Flatten(), torch.nn.Linear(1568, 2)
    ).eval()
    with pytest.raises(Unsupported, match="used more than once"):
        result("captum.DeepLift", module=module, hosts="as-is")
    assert result("captum.DeepLift", module=module)[0].status == "ok"


class WithoutFlatten(torch.nn.Module):
    """Captum's LRP has no rule for the module Flatten."""

    def __init__(self, bias=0.0):
        super().__init__()
        self.conv, self.relu, self.head = torch.nn.Conv2d(3, 2, 3), torch.nn.ReLU(), torch.nn.Linear(1800, 2)
        self.conv.bias.data.fill_(bias)
        self.head.bias.data.fill_(bias / 10)

    def forward(self, x):
        return self.head(self.relu(self.conv(x)).flatten(1))


def test_lrp_refuses_modules_without_a_rule_and_leaves_nothing_behind():
    module, supported = with_activation(torch.nn.SiLU()), WithoutFlatten().eval()
    states = [{name: value.clone() for name, value in m.state_dict().items()} for m in (module, supported)]
    with pytest.raises(Unsupported, match="no rule"):
        result("captum.LRP", module=module)
    found, task = result("captum.LRP", module=supported)
    assert found.values.sum() == pytest.approx(task.f_input, rel=1e-3)  # without biases relevance is conserved
    assert task.model.cost == METHODS["captum.LRP"].fixed_cost
    for m, state in zip((module, supported), states, strict=True):
        assert not any(hasattr(part, "rule") for part in m.modules())
        assert all(torch.equal(value, state[name]) for name, value in m.state_dict().items())


def test_lrp_is_degenerate_where_its_sum_misses_the_score():
    found = result("captum.LRP", module=WithoutFlatten(50.0).eval())[0]  # biases swallow relevance
    assert found.status == "degenerate"
    assert "miss f(x)" in next(iter(found.notes))


@pytest.mark.parametrize("name", ["captum.Saliency", "captum.IntegratedGradients", "captum.DeepLift"])
def test_a_model_without_gradients_is_unsupported(name):
    class Opaque(torch.nn.Module):
        def forward(self, x):
            return x.detach().mean((2, 3))

    with pytest.raises(Unsupported, match="no gradient reaches the input"):
        result(name, module=Opaque().eval())


def test_shapley_values_by_sampling_sum_to_the_gain_and_need_a_permutation():
    found, task = result("captum.ShapleyValueSampling", budget=50)
    assert task.model.cost == 1 + 16 * 3
    assert found.values.sum() == pytest.approx(task.f_input - task.f_baseline, rel=1e-4)
    for name in ("captum.ShapleyValueSampling", "captum.FeatureAblation"):
        with pytest.raises(Skipped, match="16 regions need a budget of at least 17, got 16"):
            result(name, budget=16)


def test_layer_methods_refuse_a_model_without_a_layer():
    with pytest.raises(Unsupported, match="no layer"):
        run("captum.LayerGradCam", layer=None)


def test_occlusion_refuses_a_budget_below_its_coarsest_grid():
    with pytest.raises(Skipped, match="needs a budget of at least 37"):
        run("captum.Occlusion", budget=36)


def test_integrated_gradients_refuse_a_budget_without_a_step():
    with pytest.raises(Skipped, match="at least 5"):
        run("captum.IntegratedGradients", budget=4)
