"""Captum's own metrics through this package, against Captum."""

from types import SimpleNamespace

import captum.metrics
import numpy as np
import pytest
import torch
from captum.attr import FeatureAblation, Saliency

from tests.laws import GeneratorsUntouched
from tests.metrics.laws import world
from xai_ext import metrics
from xai_ext.attr import StratifiedLime
from xai_ext.metrics import infidelity, sensitivity_max


def rng():
    return np.random.default_rng(7)


def under_the_same_draws(call):
    torch.manual_seed(int(rng().integers(2**62)))
    return call()


def perturb(inputs, baselines=None):
    noise = torch.randn_like(inputs) * 0.1
    return noise, inputs - noise


class TestInfidelity:
    @pytest.mark.parametrize("normalize", [False, True])
    def test_numbers_are_captums(self, normalize):
        given = world()
        arguments = given.model, perturb, given.inputs, given.maps.double()
        options = {"target": torch.tensor(given.target), "normalize": normalize, "n_perturb_samples": 6}
        with GeneratorsUntouched():
            found = infidelity(*arguments, **options, rng=rng())
        with torch.random.fork_rng():
            expected = under_the_same_draws(lambda: captum.metrics.infidelity(*arguments, **options))
        torch.testing.assert_close(found, expected.detach(), rtol=1e-6, atol=1e-12)
        assert found.dtype == torch.float64

    def test_maps_without_channels_are_shared_evenly(self):
        given = world()
        flat = given.maps.sum(1)
        spread = (flat[:, None] / 3).expand_as(given.inputs)
        target = torch.tensor(given.target)
        expected = infidelity(given.model, perturb, given.inputs, spread, target=target)
        last = spread.movedim(1, -1).numpy()
        shap = SimpleNamespace(values=last, data=last, base_values=np.zeros(4))
        for form in (flat, flat[:, None], flat.numpy(), shap):
            found = infidelity(given.model, perturb, given.inputs, form, target=target)
            torch.testing.assert_close(found, expected)
        with pytest.raises(ValueError, match="one or no channel"):
            infidelity(given.model, perturb, given.inputs, flat[:, :2], target=target)

    def test_a_square_goes_to_the_baseline_unless_told_otherwise(self):
        x = torch.rand(2, 3, 20, 30, dtype=torch.float64)
        seen = []

        def model(images):
            seen.extend(images)
            return images.flatten(1).sum(1)

        found = infidelity(model, None, x, torch.ones_like(x), 0.25, n_perturb_samples=5)
        np.testing.assert_allclose(found, 0, atol=1e-20)
        changed = [((image != x[0]) & (image != x[1])).any(0) for image in seen]
        holes = [c for c in changed if c.any()]
        assert len(holes) == 10
        for hole in holes:
            ys, xs = hole.nonzero().T
            assert hole.sum() == 4
            assert ys.max() - ys.min() == xs.max() - xs.min() == 1

    def test_a_map_that_is_not_finite_costs_its_own_value(self):
        given = world()
        maps = given.maps.clone()
        maps[1, 0, 0, 0] = torch.nan
        found = infidelity(given.model, None, given.inputs, maps, target=torch.tensor(given.target))
        assert found.isnan().tolist() == [False, True, False, False]

    def test_tables_and_tuples(self):
        x, y = torch.rand(3, 4), torch.rand(3, 12)

        def model(a, b):
            return a.sum(1) + 2 * b.sum(1)

        found = infidelity(model, None, (x, y), (torch.ones_like(x), torch.full_like(y, 2)), n_perturb_samples=3)
        np.testing.assert_allclose(found, 0, atol=1e-10)  # float32 scores near 20


class TestSensitivity:
    def test_numbers_are_captums(self):
        given = world()

        def explain(inputs, target):
            return Saliency(given.model).attribute(tuple(x.requires_grad_() for x in inputs), target)

        x, options = given.inputs.float(), {"target": torch.tensor(given.target), "n_perturb_samples": 4}
        given.model.float()
        with GeneratorsUntouched():
            found = sensitivity_max(explain, x, rng=rng(), **options)
        with torch.random.fork_rng():
            expected = under_the_same_draws(lambda: captum.metrics.sensitivity_max(explain, x, **options))
        torch.testing.assert_close(found, expected.detach().double(), rtol=1e-6, atol=0)
        assert found.shape == (4,)

    def test_each_example_keeps_its_own_feature_mask(self):
        given = world()
        masks = torch.stack([torch.arange(20).reshape(1, 5, 4) // size for size in (1, 2, 4, 5)])
        seen = []

        def explain(inputs, feature_mask=None, target=None):
            seen.append(feature_mask)
            return FeatureAblation(given.model).attribute(inputs, target=target, feature_mask=feature_mask)

        sensitivity_max(
            explain, given.inputs, feature_mask=masks, target=torch.tensor(given.target), n_perturb_samples=3
        )
        assert torch.equal(seen[0], masks)
        assert torch.equal(seen[1], masks.repeat_interleave(3, 0))

    def test_lime_with_regions_runs(self):
        given = world()
        given.model.float()
        lime = StratifiedLime(given.model)
        labels = (torch.arange(20) // 4).reshape(5, 4)
        found = sensitivity_max(
            lime.attribute, given.inputs.float()[:1], feature_mask=labels, target=0, n_samples=40, seed=1,
            n_perturb_samples=2,
        )  # fmt: skip
        assert found.shape == (1,)
        assert found.isfinite().all()


def test_metrics_are_found_by_name_and_others_are_not():
    assert metrics.infidelity is infidelity
    assert "sensitivity_max" in dir(metrics)
    with pytest.raises(AttributeError, match="has no attribute 'faithfulness'"):
        _ = metrics.faithfulness
