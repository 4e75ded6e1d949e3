"""BPTOwen as a Captum class."""

import copy
import functools
import pickle

import numpy as np
import pytest
import torch
from captum.attr import Lime, PerturbationAttribution
from captum.testing.helpers.basic_models import BasicModel_MultiLayer

from tests.attr.conformance import CaptumConformance, Spy, TwoPlayerShapley, X
from tests.trees import members, owen_by_flipping, random_tree
from xai_ext.attr import BPTOwen
from xai_ext.game import Game, MaskedModel
from xai_ext.hierarchies import Hierarchy, axis_aligned, balanced, bpt
from xai_ext.methods.owen import BestFirst, Exact, Feedback, owen
from xai_ext.segmentation import grid

BLOCKS = torch.arange(36).reshape(6, 6) // 6


def images(n=1, channels=3, height=6, width=5, *, dtype=torch.float64):
    generator = torch.Generator().manual_seed(0)
    return torch.rand(n, channels, height, width, generator=generator, dtype=torch.float64).to(dtype)


def curved(x):
    """A score in which neighbours and channels interact."""
    flat = x.double().flatten(1)
    return (torch.tanh(flat[:, ::2].sum(1) / 4) + (flat[:, 1:] * flat[:, :-1]).sum(1) / 7).to(x.dtype)


def two_scores(x):
    return torch.stack([curved(x), x.flatten(1).square().sum(1)], 1)


def owens(forward, x, labels, tree, budget=1000, **kwargs):
    return owen(Game(MaskedModel(forward, x, 0, batch_size=1), labels), tree, budget=budget, **kwargs).values


def by_channel(image, labels):
    return bpt(image, labels)


def first_at_one(image):
    return 1 + grid(image, rows=2)


class TestConformance(CaptumConformance, TwoPlayerShapley):
    make = BPTOwen
    name = "BPT Owen"
    draws = False


class TestTheClass:
    def test_it_is_a_perturbation_method_that_multiplies_by_inputs_and_no_lime(self):
        method = BPTOwen(curved)
        assert isinstance(method, PerturbationAttribution)
        assert not isinstance(method, Lime)
        assert method.multiplies_by_inputs is True

    @pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
    @pytest.mark.parametrize(
        "settings",
        [
            {"hierarchy": balanced(30), "estimator": BestFirst(wave=2)},
            {"hierarchy": by_channel, "segmentation": first_at_one},
            {"feedback": Feedback()},
            {"trees": 2},
        ],
        ids=lambda s: next(iter(s)) + str(len(s)),
    )
    def test_every_setting_survives_duplication(self, settings, duplicate):
        method = BPTOwen(curved, **settings)
        got, expected = (m.attribute(images(), n_samples=30, seed=1) for m in (duplicate(method), method))
        assert torch.equal(got, expected)


