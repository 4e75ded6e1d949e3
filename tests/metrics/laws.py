"""What every metric obeys: a metric's test inherits `MetricLaws`."""

import inspect
import json
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.laws import GeneratorsUntouched
from xai_ext.metrics import FractionOfMax, Status

VECTORS = {v["id"]: v for v in json.loads(Path(__file__).with_name("metric_vectors.json").read_text())["vectors"]}
SAMPLES = {"threshold": FractionOfMax(0.5)}  # an argument for each parameter that a metric requires
STATUSES = {int(s) for s in Status}


class Saturating(nn.Module):
    """Three outputs tanh(<w_k, x>): monotone in every contribution, not additive, the same for rows alone."""

    def __init__(self, weights):
        super().__init__()
        self.weights = nn.Parameter(weights)

    def forward(self, images):
        return torch.tanh((images[:, None] * self.weights).flatten(2).sum(2))


@dataclass(frozen=True)
class World:
    """Examples with everything that some metric compares a map with."""

    maps: Tensor
    inputs: Tensor
    masks: Tensor
    others: Tensor
    target: list
    model: nn.Module

    def part(self, index):
        tensors = {name: getattr(self, name)[index] for name in ("maps", "inputs", "masks", "others")}
        return replace(self, **tensors, target=[self.target[i] for i in np.arange(len(self.target))[index]])


def world(n=4, channels=3, height=5, width=4, seed=0):
    """Maps are multiples of 1/4 with ties, so that their sums over channels are exact in any order."""
    rng = np.random.default_rng(seed)
    shape = (n, channels, height, width)
    inputs = torch.from_numpy(rng.normal(size=shape))
    model = Saturating(torch.from_numpy(rng.normal(size=(3, channels, height, width)) / 8)).eval()
    maps = torch.from_numpy(rng.integers(-9, 10, shape) / 4)
    contributions = (inputs * model.weights.detach()[[0, 1, 2, 0][:n]]).sum(1)
    masks = contributions > contributions.flatten(1).quantile(0.7, dim=1)[:, None, None]
    return World(maps, inputs, masks, contributions, [0, 1, 2, 0][:n], model)


def evaluate(metric, given, maps=None, /, **options):
    """The metric of the world's maps, or of others, with what it needs beside them."""
    maps = given.maps if maps is None else maps
    parameters = inspect.signature(metric).parameters.values()
    required = [p.name for p in parameters if p.kind is p.KEYWORD_ONLY and p.default is p.empty]
    options = {name: SAMPLES[name] for name in required} | options
    if "model" in metric.needs:
        options = {"target": given.target, "max_examples_per_batch": 7} | options
        return metric(given.model, given.inputs, maps, **options)
    if not metric.needs:
        return metric(maps, **options)
    return metric(maps, given.masks if "masks" in metric.needs else given.others, **options)


