"""BPTOwen as a shap.Explainer."""

import io
from typing import ClassVar

import numpy as np
import pytest
import shap
import torch

from tests.explainers.conformance import IMAGES, LABELS, NETWORK, Behaviour, ShapContract, model, scalar_model, spy_on
from tests.trees import chain, owen_by_flipping, random_tree
from xai_ext.explainers import BPTOwen
from xai_ext.hierarchies import Hierarchy, axis_aligned, bpt
from xai_ext.maskers import BPT, Segments
from xai_ext.methods.owen import BestFirst, Designed, Exact, Feedback
from xai_ext.models import as_numpy_function


class OwenBehaviour(Behaviour):
    explainer = BPTOwen
    has_errors = False
    sums_to_the_score = True
    least_budget = 2

    def test_values_sum_to_the_score_at_every_budget(self):
        for budget in range(2, 51):
            result = self.make(seed=0)(IMAGES[:1], max_evals=budget, silent=True)
            total = result.values.sum((1, 2, 3)) + result.base_values
            np.testing.assert_allclose(total, model(IMAGES[:1]), atol=1e-12)

    def test_the_estimand_is_named(self):
        assert self.make()(IMAGES, max_evals=40, silent=True).details[0].estimand == "Owen"


class TestRegions(OwenBehaviour, ShapContract):
    pass


class TestPixels(OwenBehaviour):
    def masker(self, baseline=0.2):
        return BPT(IMAGES[0], baseline)


class TestDesigned(OwenBehaviour):
    settings: ClassVar = {"estimator": Designed(max_depth=4)}
    has_errors = True


class TestSeveralTrees(OwenBehaviour):
    settings: ClassVar = {"trees": 2}
    has_errors = True

    def masker(self, baseline=0.2):
        return BPT(IMAGES[0], baseline)

    def test_the_seed_draws_the_noise(self):
        first, again, other = (self.make(seed=s)(IMAGES, max_evals=60, silent=True).values for s in (0, 0, 1))
        np.testing.assert_array_equal(first, again)
        assert (first != other).any()


class TestFeedback(OwenBehaviour):
    settings: ClassVar = {"feedback": Feedback(share=0.5)}

    def masker(self, baseline=0.2):
        return BPT(IMAGES[0], baseline)

    def test_the_structure_says_so(self):
        structure = self.make()(IMAGES, max_evals=60, silent=True).details[0].diagnostics["structure"]
        assert "rebuilt with the model's evidence" in structure
        assert "share=0.5" in structure


