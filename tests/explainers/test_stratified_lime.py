"""StratifiedLime as a shap.Explainer."""

import io
import pickle

import matplotlib.pyplot as plt
import numpy as np
import pytest
import shap
import torch
from torch import nn

from tests.laws import GeneratorsUntouched
from xai_ext import attr
from xai_ext.explainers import StratifiedLime
from xai_ext.maskers import Segments
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


def masker(baseline=0.2):
    return Segments(IMAGES[0], baseline, LABELS)


def region_sums(values, output):
    return np.array([values[..., 0, output][LABELS == k].sum() for k in range(LABELS.max() + 1)])


class TestShapContract:
    @pytest.mark.parametrize("rows", [1, 2])
    @pytest.mark.parametrize(
        ("outputs", "n_out"),
        [
            (None, 5),
            ([3, 1], 2),
            (3, 1),
            (TOP[:1], 1),
            (TOP[:3], 3),
        ],
        ids=["all", "list", "int", "top1", "top3"],
    )
    @pytest.mark.parametrize("link", [shap.links.identity, shap.links.logit])
    @pytest.mark.parametrize("names", [None, NAMES])
    def test_shapes_names_and_plots(self, rows, outputs, n_out, link, names):
        explainer = StratifiedLime(model, masker(), link=link, output_names=names, seed=0)
        result = explainer(IMAGES[:rows], max_evals=40, outputs=outputs, silent=True)
        assert result.values.shape == (rows, 12, 15, 1, n_out)
        assert result.error_std.shape == result.values.shape
        assert result.base_values.shape == (rows, n_out)
        first = np.atleast_2d(np.asarray(result.output_names))[0]
        linked = link(model(IMAGES[:1]))[0]
        chosen = np.argsort(linked)[::-1][:n_out] if hasattr(outputs, "apply") else np.arange(5)
        chosen = np.atleast_1d(outputs) if isinstance(outputs, list | int) else chosen
        assert list(first) == [names[i] if names else f"Output {i}" for i in chosen]
        base = link(model(np.full_like(IMAGES[:1], 0.2)))[0]
        np.testing.assert_allclose(result.base_values[0], base[chosen], atol=1e-12)
        shap.image_plot(result, show=False)
        plt.close("all")

    def test_a_scalar_model_has_no_output_axis(self):
        result = StratifiedLime(scalar_model, masker(), seed=0)(IMAGES, max_evals=40, silent=True)
        assert result.values.shape == (2, 12, 15, 1)
        assert result.base_values.shape == (2,)
        assert result.output_names is None
        shap.image_plot(result, show=False)
        plt.close("all")

    def test_outputs_of_a_scalar_model_are_refused(self):
        with pytest.raises(ValueError, match="returns one score per row"):
            StratifiedLime(scalar_model, masker())(IMAGES, outputs=[0])

    @pytest.mark.parametrize(("outputs", "error"), [([7], ValueError), ("top", TypeError)])
    def test_impossible_outputs_are_errors(self, outputs, error):
        with pytest.raises(error, match="outputs must"):
            StratifiedLime(model, masker())(IMAGES, outputs=outputs)

    def test_one_set_of_evaluations_serves_all_outputs(self):
        rows = []

        def spy(images):
            rows.append(len(images))
            return model(images)

        explainer = StratifiedLime(spy, masker(), seed=0)
        both = explainer(IMAGES[:1], max_evals=60, outputs=[1, 2], batch_size=7, silent=True)
        assert sum(rows) <= 60
        assert max(rows) <= 7
        single = explainer(IMAGES[:1], max_evals=60, outputs=[2], batch_size=7, silent=True)
        np.testing.assert_allclose(both.values[..., 1], single.values[..., 0], atol=1e-12)

    @pytest.mark.parametrize("budget", range(4, 30))
    def test_max_evals_is_never_exceeded(self, budget):
        rows = []

        def spy(images):
            rows.append(len(images))
            return model(images)

        result = StratifiedLime(spy, masker(), seed=0)(IMAGES[:1], max_evals=budget, batch_size=4, silent=True)
        assert sum(rows) <= budget
        assert result.details[0].n_evals == sum(rows)


class TestRandomness:
    def test_a_seed_reproduces_and_rows_do_not_depend_on_each_other(self):
        explainer = StratifiedLime(model, masker(), seed=5)
        with GeneratorsUntouched():
            both = explainer(IMAGES, max_evals=60, silent=True)
            single = explainer(IMAGES[1:], max_evals=60, silent=True)
        np.testing.assert_array_equal(both.values[1:], single.values)

    def test_without_a_seed_the_entropy_is_recorded(self):
        result = StratifiedLime(model, masker())(IMAGES[:1], max_evals=60, silent=True)
        seed = result.details[0].diagnostics["seed"]
        again = StratifiedLime(model, masker(), seed=seed)(IMAGES[:1], max_evals=60, silent=True)
        np.testing.assert_array_equal(again.values, result.values)