class TestWhatAnElementCarries:
    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
    @pytest.mark.parametrize("shape", [(2, 3, 6, 5), (2, 1, 1, 4), (1, 4, 3, 1), (2, 7), (2, 3, 4), (1, 2, 2, 2, 3)])
    @pytest.mark.parametrize("n_samples", [2, 3, 10, 101, 1000])
    def test_without_a_mask_attributions_sum_to_the_change_of_the_score(self, dtype, shape, n_samples):
        x, b = torch.rand(shape, dtype=dtype), torch.rand(shape, dtype=dtype)
        change = curved(x) - curved(b)
        got, delta = BPTOwen(curved).attribute(x, b, n_samples=n_samples, return_convergence_delta=True)
        tolerance = 1e-5 if dtype is torch.float32 else 1e-10
        torch.testing.assert_close(got.flatten(1).sum(1), change, rtol=tolerance, atol=tolerance)
        assert delta.shape == (len(x),)
        assert delta.dtype == dtype
        assert delta.abs().max() <= tolerance

    def test_all_channels_of_a_pixel_carry_the_same_share(self):
        x = images(2)
        got = BPTOwen(curved).attribute(x, n_samples=60)
        for attributions, explanation in zip(got, BPTOwen(curved).explain(x, n_samples=60), strict=True):
            assert explanation.labels[0].shape == (6, 5)
            np.testing.assert_allclose(attributions.sum(0), explanation.density_map(), rtol=1e-12)
            assert torch.equal(attributions, attributions[:1].expand(3, -1, -1))

    def test_a_region_of_a_segmentation_shares_its_value_among_its_elements(self):
        x, segmentation = images(), functools.partial(grid, rows=2)
        labels = torch.from_numpy(segmentation(x))
        got = BPTOwen(curved, segmentation=segmentation).attribute(x)
        whole = BPTOwen(curved).attribute(x, feature_mask=labels)
        elements = 3 * torch.bincount(labels.flatten())[labels]
        torch.testing.assert_close(got, whole / elements, rtol=1e-12, atol=0)

    def test_with_a_mask_the_values_per_player_sum_to_the_change_of_the_score(self):
        x, mask = images(2, height=6, width=6), torch.stack([BLOCKS, BLOCKS.T + 3])[:, None]
        method = BPTOwen(curved)
        kwargs = {"feature_mask": mask, "n_samples": 20, "return_convergence_delta": True}
        flat, delta = method.attribute(x, return_input_shape=False, **kwargs)
        assert flat.shape == (2, 9)
        assert not flat[0, 6:].any()
        assert not flat[1, :3].any()
        torch.testing.assert_close(flat.sum(1), curved(x) - curved(torch.zeros_like(x)), rtol=1e-12, atol=1e-12)
        assert delta.abs().max() < 1e-12
        whole, _ = method.attribute(x, **kwargs)
        for i in range(2):
            assert torch.equal(whole[i], flat[i][mask[i]].expand(3, -1, -1))

    def test_a_tuple_sums_over_all_its_tensors(self):
        def forward(image, row):
            return curved(image) * (1 + row.sum(1)) + row[:, 0] ** 2

        inputs = (images(2), torch.rand(2, 4, dtype=torch.float64))
        got, delta = BPTOwen(forward).attribute(inputs, n_samples=50, return_convergence_delta=True)
        assert [a.shape for a in got] == [x.shape for x in inputs]
        change = forward(*inputs) - forward(*(torch.zeros_like(x) for x in inputs))
        torch.testing.assert_close(sum(a.flatten(1).sum(1) for a in got), change, rtol=1e-12, atol=1e-12)
        assert delta.abs().max() < 1e-12

    @pytest.mark.parametrize("mask", [None, torch.tensor([[0, 0, 1, 2, 2]])])
    def test_without_a_target_the_outputs_come_before_the_inputs_dimensions(self, mask):
        x = images(2, height=3, width=5)
        method = BPTOwen(two_scores, estimator=Exact(), hierarchy="axis_aligned")
        kwargs = {"feature_mask": mask, "n_samples": 10**6, "perturbations_per_eval": 500}
        if mask is None:
            x = x[:, :, :2, :2]
        got, delta = method.attribute(x, return_convergence_delta=True, **kwargs)
        assert got.shape == (2, 2, *x.shape[1:])
        assert delta.shape == (2, 2)
        assert delta.abs().max() < 1e-12
        flat = method.attribute(x, return_input_shape=False, **kwargs)
        assert flat.shape == (2, 2, 3 if mask is not None else 4)
        for c in range(2):
            torch.testing.assert_close(got[:, c], method.attribute(x, target=c, **kwargs))
            alone = method.attribute(x, target=c, return_input_shape=False, **kwargs)
            torch.testing.assert_close(flat[:, c], alone)

    def test_one_answer_per_batch_explains_the_batch_by_the_pixels_all_examples_share(self):
        x = images(2)
        for forward, rows in ((lambda t: curved(t).sum(), 1), (lambda t: t.flatten()[:5].cumsum(0), 5)):
            got, delta = BPTOwen(forward).attribute(x, n_samples=40, return_convergence_delta=True)
            assert got.shape == (rows, 3, 6, 5)
            change = forward(x) - forward(torch.zeros_like(x))
            torch.testing.assert_close(got.flatten(1).sum(1), change.reshape(rows), rtol=1e-12, atol=1e-12)
            flat = BPTOwen(forward).attribute(x, n_samples=40, return_input_shape=False)
            assert flat.shape == (rows, 30)
            assert delta.shape == (rows,)

    def test_the_tree_of_a_batch_with_one_answer_follows_all_its_images(self):
        x = images(2)
        got = BPTOwen(lambda t: curved(t).sum()).attribute(x, n_samples=20)
        (other,) = BPTOwen(lambda t: curved(t[[1, 0]]).sum()).attribute(x.flip(0), n_samples=20)
        torch.testing.assert_close(got[0], other, rtol=1e-9, atol=1e-12)

    def test_bfloat16_images_are_explained(self):
        x = images(dtype=torch.bfloat16)
        got = BPTOwen(lambda t: t.float().flatten(1).sum(1)).attribute(x, n_samples=40)
        assert got.dtype == torch.float32
        torch.testing.assert_close(got.sum(), x.float().sum(), rtol=1e-5, atol=0)


