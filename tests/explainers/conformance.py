"""What every explainer owes to SHAP's users.

The test of an explainer inherits `ShapContract`, those of its other settings `Behaviour`.
"""

import io
import pickle
from typing import ClassVar

import matplotlib.pyplot as plt
import numpy as np
import pytest
import shap
import torch
from torch import nn

from tests.laws import GeneratorsUntouched
from xai_ext.maskers import BPT
from xai_ext.models import as_numpy_function
from xai_ext.segmentation import grid

IMAGES = np.random.default_rng(0).random((2, 12, 15, 3))
LABELS = grid(IMAGES[0], rows=3, columns=5)
TOP = shap.Explanation.argsort.flip
NAMES = ["ant", "bee", "cow", "dog", "elk"]


def network():
    torch.manual_seed(0)
    layers = nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(3), nn.Flatten(), nn.Linear(36, 5), nn.Softmax(1)
    return nn.Sequential(*layers).double().eval()


NETWORK = network()


def model(images):
    with torch.no_grad():
        return NETWORK(torch.from_numpy(images).movedim(-1, 1)).numpy()


def scalar_model(images):
    return model(images)[:, 1]


def spy_on(model):
    """The model and a list that grows by the rows of each call."""
    rows = []

    def spy(images):
        rows.append(len(images))
        return model(images)

    return spy, rows


def titles():
    """Of the plot just drawn, without the empty ones."""
    found = [axes.get_title() for axes in plt.gcf().axes]
    plt.close("all")
    return [title for title in found if title]


class Behaviour:
    """Set `explainer`, the class; `settings` are further arguments of its constructor."""

    explainer = None
    settings: ClassVar = {}
    has_errors = True
    sums_to_the_score = False
    least_budget = 4

    def make(self, function=model, masker=None, **kwargs):
        return type(self).explainer(function, masker or self.masker(), **{**self.settings, **kwargs})

    def masker(self, baseline=0.2):
        return BPT(IMAGES[0], baseline, LABELS)

    def check(self, result, linked, base):
        """Shapes beside the values, base values, and completeness where the method promises it."""
        if self.has_errors:
            assert result.error_std.shape == result.values.shape
        else:
            assert result.error_std is None
        np.testing.assert_allclose(result.base_values, base, atol=1e-12)
        assert result.values.dtype == np.float64
        if self.sums_to_the_score:
            np.testing.assert_allclose(result.values.sum((1, 2, 3)) + base, linked, atol=1e-6)

    def test_chosen_outputs_have_their_base_values_and_errors(self):
        result = self.make(seed=0)(IMAGES, max_evals=40, outputs=[3, 1], silent=True)
        assert result.values.shape == (2, 12, 15, 1, 2)
        self.check(result, model(IMAGES)[:, [3, 1]], model(np.full_like(IMAGES, 0.2))[:, [3, 1]])

    def test_outputs_of_a_scalar_model_are_refused(self):
        with pytest.raises(ValueError, match="returns one score per row"):
            self.make(scalar_model)(IMAGES, outputs=[0])

    @pytest.mark.parametrize(("outputs", "error"), [([7], ValueError), ("top", TypeError)])
    def test_impossible_outputs_are_errors(self, outputs, error):
        with pytest.raises(error, match="outputs must"):
            self.make()(IMAGES, outputs=outputs)

    def test_one_set_of_evaluations_serves_all_outputs(self):
        spy, rows = spy_on(model)
        self.make(spy, seed=0)(IMAGES[:1], max_evals=60, outputs=[1, 2], batch_size=7, silent=True)
        assert sum(rows) <= 60
        assert max(rows) <= 7

    def test_max_evals_is_never_exceeded(self):
        for budget in range(self.least_budget, 51):
            spy, rows = spy_on(model)
            result = self.make(spy, seed=0)(IMAGES[:1], max_evals=budget, batch_size=4, silent=True)
            assert sum(rows) <= budget
            assert result.details[0].n_evals == sum(rows)

    def test_a_budget_too_small_is_an_error(self):
        with pytest.raises(ValueError, match=f"max_evals must be at least {self.least_budget}"):
            self.make()(IMAGES, max_evals=self.least_budget - 1)

    def test_rows_do_not_depend_on_each_other_and_no_global_generator_moves(self):
        explainer = self.make(masker=self.masker("blur(3,3)"), seed=5)
        with GeneratorsUntouched():
            both = explainer(IMAGES, max_evals=60, silent=True)
            singles = [explainer(IMAGES[i : i + 1], max_evals=60, silent=True) for i in range(2)]
        np.testing.assert_array_equal(both.values, np.concatenate([s.values for s in singles]))
        assert (both.values[0] != both.values[1]).any()

    def test_details_hold_one_explanation_per_row(self):
        result = self.make(seed=0)(IMAGES, max_evals=60, outputs=[2], silent=True)
        assert len(result.details) == 2
        for i, explanation in enumerate(result.details):
            assert explanation.labels[0].shape == (12, 15)
            np.testing.assert_allclose(explanation.density_map()[..., 0], result.values[i, ..., 0, 0])

    def test_a_module_wrapped_as_a_numpy_function_gives_the_same(self):
        wrapped = as_numpy_function(NETWORK)
        results = [self.make(f, seed=0)(IMAGES, max_evals=50, silent=True) for f in (model, wrapped)]
        np.testing.assert_allclose(results[1].values, results[0].values, atol=1e-12)

    def test_a_tensor_of_rows_gives_the_same(self):
        results = [self.make(seed=0)(x, max_evals=50, silent=True) for x in (IMAGES, torch.from_numpy(IMAGES))]
        np.testing.assert_array_equal(results[1].values, results[0].values)

    def test_a_module_is_refused_with_the_fix(self):
        with pytest.raises(TypeError, match="as_numpy_function"):
            self.make(NETWORK)

    def test_a_single_image_is_refused_with_the_fix(self):
        with pytest.raises(ValueError, match=r"x\[None\]"):
            self.make()(IMAGES[0])

    def test_main_effects_are_refused(self):
        with pytest.raises(ValueError, match="main_effects are not defined"):
            self.make()(IMAGES, main_effects=True)

    def test_unknown_keywords_are_refused_by_constructor_and_call(self):
        with pytest.raises(TypeError, match="max_eval"):
            self.make(max_eval=3)
        with pytest.raises(TypeError, match="max_eval"):
            self.make()(IMAGES, max_eval=3)

    @pytest.mark.filterwarnings("ignore:divide by zero")
    def test_a_link_that_is_not_finite_names_the_evaluation(self):
        def certain(images):
            return np.stack([np.ones(len(images)), np.zeros(len(images))], 1)

        with pytest.raises(ValueError, match=r"of evaluation 0; .* explain logits"):
            self.make(certain, link=shap.links.logit)(IMAGES, silent=True)

    @pytest.mark.parametrize("through_the_base_class", [False, True])
    def test_saving_and_loading_keeps_everything(self, through_the_base_class, capsys):
        explainer = self.make(
            link=shap.links.logit, linearize_link=False, output_names=NAMES, seed=7, max_evals=60, silent=True
        )
        stream = io.BytesIO()
        explainer.save(stream)
        stream.seek(0)
        loaded = (shap.Explainer if through_the_base_class else type(self).explainer).load(stream)
        assert type(loaded) is type(self).explainer
        kept = ("linearize_link", "output_names", "feature_names", "seed", "call_defaults", *loaded.own_arguments)
        for name in ("link", *kept):
            assert repr(getattr(loaded, name)) == repr(getattr(explainer, name)), name
        before, after = explainer(IMAGES), loaded(IMAGES)
        np.testing.assert_array_equal(after.values, before.values)
        assert list(after.output_names) == list(before.output_names)
        assert after.details[0].n_evals == before.details[0].n_evals <= 60

    def test_it_pickles(self):
        explainer = self.make(seed=1, max_evals=40)
        copy = pickle.loads(pickle.dumps(explainer))
        np.testing.assert_array_equal(copy(IMAGES, silent=True).values, explainer(IMAGES, silent=True).values)
        assert copy(IMAGES, silent=True).details[0].n_evals <= 40

    def test_an_argument_of_the_call_overrides_its_default(self):
        explainer = self.make(seed=1, max_evals=40, tol=0.5)
        assert 40 < explainer(IMAGES, max_evals=50, tol=1e-9, silent=True).details[0].n_evals <= 50