class TestHosts:
    @pytest.mark.parametrize("sampler", ["mc", "antithetic", "stratified"])
    @pytest.mark.parametrize("weighting", ["kernel", "importance"])
    def test_both_hosts_give_the_same_numbers(self, sampler, weighting):
        kwargs = {"sampler": sampler, "weighting": weighting}
        ours = StratifiedLime(model, masker(), seed=3, **kwargs)(IMAGES, max_evals=150, outputs=[4], silent=True)
        captums = attr.StratifiedLime(NETWORK, **kwargs)
        x = torch.from_numpy(IMAGES).movedim(-1, 1)
        flat = captums.attribute(
            x, baselines=0.2, target=4, feature_mask=torch.from_numpy(LABELS), n_samples=150, seed=3,
            return_input_shape=False,
        )  # fmt: skip
        for i in range(2):
            np.testing.assert_allclose(region_sums(ours.values[i], 0), flat[i], rtol=1e-6, atol=1e-12)

    def test_details_hold_one_explanation_per_row(self):
        result = StratifiedLime(model, masker(), seed=0)(IMAGES, max_evals=60, outputs=[2], silent=True)
        for i, explanation in enumerate(result.details):
            assert explanation.labels[0].shape == (12, 15)
            np.testing.assert_allclose(explanation.density_map()[..., 0], result.values[i, ..., 0, 0])
            assert explanation.estimand == "LIME"

    def test_a_module_wrapped_as_a_numpy_function_gives_the_same(self):
        wrapped = as_numpy_function(NETWORK)
        results = [StratifiedLime(f, masker(), seed=0)(IMAGES, max_evals=50, silent=True) for f in (model, wrapped)]
        np.testing.assert_allclose(results[1].values, results[0].values, atol=1e-12)

    @pytest.mark.parametrize("background", [1, 3])
    def test_a_masker_of_shaps_own_is_played_by_columns(self, background):
        rows = np.random.default_rng(1).random((4, 6))
        weights = np.arange(6.0)
        tabular = shap.maskers.Independent(np.random.default_rng(2).random((background, 6)))
        explainer = StratifiedLime(lambda x: x @ weights, tabular, surrogate=None, seed=0)
        result = explainer(rows, max_evals=100, silent=True)
        assert result.values.shape == rows.shape
        expected = (rows - tabular.data.mean(0)) * weights
        np.testing.assert_allclose(result.values, expected, atol=0.2)  # the ridge shrinks


class TestErrors:
    def test_a_module_is_refused_with_the_fix(self):
        with pytest.raises(TypeError, match="as_numpy_function"):
            StratifiedLime(NETWORK, masker())

    def test_a_single_image_is_refused_with_the_fix(self):
        with pytest.raises(ValueError, match=r"x\[None\]"):
            StratifiedLime(model, masker())(IMAGES[0])

    def test_main_effects_are_refused(self):
        with pytest.raises(ValueError, match="main_effects are not defined"):
            StratifiedLime(model, masker())(IMAGES, main_effects=True)

    def test_unknown_keywords_are_refused_by_constructor_and_call(self):
        with pytest.raises(TypeError, match="max_eval"):
            StratifiedLime(model, masker(), max_eval=3)
        with pytest.raises(TypeError, match="max_eval"):
            StratifiedLime(model, masker())(IMAGES, max_eval=3)

    @pytest.mark.filterwarnings("ignore:divide by zero")
    def test_a_link_that_is_not_finite_names_the_evaluation(self):
        def certain(images):
            return np.stack([np.ones(len(images)), np.zeros(len(images))], 1)

        with pytest.raises(ValueError, match=r"of evaluation 0; .* explain logits"):
            StratifiedLime(certain, masker(), link=shap.links.logit)(IMAGES, silent=True)


class TestKeeping:
    @pytest.mark.parametrize("load", [StratifiedLime.load, shap.Explainer.load])
    def test_saving_and_loading_keeps_everything(self, load, capsys):
        explainer = StratifiedLime(
            model, masker(), link=shap.links.logit, linearize_link=False, output_names=NAMES, seed=7,
            sampler="stratified", weighting="importance", kernel="euclidean", kernel_width=3.0,
            max_evals=60, silent=True,
        )  # fmt: skip
        stream = io.BytesIO()
        explainer.save(stream)
        stream.seek(0)
        loaded = load(stream)
        assert type(loaded) is StratifiedLime
        assert loaded.linearize_link is False
        before, after = explainer(IMAGES), loaded(IMAGES)
        np.testing.assert_array_equal(after.values, before.values)
        assert list(after.output_names) == list(before.output_names)
        assert after.details[0].n_evals == before.details[0].n_evals <= 60

    def test_it_pickles(self):
        explainer = pickle.loads(pickle.dumps(StratifiedLime(model, masker(), seed=1, max_evals=40)))
        assert explainer(IMAGES, silent=True).details[0].n_evals == 40

    def test_an_argument_of_the_call_overrides_its_default(self):
        explainer = StratifiedLime(model, masker(), seed=1, max_evals=40, tol=0.5)
        assert explainer(IMAGES, max_evals=50, tol=1e-9, silent=True).details[0].n_evals == 50


def test_kernelshap_gives_shapley_values_and_says_so():
    result = StratifiedLime(model, masker(), seed=0, weighting="kernelshap")(IMAGES[:1], max_evals=80, silent=True)
    assert result.details[0].estimand == "Shapley"
    total = result.values.sum((1, 2, 3)) + result.base_values
    np.testing.assert_allclose(total, model(IMAGES[:1]), atol=1e-9)
