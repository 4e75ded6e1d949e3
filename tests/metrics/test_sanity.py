"""Randomised parameters: maps of linear models are their weights."""

import numpy as np
import pytest
import torch
from torch import nn

from tests.laws import GeneratorsUntouched
from xai_ext.metrics import agreement, parameter_randomization

X = torch.ones(2, 12)


class Scale(nn.Module):
    """Parameters, but no way to draw them again."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(12, generator=torch.Generator().manual_seed(1)))

    def forward(self, x):
        return x * self.weight


def network():
    torch.manual_seed(0)
    return nn.Sequential(Scale(), nn.Linear(12, 6), nn.Linear(6, 1))


def gradient(model, inputs, target, rng):
    x = inputs.clone().requires_grad_()
    return torch.autograd.grad(model(x).sum(), x)[0]


@pytest.fixture
def model():
    with torch.random.fork_rng():
        return network()


def test_each_stage_is_compared_with_the_trained_model(model):
    weights = []

    def explain(stage, inputs, target, rng):
        weights.append({name: p.detach().clone() for name, p in stage.named_parameters()})
        return gradient(stage, inputs, target, rng)

    found = parameter_randomization(model, explain, X)
    assert found.layers == ("2", "1", "0")
    assert found.fallback == ("0",)

    def map_of(w):
        return (w["0.weight"] * (w["2.weight"] @ w["1.weight"])).expand(2, 12)

    original, again, *stages = weights
    assert all(torch.equal(original[n], again[n]) for n in original)
    for stage, drawn in enumerate(stages):
        expected = agreement(map_of(original), map_of(drawn), ranking="abs")
        torch.testing.assert_close(found.similarity[stage], expected, rtol=0, atol=1e-12)
    torch.testing.assert_close(found.mean, found.similarity.mean(0))  # the trained model is no stage
    np.testing.assert_allclose(found.seed_floor, 1, atol=1e-12)


@pytest.mark.parametrize(("order", "changed"), [("cascade", [1, 2, 3]), ("independent", [1, 1, 1])])
def test_layers_stay_random_in_a_cascade_only(model, order, changed):
    seen = []

    def explain(stage, inputs, target, rng):
        pairs = zip(model.children(), stage.children(), strict=True)
        seen.append(sum(not torch.equal(a.weight, b.weight) for a, b in pairs))
        return gradient(stage, inputs, target, rng)

    parameter_randomization(model, explain, X, order=order)
    assert seen == [0, 0, *changed]


def test_the_model_and_all_generators_are_left_alone(model):
    before = {name: p.clone() for name, p in model.named_parameters()}
    with GeneratorsUntouched():
        first, second = (parameter_randomization(model, gradient, X) for _ in range(2))
    assert torch.equal(first.similarity, second.similarity)
    assert all(torch.equal(p, before[name]) for name, p in model.named_parameters())
    other = parameter_randomization(model, gradient, X, rng=np.random.default_rng(5))
    assert not torch.equal(first.similarity, other.similarity)


def test_random_numbers_of_the_method_are_the_same_at_every_stage(model):
    drawn = []

    def explain(stage, inputs, target, rng):
        drawn.append(rng.random())
        return gradient(stage, inputs, target, rng) + 0.5 * torch.from_numpy(rng.normal(size=(2, 12)))

    found = parameter_randomization(model, explain, X, layers=["1"])
    assert drawn[0] == drawn[2] != drawn[1]
    assert (found.seed_floor < 1).all()


def test_the_fallback_keeps_mean_and_deviation():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        wide = nn.Sequential(Scale())
        wide[0].weight = nn.Parameter(3 + 2 * torch.randn(20_000))
    drawn = []

    def explain(stage, inputs, target, rng):
        drawn.append(stage[0].weight.detach().clone())
        return stage[0].weight.detach()[None]

    parameter_randomization(wide, explain, X)
    assert drawn[-1].mean().item() == pytest.approx(3, abs=0.1)
    assert drawn[-1].std().item() == pytest.approx(2, abs=0.1)
    assert not torch.equal(drawn[-1], drawn[0])


def test_what_cannot_be_randomised_is_refused(model):
    with pytest.raises(ValueError, match="layer must be one of '0', '1', '2'"):
        parameter_randomization(model, gradient, X, layers=["3"])
    with pytest.raises(ValueError, match="no parameters"):
        parameter_randomization(nn.ReLU(), gradient, X)
    with pytest.raises(ValueError, match="must return maps, not a dict"):
        parameter_randomization(model, lambda *_: {"a": X}, X)
    model.lock = open(__file__)
    with pytest.raises(ValueError, match=r"cannot be copied .*model_factory"):
        parameter_randomization(model, gradient, X)
    model.lock.close()
    del model.lock
    assert parameter_randomization(model, gradient, X, model_factory=network).similarity.shape == (3, 2)