class TestTheTree:
    """Values are those of `owen` under the tree that the documentation names."""

    def test_every_example_has_the_tree_of_its_own_image(self):
        x = images(2)
        got = BPTOwen(curved).attribute(x, n_samples=50)
        for i in range(2):
            values = owens(curved, x[i : i + 1], np.arange(30).reshape(6, 5), bpt(x[i]), 50)
            np.testing.assert_allclose(got[i].sum(0).flatten(), values, rtol=1e-12)

    def test_the_baseline_does_not_change_the_tree(self):
        x = images()
        seen = [
            BPTOwen(curved).explain(x, baselines, n_samples=4)[0].diagnostics["nodes"][0].tolist()
            for baselines in (0.0, x.flip(3))
        ]
        assert seen[0] == seen[1]

    def test_the_tree_of_a_whole_batch_follows_the_channels_of_all_its_examples(self):
        x = images(2)
        got = BPTOwen(lambda t: curved(t).sum()).attribute(x, n_samples=50)
        tree = bpt(x.flatten(0, 1))
        values = owens(lambda t: curved(t.reshape(-1, *x.shape[1:])).reshape(-1, 2).sum(1), x.reshape(1, 6, 6, 5),
                       np.arange(30).reshape(6, 5), tree, 50)  # fmt: skip
        np.testing.assert_allclose(got[0].sum(0).flatten(), values, rtol=1e-10, atol=1e-12)

    def test_bytes_are_read_as_bytes(self):
        x = torch.tensor([[0, 1, 1, 0, 1, 0, 1, 1]], dtype=torch.uint8).reshape(1, 1, 2, 4)  # nearly black, not a mask

        def forward(t):
            return (t.double().flatten(1) * torch.arange(8.0)).sum(1) ** 2

        values = owens(forward, x, np.arange(8).reshape(2, 4), bpt(x[0].numpy().transpose(1, 2, 0)), 12)
        got = BPTOwen(forward).attribute(x, n_samples=12)
        np.testing.assert_allclose(got.flatten(), values, rtol=1e-12)

    @pytest.mark.parametrize("hierarchy", ["axis_aligned", axis_aligned])
    def test_nested_rectangles_are_a_choice(self, hierarchy):
        x = images()
        got = BPTOwen(curved, hierarchy=hierarchy).attribute(x, n_samples=50)
        values = owens(curved, x, np.arange(30).reshape(6, 5), axis_aligned((6, 5)), 50)
        np.testing.assert_allclose(got[0].sum(0).flatten(), values, rtol=1e-12)

    @pytest.mark.parametrize("shape", ["(6, 6)", "(1, 1, 6, 6)", "all channels"])
    @pytest.mark.parametrize("hierarchy", ["bpt", "axis_aligned"])
    def test_a_mask_of_regions_has_the_tree_of_these_regions(self, hierarchy, shape):
        x, tree = images(width=6), {"bpt": bpt, "axis_aligned": lambda _, labels: axis_aligned((6, 6), labels)}
        mask = {"(6, 6)": BLOCKS, "(1, 1, 6, 6)": BLOCKS[None, None], "all channels": BLOCKS.repeat(1, 3, 1, 1)}[shape]
        got = BPTOwen(curved, hierarchy=hierarchy).attribute(x, feature_mask=mask, n_samples=10)
        values = owens(curved, x, BLOCKS.numpy(), tree[hierarchy](x[0], BLOCKS.numpy()), 10)
        np.testing.assert_allclose(got[0, 0], values[BLOCKS], rtol=1e-12)

    def test_a_mask_that_broadcasts_along_an_image_is_a_partition_of_it(self):
        x, columns = images(), torch.tensor([0, 0, 1, 2, 1])
        got = BPTOwen(curved).attribute(x, feature_mask=columns)
        assert torch.equal(got, BPTOwen(curved).attribute(x, feature_mask=columns.expand(6, 5)))

    def test_a_function_gets_the_image_in_float64_with_channels_last_and_its_labels(self):
        seen = []

        def build(image, labels):
            seen.append((image, labels))
            return random_tree(labels.max() + 1, seed=3)

        x = images(dtype=torch.float32)
        got = BPTOwen(curved, hierarchy=build).attribute(x, n_samples=50)
        values = owens(curved, x, np.arange(30).reshape(6, 5), random_tree(30, seed=3), 50)
        np.testing.assert_allclose(got[0].sum(0).flatten(), values, rtol=1e-5)  # float32 in and out
        ((image, labels),) = seen
        assert image.dtype == np.float64
        np.testing.assert_array_equal(image, x[0].movedim(0, -1))
        np.testing.assert_array_equal(labels, np.arange(30).reshape(6, 5))

    @pytest.mark.parametrize("shape", [(1, 5), (1, 1, 5), (1, 5, 1, 1, 1)])
    def test_a_given_tree_serves_any_shape(self, shape):
        x, tree = torch.rand(shape, dtype=torch.float64), random_tree(5, seed=1)
        got = BPTOwen(curved, hierarchy=tree).attribute(x)
        expected = owen_by_flipping(lambda rows: curved(rows * x.reshape(1, 5)), tree)
        np.testing.assert_allclose(got.flatten(), expected, rtol=1e-9)

    def test_inputs_without_geometry_have_balanced_trees_joined_in_input_order(self):
        # players 0 and 4 are in both inputs and belong to the first; 1, 2, 3 come with the second
        masks = (torch.tensor([[4, 0, 4]]), torch.tensor([[1, 0, 3, 2, 4]]))
        tree = Hierarchy.from_merges([[0, 4, 1, 2], [2, 3, 2, 2], [1, 6, 3, 3], [5, 7, 4, 5]])
        assert sorted(map(sorted, members(tree)[5:])) == [[0, 1, 2, 3, 4], [0, 4], [1, 2, 3], [2, 3]]
        first, second = torch.rand(1, 3, dtype=torch.float64), torch.rand(1, 5, dtype=torch.float64)

        def forward(a, b):
            return curved(torch.cat([a, b], 1))

        got = BPTOwen(forward).attribute((first, second), feature_mask=masks)
        expected = owen_by_flipping(lambda s: forward(first * s[:, masks[0][0]], second * s[:, masks[1][0]]), tree)
        for attributions, mask in zip(got, masks, strict=True):
            np.testing.assert_allclose(attributions, expected[mask], rtol=1e-9)

    def test_three_inputs_are_joined_one_after_the_other(self):
        inputs = tuple(torch.rand(1, n, dtype=torch.float64) for n in (1, 2, 2))
        tree = Hierarchy.from_merges([[1, 2, 1, 2], [0, 5, 2, 3], [3, 4, 3, 2], [6, 7, 4, 5]])

        def forward(*parts):
            return curved(torch.cat(parts, 1))

        got = BPTOwen(forward).attribute(inputs)
        expected = owen_by_flipping(lambda s: curved(s * torch.cat(inputs, 1)), tree)
        np.testing.assert_allclose(torch.cat(got, 1)[0], expected, rtol=1e-9)

    @pytest.mark.parametrize("hierarchy", ["bpt", "axis_aligned"])
    def test_players_that_differ_between_channels_have_a_balanced_tree(self, hierarchy):
        x, mask = images(height=2, width=2), torch.tensor([0, 1, 1]).reshape(1, 3, 1, 1) + torch.tensor([0, 2])
        method = BPTOwen(curved, hierarchy=hierarchy)
        assert method.explain(x, feature_mask=mask)[0].diagnostics["structure"] == "balanced"
        got = method.attribute(x, feature_mask=mask)
        expected = owen_by_flipping(lambda s: curved(s[:, mask[0].expand(3, 2, 2)] * x), balanced(4))
        np.testing.assert_allclose(got[0], expected[mask[0].expand(3, 2, 2)], rtol=1e-9)

    def test_players_of_a_segmentation_may_differ_between_examples_and_start_anywhere(self):
        def segment(image):
            return (
                5 + (image[:, :, 0] > image[:, :, 0].mean()) if image[0, 0, 0] > 0.5 else np.full(image.shape[:2], -1)
            )

        x = torch.cat([images(), images()])
        x[:, 0, 0, 0] = torch.tensor([0.9, 0.1])
        got = BPTOwen(curved, segmentation=segment).attribute(x)
        assert [len(values.unique()) for values in got] == [2, 1]
        torch.testing.assert_close(got.flatten(1).sum(1), curved(x) - curved(torch.zeros_like(x)))