class TestValues:
    def test_what_is_not_divided_shares_by_pixels(self):
        values = BPTOwen(model, BPT(IMAGES[0], 0.2, LABELS))(IMAGES[:1], max_evals=2, silent=True).values
        np.testing.assert_allclose(values, values[:, :1, :1] + np.zeros_like(values), rtol=1e-12)
        assert values.any()

    def test_tol_stops_before_the_budget(self):
        masker = BPT(IMAGES[0], 0.2)
        spent = [
            BPTOwen(model, masker)(IMAGES[:1], max_evals=60, tol=tol, silent=True).details[0].n_evals
            for tol in (None, 1e9)
        ]
        assert spent == [60, 4]

    def test_the_whole_recursion_on_16_pixels_equals_shaps(self):
        x = IMAGES[:, :4, :4]
        masker = BPT(x[0], 0.3, hierarchy="axis_aligned")  # depth 4: 172 evaluations
        weights = np.random.default_rng(3).normal(size=(48, 2))
        f, rows = spy_on(lambda images: np.tanh(images.reshape(len(images), -1) @ weights))
        ours = BPTOwen(f, masker)(x[:1], max_evals=172, batch_size=64, silent=True)
        assert sum(rows) == 172
        assert ours.details[0].diagnostics["converged"]
        theirs = shap.Explainer(f, masker)(x[:1], max_evals=172, silent=True)
        np.testing.assert_allclose(ours.values, theirs.values, atol=1e-12)
        assert np.abs(ours.values).max() > 0.01

    @pytest.mark.parametrize("labels", [None, np.minimum(LABELS, 9)], ids=["pixels", "regions of unequal size"])
    @pytest.mark.parametrize("budget", [12, 52, 102])
    def test_a_part_of_the_recursion_equals_shaps(self, labels, budget):
        masker = BPT(IMAGES[0], "blur(3,3)", labels)
        ours = BPTOwen(model, masker)(IMAGES, max_evals=budget, silent=True)
        # SHAP splits half a batch at once, as our waves of 32 do
        theirs = shap.Explainer(model, masker)(IMAGES, max_evals=budget, batch_size=64, silent=True)
        np.testing.assert_allclose(ours.values, theirs.values, atol=1e-12)

    def test_regions_of_unequal_size_are_the_players_of_the_definition(self):
        labels = np.array([[0, 0, 0, 1], [0, 0, 2, 3]])
        tree, x = random_tree(4, seed=1), IMAGES[:1, :2, :4]
        masker = BPT(x[0], 0.1, labels, tree)

        def f(images):
            return np.sin(images.reshape(len(images), -1).cumsum(1)).sum(1)

        def value(present):
            keep = present.numpy()[:, labels.ravel()].astype(bool).reshape(-1, 2, 4, 1)
            return torch.from_numpy(f(np.where(keep, x, 0.1)))

        result = BPTOwen(f, masker, estimator="exact")(x, silent=True)
        sums = np.bincount(labels.ravel(), result.values[0, ..., 0].ravel())
        np.testing.assert_allclose(sums, owen_by_flipping(value, tree), atol=1e-12)
        shares = result.values[0, ..., 0][labels == 0]
        np.testing.assert_allclose(shares, shares[0])

    def test_outputs_select_before_the_walk_and_steer_it(self):
        def two(images):
            return np.stack([images[:, :6].sum((1, 2, 3)) ** 2, 1e3 * images[:, 6:].sum((1, 2, 3)) ** 2], 1)

        masker = BPT(IMAGES[0], 0.2)
        alone = BPTOwen(lambda images: two(images)[:, 0], masker)(IMAGES[:1], max_evals=30, silent=True)
        chosen = BPTOwen(two, masker)(IMAGES[:1], max_evals=30, outputs=[0], silent=True)
        joint = BPTOwen(two, masker)(IMAGES[:1], max_evals=30, silent=True)
        np.testing.assert_allclose(chosen.values[..., 0], alone.values, atol=1e-12)
        assert np.abs(joint.values[..., 0] - alone.values).max() > 1e-3

    def test_a_single_precision_model_has_double_precision_values(self):
        def f(images):
            return model(images).astype(np.float32)

        result = BPTOwen(f, BPT(IMAGES[0], 0.2))(IMAGES, max_evals=200, silent=True)
        assert result.values.dtype == np.float64
        total = f(IMAGES).astype(np.float64)
        np.testing.assert_allclose(result.values.sum((1, 2, 3)) + result.base_values, total, atol=1e-12)

    def test_without_a_budget_a_thousand_evaluations_are_spent(self):
        assert BPTOwen(scalar_model, BPT(IMAGES[0]))(IMAGES[:1], silent=True).details[0].n_evals == 1000

    @pytest.mark.parametrize("tol", [0.9, 0.3])
    def test_tol_stops_early(self, tol):
        explainer = BPTOwen(scalar_model, BPT(IMAGES[0], 0.2, LABELS), estimator=BestFirst(wave=1))
        explanation = explainer(IMAGES[:1], tol=tol, silent=True).details[0]
        assert explanation.n_evals < 1000
        assert explanation.diagnostics["leftover"].max() <= tol

    @pytest.mark.parametrize("settings", [{"trees": 2}, {"feedback": Feedback()}, {}], ids=["trees", "feedback", "one"])
    def test_a_callable_hierarchy_sees_the_row_in_double_precision(self, settings):
        seen = []

        def hierarchy(image, labels, extra=None):
            seen.append((image.dtype, image.shape, labels.shape))
            return bpt(image, labels, extra=extra)

        row = (IMAGES[:1] * 255).astype(np.uint8)
        masker = BPT(row[0], 3, hierarchy=hierarchy)
        BPTOwen(lambda images: images.mean((1, 2, 3)), masker, **settings)(row, max_evals=30, silent=True)
        assert set(seen) == {(np.dtype(np.float64), (12, 15, 3), (12, 15))}

    def test_a_network_on_its_device_takes_part_in_several_trees(self):
        kwargs = {"trees": 3, "seed": 2}
        plain, wrapped = (
            BPTOwen(f, BPT(IMAGES[0], 0.2), **kwargs)(IMAGES, max_evals=90, silent=True)
            for f in (model, as_numpy_function(NETWORK))
        )
        np.testing.assert_allclose(wrapped.values, plain.values, atol=1e-12)

    def test_a_tree_too_deep_for_shap_is_explained(self):
        x = np.random.default_rng(0).random((1, 1, 3001, 1))
        masker = BPT(x[0], 0.0, hierarchy=Hierarchy.from_merges(chain(3001)))
        result = BPTOwen(lambda images: images.sum((1, 2, 3)), masker)(x, max_evals=50, silent=True)
        assert result.values.sum() == pytest.approx(x.sum(), abs=1e-9)