class ShapContract(Behaviour):
    """The same, and every combination of rows, outputs, links and names, drawn by SHAP."""

    @pytest.mark.parametrize("rows", [1, 2])
    @pytest.mark.parametrize(
        ("outputs", "n_out"),
        [(None, 5), ([3, 1], 2), (3, 1), (TOP[:1], 1), (TOP[:3], 3)],
        ids=["all", "list", "int", "top1", "top3"],
    )
    @pytest.mark.parametrize("link", [shap.links.identity, shap.links.logit])
    @pytest.mark.parametrize("names", [None, NAMES])
    def test_shapes_names_and_plots(self, rows, outputs, n_out, link, names):
        explainer = self.make(link=link, output_names=names, seed=0)
        result = explainer(IMAGES[:rows], max_evals=40, outputs=outputs, silent=True)
        assert result.values.shape == (rows, 12, 15, 1, n_out)
        linked = link(model(IMAGES[:rows]))
        if hasattr(outputs, "apply"):
            chosen = np.argsort(linked)[:, ::-1][:, :n_out]
        else:
            chosen = np.tile(np.arange(5) if outputs is None else np.atleast_1d(outputs), (rows, 1))
        base = np.take_along_axis(link(model(np.full_like(IMAGES[:rows], 0.2))), chosen, 1)
        self.check(result, np.take_along_axis(linked, chosen, 1), base)
        expected = [names[i] if names else f"Output {i}" for i in chosen[0]]
        assert list(np.atleast_2d(np.asarray(result.output_names))[0]) == expected
        shap.image_plot(result, show=False)
        assert titles()[:n_out] == expected

    @pytest.mark.parametrize("rows", [1, 2])
    @pytest.mark.parametrize("link", [shap.links.identity, shap.links.logit])
    def test_a_scalar_model_has_no_output_axis(self, rows, link):
        result = self.make(scalar_model, link=link, seed=0)(IMAGES[:rows], max_evals=40, silent=True)
        assert result.values.shape == (rows, 12, 15, 1)
        assert result.output_names is None
        base = link(scalar_model(np.full_like(IMAGES[:rows], 0.2)))
        self.check(result, link(scalar_model(IMAGES[:rows])), base)
        shap.image_plot(result, show=False)
        assert titles() == []