class TestSettings:
    @pytest.mark.parametrize("settings", [{}, {"feedback": Feedback()}, {"trees": 3}, {"estimator": "designed"}])
    @pytest.mark.parametrize("n_samples", [2, 3, 17, 60])
    def test_the_budget_holds_and_values_are_complete(self, settings, n_samples):
        spy, x = Spy(curved), images(2)
        got = BPTOwen(spy, **settings).attribute(x, n_samples=n_samples, perturbations_per_eval=4)
        assert sum(spy.calls) <= 2 * n_samples
        assert max(spy.calls) <= 8
        torch.testing.assert_close(got.flatten(1).sum(1), curved(x) - curved(torch.zeros_like(x)))

    def test_several_trees_take_one_draw_for_the_whole_batch(self):
        x, method = images(3), BPTOwen(curved, trees=3)
        torch.manual_seed(7)
        numpy_state = np.random.get_state()[1].tolist()
        whole = method.attribute(x, n_samples=30)
        after = torch.get_rng_state()
        torch.manual_seed(7)
        seed = int(torch.randint(2**63 - 1, (), dtype=torch.int64))
        assert torch.equal(torch.get_rng_state(), after)
        assert np.random.get_state()[1].tolist() == numpy_state
        for i in range(3):
            torch.manual_seed(7)
            assert torch.equal(method.attribute(x[i : i + 1], n_samples=30), whole[i : i + 1])
        assert torch.equal(method.attribute(x, n_samples=30, seed=seed), whole)
        assert not torch.equal(method.attribute(x, n_samples=30, seed=seed + 1), whole)

    def test_a_seed_for_several_trees_draws_nothing(self):
        state = torch.get_rng_state()
        BPTOwen(curved, trees=2).attribute(images(), n_samples=30, seed=1)
        assert torch.equal(torch.get_rng_state(), state)

    def test_several_trees_have_standard_errors_and_feedback_has_rounds(self):
        assert BPTOwen(curved, trees=3).explain(images(), n_samples=60, seed=0)[0].std_error.max() > 0
        rounds = BPTOwen(curved, feedback=Feedback(rounds=2)).explain(images(), n_samples=60)[0].diagnostics["rounds"]
        assert len(rounds) == 3

    @pytest.mark.parametrize("settings", [{"trees": 2}, {"feedback": Feedback()}])
    def test_a_function_is_asked_again_for_every_tree(self, settings):
        seen = []

        def build(image, labels, extra=None):
            seen.append((image.dtype, labels.shape))
            return bpt(image, labels, extra=extra)

        BPTOwen(curved, hierarchy=build, **settings).attribute(images(dtype=torch.float32), n_samples=30, seed=0)
        assert seen == [(np.float64, (6, 5))] * 2

    def test_the_estimator_and_the_tolerance_arrive(self):
        x = images()
        coarse = BPTOwen(curved, estimator=BestFirst(min_area=10)).explain(x)[0].diagnostics["n_regions"]
        assert 1 < coarse <= 6  # regions of more than 10 of 30 pixels are split
        early = BPTOwen(curved).explain(x, n_samples=1000, tol=0.5)[0]
        assert 2 < early.n_evals < 1000

    def test_the_progress_bar_ends_at_100_percent_after_an_early_stop(self, capsys):
        BPTOwen(curved).attribute(images(2), n_samples=1000, tol=0.5, show_progress=True)
        last = capsys.readouterr().err.rstrip("\n").rpartition("\r")[2]
        assert last.startswith("BPT Owen attribution: 100%")