class MetricLaws:
    """Set `function`, and `options` where a law is to hold under other settings."""

    function = None
    options: ClassVar[dict] = {}

    @pytest.fixture
    def metric(self):
        return type(self).function

    def value(self, metric, given, maps=None, /, **options):
        return evaluate(metric, given, maps, **self.options, **options)

    def test_it_says_what_it_is(self, metric):
        low, high = metric.range
        assert low < high
        assert isinstance(metric.higher_is_better, bool)
        assert isinstance(metric.label_aware, bool)
        assert metric.needs <= {"model", "masks", "map"}

    def test_one_float64_value_per_example_without_a_graph(self, metric):
        given = world()
        values = self.value(metric, given, given.maps.requires_grad_())
        assert values.shape == (4,)
        assert values.dtype == torch.float64
        assert values.device.type == "cpu"
        assert not values.requires_grad

    def test_values_lie_in_the_range(self, metric):
        values = torch.cat([self.value(metric, world(seed=seed)) for seed in range(5)])
        assert values.isfinite().all()
        assert (values >= metric.range[0]).all()
        assert (values <= metric.range[1]).all()

    def test_a_perfect_map_is_on_the_better_side_of_its_opposite(self, metric):
        given = world()
        if not metric.needs:  # nothing to be right about: to say one thing is better than to say all
            one = torch.zeros(4, 5, 4)
            one[:, 2, 1] = 1
            gap = self.value(metric, given, one) - self.value(metric, given, torch.ones(4, 5, 4))
            assert ((gap > 0) == metric.higher_is_better).all()
            assert (gap != 0).all()
            return
        gap = self.value(metric, given, given.others) - self.value(metric, given, -given.others)
        assert ((gap > 0) == metric.higher_is_better).all()
        assert (gap != 0).all()

    def test_a_batch_is_its_examples_one_by_one(self, metric):
        given = world()
        singles = [self.value(metric, given.part(slice(i, i + 1))) for i in range(4)]
        assert torch.equal(self.value(metric, given), torch.cat(singles))

    def test_the_order_of_the_batch_does_not_matter(self, metric):
        given, order = world(), [2, 0, 3, 1]
        assert torch.equal(self.value(metric, given.part(order)), self.value(metric, given)[order])

    @pytest.mark.parametrize("factor", [1e-6, 1e6])
    def test_the_unit_of_the_map_does_not_matter(self, metric, factor):
        given = world()
        maps = given.maps.sum(1)  # first: a sum of scaled channels would round ties apart
        scaled = self.value(metric, given, maps * factor)
        torch.testing.assert_close(scaled, self.value(metric, given, maps), rtol=1e-12, atol=1e-12)  # rounding only

    def test_the_numbering_of_positions_does_not_matter(self, metric):
        given = world()
        order = torch.from_numpy(np.random.default_rng(1).permutation(20))

        def shuffled(tensor):
            return tensor.flatten(-2)[..., order].reshape(tensor.shape)

        tensors = {name: shuffled(getattr(given, name)) for name in ("maps", "inputs", "masks", "others")}
        other = replace(given, **tensors, model=Saturating(shuffled(given.model.weights.detach())))
        # sums in another order: 60 float64 terms near 1
        torch.testing.assert_close(self.value(metric, other), self.value(metric, given), rtol=1e-12, atol=1e-12)

    @pytest.mark.parametrize("bad", [torch.nan, torch.inf, -torch.inf])
    def test_a_map_that_is_not_finite_costs_its_own_value_only(self, metric, bad):
        given = world()
        maps = given.maps.clone()
        maps[1, 2, 0, 0] = bad
        values, expected = self.value(metric, given, maps), self.value(metric, given)
        assert values[1].isnan()
        assert torch.equal(values[[0, 2, 3]], expected[[0, 2, 3]])

    def test_nothing_of_the_user_is_changed(self, metric):
        given = world()
        given.model.train()
        before = [t.clone() for t in (given.maps, given.inputs, given.masks, given.others, given.model.weights)]
        with GeneratorsUntouched():
            self.value(metric, given)
        after = [given.maps, given.inputs, given.masks, given.others, given.model.weights]
        assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))
        assert given.model.training
        assert given.model.weights.grad is None
        assert not given.model._forward_hooks

    @pytest.mark.parametrize("form", ["array", "one channel", "no channels", "channels last", "shap", "shap outputs"])
    def test_the_form_of_the_map_does_not_matter(self, metric, form):
        given = world()
        last = given.maps.movedim(1, -1).numpy()
        shap = {"data": given.inputs.movedim(1, -1).numpy(), "base_values": np.zeros(4)}
        maps, options = {
            "array": (given.maps.numpy(), {}),
            "one channel": (given.maps.sum(1, keepdim=True).float(), {}),
            "no channels": (given.maps.sum(1), {}),
            "channels last": (last, {"layout": "channels_last"}),
            "shap": (SimpleNamespace(values=last, **shap), {}),
            "shap outputs": (
                SimpleNamespace(values=np.stack([-last, last], -1), output_names=["cat", "dog"], **shap),
                {"output": "dog"},
            ),
        }[form]
        assert torch.equal(self.value(metric, given, maps, **options), self.value(metric, given))

    def test_a_dict_of_maps_gives_a_dict_of_the_same_values(self, metric):
        given = world()
        both = self.value(metric, given, {"a": given.maps, "b": -given.maps.numpy()})
        assert list(both) == ["a", "b"]
        assert torch.equal(both["a"], self.value(metric, given))
        assert torch.equal(both["b"], self.value(metric, given, -given.maps))

    def test_one_map_without_its_batch_dimension_is_refused(self, metric):
        given = world()
        if not metric.needs:
            pytest.skip("nothing tells rows of an image from examples with features")
        with pytest.raises(ValueError, match=r"batch dimension|as many examples|fit the positions"):
            self.value(metric, given.part(slice(0, 1)), given.maps[0, 0])