class TestMaskersOfOthers:
    def test_columns_of_a_table_are_played_under_its_clustering(self):
        data = np.random.default_rng(2).random((30, 6))
        masker = shap.maskers.Partition(data, max_samples=30)
        weights = np.random.default_rng(3).normal(size=(6, 2))

        def f(rows):
            return np.tanh(rows @ weights) * rows[:, :1]

        ours = BPTOwen(f, masker)(data[:3], silent=True)
        theirs = shap.PartitionExplainer(f, masker)(data[:3], silent=True)
        assert ours.values.shape == (3, 6, 2)
        np.testing.assert_allclose(ours.values, theirs.values, atol=1e-12)
        assert ours.details[0].diagnostics["structure"] == "clustering of Partition"

    def test_shaps_image_masker_is_played_by_scalars(self):
        x = IMAGES[:, :4, :4]
        masker = shap.maskers.Image(np.full((4, 4, 3), 0.2), (4, 4, 3))

        def f(images):
            return np.tanh(images.reshape(len(images), -1).cumsum(1) - 9).sum(1)

        ours = BPTOwen(f, masker)(x, max_evals=62, silent=True)
        theirs = shap.PartitionExplainer(f, masker)(x, max_evals=62, batch_size=64, silent=True)
        assert ours.values.shape == (2, 4, 4, 3)
        np.testing.assert_allclose(ours.values, theirs.values, atol=1e-12)

    def test_a_clustering_may_be_a_function_of_the_row(self):
        masker = BPT(IMAGES[0], 0.2)

        class Plain:
            """Hides from our explainer what SHAP's maskers do not have."""

            shape, clustering, mask_shapes = masker.shape, masker.clustering, masker.mask_shapes

            def __call__(self, mask, x):
                return masker(mask, x)

        theirs, ours = (BPTOwen(model, m)(IMAGES, max_evals=60, silent=True) for m in (Plain(), masker))
        np.testing.assert_allclose(theirs.values, ours.values, atol=1e-12)

    @pytest.mark.parametrize(
        "masker", [Segments(IMAGES[0]), shap.maskers.Independent(np.ones((2, 5)))], ids=["Segments", "Independent"]
    )
    def test_a_masker_without_a_tree_is_an_error_with_the_fix(self, masker):
        with pytest.raises(TypeError, match=r"must have a clustering.* has none; fix: xai_ext\.maskers\.BPT"):
            BPTOwen(model, masker)


class TestErrors:
    @pytest.mark.parametrize(
        ("settings", "error", "match"),
        [
            ({"estimator": "best"}, ValueError, "estimator must be one of"),
            ({"estimator": BestFirst}, TypeError, "got the class BestFirst"),
            ({"feedback": 0.5}, TypeError, r"feedback must be a Feedback or None, got 0\.5"),
            ({"trees": 0}, ValueError, "trees must be at least 1"),
            ({"feedback": Feedback(), "trees": 2}, ValueError, "exclude each other"),
        ],
    )
    def test_settings_that_cannot_be(self, settings, error, match):
        with pytest.raises(error, match=match):
            BPTOwen(model, BPT(IMAGES[0]), **settings)

    @pytest.mark.parametrize("settings", [{"feedback": Feedback()}, {"trees": 2}])
    @pytest.mark.parametrize(
        "masker",
        [
            BPT(IMAGES[0], hierarchy="axis_aligned"),
            BPT(IMAGES[0], hierarchy=axis_aligned((12, 15))),
            shap.maskers.Image(np.zeros((4, 4, 3)), (4, 4, 3)),
        ],
        ids=["blind", "fixed", "foreign"],
    )
    def test_trees_that_are_built_again_need_a_builder_that_looks_at_the_image(self, masker, settings):
        with pytest.raises(ValueError, match=r"need a xai_ext\.maskers\.BPT with"):
            BPTOwen(model, masker, **settings)

    def test_exactness_beyond_the_budget_names_the_cost(self):
        with pytest.raises(ValueError, match=r"cost .* evaluations"):
            BPTOwen(model, BPT(IMAGES[0]), estimator=Exact())(IMAGES, silent=True)


@pytest.mark.parametrize(
    "settings", [{"estimator": Designed(max_depth=3)}, {"feedback": Feedback(0.4, rounds=2)}, {"trees": 3}]
)
def test_its_own_settings_survive_saving(settings):
    stream = io.BytesIO()
    explainer = BPTOwen(model, BPT(IMAGES[0], "blur(3,3)"), seed=4, max_evals=60, silent=True, **settings)
    explainer.save(stream)
    stream.seek(0)
    loaded = BPTOwen.load(stream)
    for name, value in settings.items():
        assert getattr(loaded, name) == value
    np.testing.assert_array_equal(loaded(IMAGES).values, explainer(IMAGES).values)