class TestErrors:
    @pytest.mark.parametrize(
        ("settings", "error", "match"),
        [
            ({"hierarchy": "btp"}, ValueError, "hierarchy must be one of 'bpt', 'axis_aligned', got 'btp'"),
            ({"hierarchy": 3}, TypeError, "hierarchy must be 'bpt', 'axis_aligned', a Hierarchy or a function"),
            ({"hierarchy": Hierarchy}, TypeError, "a Hierarchy or a function"),
            ({"segmentation": np.zeros((2, 2))}, TypeError, r"segmentation must be a function .*feature_mask="),
            ({"estimator": "best-first"}, ValueError, "did you mean 'best_first'"),
            ({"estimator": BestFirst}, TypeError, "estimator must be one of"),
            ({"feedback": True}, TypeError, r"feedback must be None or a Feedback such as Feedback\(\), got True"),
            ({"trees": 0}, ValueError, "trees must be at least 1, got 0"),
            ({"trees": 2.0}, TypeError, "trees must be an int"),
            ({"trees": 2, "feedback": Feedback()}, ValueError, "exclude each other"),
            ({"trees": 2, "hierarchy": "axis_aligned"}, ValueError, "got 'axis_aligned'; fix"),
            ({"feedback": Feedback(), "hierarchy": balanced(3)}, ValueError, "got a Hierarchy, which is fixed"),
        ],
    )
    def test_settings_that_do_not_fit_are_refused_at_once(self, settings, error, match):
        with pytest.raises(error, match=match) as caught:
            BPTOwen(curved, **settings)
        assert isinstance(caught.value, AssertionError)

    @pytest.mark.parametrize(
        ("settings", "x", "kwargs", "match"),
        [
            ({}, X, {"n_samples": 1}, r"n_samples must be at least 2 \(f\(x\) and f\(baseline\)\), got 1"),
            ({"segmentation": grid}, images(), {"feature_mask": BLOCKS}, "leave one of the two out"),
            ({"segmentation": grid}, X, {}, r"segmentation needs one input of shape \(N, C, H, W\), got \(1, 3\)"),
            ({"segmentation": lambda i: np.zeros((2, 2), int)}, images(), {}, r"\(H, W\) = \(6, 5\), got \(2, 2\)"),
            ({"segmentation": lambda i: i[:, :, 0]}, images(), {}, "labels must be integers"),
            ({"hierarchy": balanced(4)}, X, {}, "over the game's 3 players, got a tree of 4"),
            ({"hierarchy": lambda i, labels: balanced(4)}, images(), {}, "30 players, got a tree of 4"),
            ({"hierarchy": by_channel}, X, {}, r"hierarchy as a function needs one input of shape \(N, C, H, W\)"),
            ({"trees": 2}, X, {}, r"trees > 1 needs one input of shape \(N, C, H, W\) .* got \(1, 3\)"),
            ({"feedback": Feedback()}, X, {}, r"feedback needs one input of shape"),
            ({"estimator": "exact"}, images(), {}, "cost .* evaluations, more than the 1,000"),
            ({"estimator": BestFirst(steer=1)}, X, {}, r"steer must be one of the outputs 0\.\.0"),
            ({}, images() * float("nan"), {"baselines": 0}, "image holds NaN"),
            ({}, X, {"tol": 0.0}, "tol must be a positive finite number"),
        ],
    )
    def test_calls_that_do_not_fit_are_refused(self, settings, x, kwargs, match):
        with pytest.raises(ValueError, match=match):
            BPTOwen(lambda t: torch.nan_to_num(t).flatten(1).sum(1), **settings).attribute(x, **kwargs)

    def test_a_function_that_returns_no_tree_is_a_type_error(self):
        with pytest.raises(TypeError, match="hierarchy must be a Hierarchy, got ndarray"):
            BPTOwen(curved, hierarchy=lambda image, labels: np.zeros((29, 4))).attribute(images())


def test_the_defaults_are_a_binary_partition_tree_best_first_and_a_thousand_evaluations():
    x = images()
    defaults = BPTOwen(curved).attribute(x)
    spelt_out = BPTOwen(
        curved, hierarchy="bpt", segmentation=None, estimator=BestFirst(), feedback=None, trees=1
    ).attribute(x, n_samples=1000, perturbations_per_eval=1)  # fmt: skip
    assert torch.equal(defaults, spelt_out)
    assert BPTOwen(BasicModel_MultiLayer()).explain(X, target=0)[0].estimand == "Owen"
