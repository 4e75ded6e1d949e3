"""Deletion, insertion and SRG, against curves worked out position by position."""

from itertools import permutations
from typing import ClassVar

import numpy as np
import pytest
import torch

from tests.metrics.laws import VECTORS, MetricLaws, world
from xai_ext import Explanation
from xai_ext.metrics import Protocol, Status, deletion, deletion_insertion, insertion, srg

ONE_BY_ONE = Protocol(step_size=1)


class Spy:
    """Counts the rows it sees and remembers them."""

    def __init__(self, function):
        self.function, self.rows, self.largest = function, [], 0

    def __call__(self, images, *extra):
        self.rows += list(images.clone())
        self.largest = max(self.largest, len(images))
        return self.function(images, *extra)


def linear(weights):
    weights = torch.as_tensor(weights, dtype=torch.float64)
    return lambda images: (images * weights).flatten(1).sum(1)


def curved(images):
    """A score that is not additive."""
    return torch.tanh(images.flatten(1).sum(1) / 4) + images.flatten(1).amax(1)


def by_hand(function, x, baseline, saliency, counts):
    """Deletion and insertion scores of one example whose positions (all channels) leave one after the other."""
    order = sorted(np.ndindex(saliency.shape), key=lambda position: -saliency[position])
    scores = []
    for count in counts:
        gone, back = x.clone(), baseline.clone()
        for position in order[:count]:
            gone[(slice(None), *position)] = baseline[(slice(None), *position)]
            back[(slice(None), *position)] = x[(slice(None), *position)]
        scores.append([float(function(image[None])) for image in (gone, back)])
    return np.array(scores).T


def examples(*shape, seed=0):
    rng = np.random.default_rng(seed)
    return torch.from_numpy(rng.normal(size=shape))


class TestDeletion(MetricLaws):
    function = staticmethod(deletion)
    options: ClassVar = {"protocol": Protocol(step_size=3)}


class TestInsertion(MetricLaws):
    function = staticmethod(insertion)
    options: ClassVar = {"protocol": Protocol(n_steps=5, channel_reduce="mean")}


class TestVectors:
    def test_linear_model(self):
        vector = VECTORS["cf-linear-1"]
        given, expected = vector["inputs"], vector["expected"]
        x = torch.tensor([given["x"]], dtype=torch.float64)
        for how, suffix in (("none", ""), ("range", "_normalised")):
            found = deletion_insertion(
                linear(given["w"]), x, torch.tensor([given["attributions"]]), protocol=Protocol(normalize=how)
            )
            assert found.deletion.item() == pytest.approx(expected[f"deletion_auc{suffix}"], abs=vector["tol"])
            assert found.insertion.item() == pytest.approx(expected[f"insertion_auc{suffix}"], abs=vector["tol"])
            assert found.deletion_curve.curve[0].tolist() == expected["deletion_curve"]
            assert found.insertion_curve.curve[0].tolist() == expected["insertion_curve"]
            assert found.deletion_curve.aopc.item() == pytest.approx(expected["aopc_including_k0"], abs=vector["tol"])
        assert srg(linear(given["w"]), x, torch.tensor([given["attributions"]])).item() == pytest.approx(
            expected["srg_lif_minus_mif"], abs=vector["tol"]
        )

    @pytest.mark.parametrize(
        ("ties", "key"), [("group", "plateau_steps"), ("stable", "stable_raster"), ("reverse", "reverse")]
    )
    def test_ties(self, ties, key):
        given, expected = VECTORS["cf-ties"]["inputs"], VECTORS["cf-ties"]["expected"]
        x, maps = (torch.tensor([given[name]], dtype=torch.float64) for name in ("x", "attributions"))
        assert deletion(linear(given["w"]), x, maps, protocol=Protocol(ties=ties)).item() == expected[f"auc_{key}"]
        assert expected["auc_plateau_steps"] == expected["auc_mean_over_all_orders"]

    def test_a_position_is_all_its_channels(self):
        given, expected = VECTORS["cf-rgb"]["inputs"], VECTORS["cf-rgb"]["expected"]
        x, maps = (torch.tensor([given[name]], dtype=torch.float64) for name in ("x", "attributions_1x2x2"))
        model = Spy(linear(given["w"]))
        found = deletion(model, x, maps, max_examples_per_batch=3, return_curve=True)
        assert found.auc.item() == expected["deletion_auc"]
        assert found.curve[0].tolist() == expected["deletion_curve"]
        assert len(model.rows) == expected["n_model_rows"] == found.n_evals.item()


class TestAgainstTheHand:
    @pytest.mark.parametrize("channels", [1, 3, 5])
    @pytest.mark.parametrize("baseline", [0.0, 0.5])
    def test_curves_of_images_that_are_not_square(self, channels, baseline):
        x, maps = examples(2, channels, 4, 7), examples(2, 4, 7, seed=1)
        found = deletion_insertion(curved, x, maps, baseline, protocol=Protocol(n_steps=5), max_examples_per_batch=4)
        counts = [0, 6, 11, 17, 22, 28]  # multiples of 5.6
        for i in range(2):
            low, high = by_hand(curved, x[i], torch.full_like(x[i], baseline), maps[i].numpy(), counts)
            np.testing.assert_allclose(found.deletion_curve.curve[i], low, rtol=1e-12)
            np.testing.assert_allclose(found.insertion_curve.curve[i], high, rtol=1e-12)
            assert found.deletion[i].item() == pytest.approx(np.trapezoid(low, np.array(counts) / 28), rel=1e-12)
            assert found.insertion[i].item() == pytest.approx(np.trapezoid(high, np.array(counts) / 28), rel=1e-12)

    def test_tables_and_signals_have_their_own_positions(self):
        table, signal = examples(1, 6), examples(1, 2, 6, seed=1)
        for x in (table, signal):
            maps = examples(1, 6, seed=2)
            low, _ = by_hand(
                curved, x[0].reshape(-1, 6), torch.zeros(x[0].reshape(-1, 6).shape), maps[0].numpy(), range(7)
            )
            found = deletion(curved, x, maps, protocol=ONE_BY_ONE, return_curve=True)
            np.testing.assert_allclose(found.curve[0], low, rtol=1e-12)

    def test_without_channels_every_element_is_a_position(self):
        x, maps = examples(1, 2, 3, 2), examples(1, 2, 3, 2, seed=1)
        low, _ = by_hand(curved, x, torch.zeros_like(x), maps[0].numpy(), range(13))
        found = deletion(curved, x, maps, protocol=Protocol(step_size=1, channel_dim=None), return_curve=True)
        np.testing.assert_allclose(found.curve[0], low, rtol=1e-12)

    @pytest.mark.parametrize("channel_dim", [2, -1])
    def test_channels_may_come_last(self, channel_dim):
        x, maps = examples(2, 5, 3), examples(2, 5, 3, seed=1)  # tokens with an embedding
        moved = deletion(curved, x.movedim(2, 1), maps.movedim(2, 1))
        found = deletion(curved, x, maps, protocol=Protocol(channel_dim=channel_dim))
        torch.testing.assert_close(found, moved, rtol=1e-12, atol=0)

    def test_an_image_and_a_table_are_ranked_together(self):
        image, table, weights = examples(1, 1, 2, 3), examples(1, 4, seed=1), examples(10, seed=2)
        maps = examples(1, 1, 2, 3, seed=3), examples(1, 4, seed=4)

        def model(image, table):
            return curved(torch.cat([image.flatten(1), table], 1) * weights)

        joined, joined_map = torch.cat([image.flatten(1), table], 1), torch.cat([maps[0].flatten(1), maps[1]], 1)
        expected = deletion(lambda x: curved(x * weights), joined, joined_map, 0.25)
        torch.testing.assert_close(deletion(model, (image, table), maps, (0.25, 0.25)), expected, rtol=1e-12, atol=0)


class TestAdditiveModels:
    """For f(x) = sum of w x the value of every map is known."""

    def test_insertion_and_deletion_sum_to_both_ends(self):
        x, weights, baseline = examples(3, 3, 5, 4), examples(3, 5, 4, seed=1), examples(1, 3, 5, 4, seed=2)
        maps = examples(3, 5, 4, seed=3).round(decimals=1)  # with ties
        model = linear(weights)
        for n_steps in (1, 7, 28):
            found = deletion_insertion(model, x, maps, baseline, protocol=Protocol(n_steps=n_steps))
            ends = model(x) + model(baseline)
            torch.testing.assert_close(found.deletion + found.insertion, ends, rtol=0, atol=1e-9)
            torch.testing.assert_close(found.srg, found.insertion - found.deletion, rtol=0, atol=0)

    def test_the_contributions_delete_fastest_of_all_orders(self):
        x, weights = examples(1, 6), examples(6, seed=1)
        orders = torch.tensor(list(permutations(range(6))), dtype=torch.float64)
        areas = deletion(linear(weights), x.expand(720, 6), orders)
        best = deletion(linear(weights), x, x * weights).item()
        assert best == pytest.approx(areas.min().item(), abs=1e-12)
        assert deletion(linear(weights), x, -x * weights).item() == pytest.approx(areas.max().item(), abs=1e-12)
        constant = deletion(linear(weights), x, torch.ones(1, 6)).item()
        assert constant == pytest.approx(areas.mean().item(), abs=1e-12)

    def test_srg_is_removing_the_lowest_first_minus_the_highest_first(self):
        x, maps = examples(2, 3, 5, 4), examples(2, 5, 4, seed=1).round(decimals=1)
        gap = deletion(curved, x, -maps) - deletion(curved, x, maps)
        torch.testing.assert_close(srg(curved, x, maps), gap, rtol=1e-12, atol=1e-14)

    @pytest.mark.parametrize("axis", ["pixels", "features"])
    def test_regions_leave_in_the_best_order_of_their_axis(self, axis):
        labels = torch.tensor([[0, 0, 0, 0, 1], [0, 2, 2, 3, 1]])
        weights = torch.tensor([[1.0, 2.0, -1.0, 0.5, 2.5], [0.1, 0.3, 0.5, 2.0, 0.2]], dtype=torch.float64)
        sizes, values = np.array([5, 2, 2, 1]), np.array([2.6, 2.7, 0.8, 2.0])
        areas = []
        for order in permutations(range(4)):
            left = np.append(values.sum(), values.sum() - np.cumsum(values[list(order)]))
            widths = sizes[list(order)] / 10 if axis == "pixels" else np.full(4, 1 / 4)
            areas.append((widths * (left[1:] + left[:-1]) / 2).sum())
        found = deletion(
            linear(weights), torch.ones(1, 1, 2, 5), weights[None], feature_mask=labels, protocol=Protocol(axis=axis)
        )
        assert found.item() == pytest.approx(min(areas), abs=1e-12)
        assert sorted(areas)[1] > min(areas) + 1e-3


class TestFeatureMasks:
    labels = torch.tensor([[7, 7, 2], [-1, 2, 2]])  # ids with gaps

    def test_a_region_is_never_split(self):
        model = Spy(curved)
        maps = examples(1, 2, 3)
        for ties in ("group", "stable"):
            deletion(model, torch.ones(1, 1, 2, 3), maps, feature_mask=self.labels, protocol=Protocol(ties=ties))
        for row in model.rows:
            assert all(len(row[0][self.labels == i].unique()) == 1 for i in (7, 2, -1))

    @pytest.mark.parametrize(("axis", "counts"), [("pixels", [0, 2, 3, 6]), ("features", [0, 1, 2, 3])])
    def test_a_region_map_and_a_density_map_say_the_same(self, axis, counts):
        region, sizes = torch.tensor([[4.0, 4, 0.75], [0.5, 0.75, 0.75]]), torch.tensor([[2.0, 2, 3], [1, 3, 3]])
        arguments = {"feature_mask": self.labels, "protocol": Protocol(axis=axis), "return_curve": True}
        first = deletion(curved, examples(1, 3, 2, 3), region[None], map_kind="region", **arguments)
        second = deletion(curved, examples(1, 3, 2, 3), region[None] / sizes, **arguments)
        assert torch.equal(first.curve, second.curve)
        assert first.counts[0].tolist() == second.counts[0].tolist() == counts

    def test_regions_of_equal_value_stay_tied_whatever_their_size(self):
        maps = torch.where(self.labels == -1, 0.0, 0.1)  # 3 * 0.1 / 3 would not be 0.1 in floating point
        found = deletion(
            curved,
            examples(1, 1, 2, 3),
            maps[None],
            feature_mask=self.labels,
            map_kind="region",
            protocol=Protocol(axis="features"),
            return_curve=True,
        )
        assert found.counts[0].tolist() == [0, 2, 3]

    def test_every_example_may_have_its_own(self):
        x, maps = examples(2, 1, 2, 3), examples(2, 2, 3, seed=1)
        masks = torch.stack([self.labels, self.labels.flip(1)])[:, None]
        both = deletion(curved, x, maps, feature_mask=masks)
        singles = [deletion(curved, x[i : i + 1], maps[i : i + 1], feature_mask=masks[i, 0]) for i in range(2)]
        assert torch.equal(both, torch.cat(singles))

    def test_an_id_in_two_inputs_is_one_feature(self):
        model = Spy(lambda x: x.sum(1))
        inputs, maps = (torch.ones(1, 2), torch.ones(1, 3)), (torch.tensor([[5.0, 1]]), torch.tensor([[5.0, 2, 2]]))
        masks = torch.tensor([[0, 1]]), torch.tensor([[0, 2, 2]])
        found = deletion(
            lambda a, b: model(torch.cat([a, b], 1)),
            inputs,
            maps,
            feature_mask=masks,
            protocol=Protocol(axis="features"),
            max_examples_per_batch=1,
            return_curve=True,
        )
        assert found.counts[0].tolist() == [0, 1, 2, 3]
        assert found.curve[0].tolist() == [5, 3, 1, 0]  # 10, then 4, then 1

    def test_masks_that_differ_between_channels_are_refused(self):
        labels = torch.arange(2).reshape(1, 2, 1, 1)
        with pytest.raises(ValueError, match="same for all channels"):
            deletion(curved, examples(1, 2, 2, 3), examples(1, 2, 3), feature_mask=labels)


class TestEvaluations:
    def run(self, maps, function=deletion_insertion, shape=(1, 1, 12, 14), **options):
        model = Spy(curved)
        found = function(model, examples(*shape), maps, max_examples_per_batch=8, **options)
        assert model.largest <= 8
        return found, len(model.rows)

    def test_both_curves_cost_56_rows(self):
        found, rows = self.run(examples(1, 12, 14, seed=1))
        assert rows == found.n_evals.item() == 56

    def test_each_further_map_costs_54(self):
        maps = {str(i): examples(1, 12, 14, seed=i) for i in range(5)}
        found, rows = self.run(maps)
        assert rows == 2 + 54 * 5
        assert all(f.n_evals.item() == rows for f in found.values())

    def test_maps_of_equal_order_cost_nothing(self):
        saliency = examples(1, 12, 14, seed=1)
        found, rows = self.run({"map": saliency, "cube": saliency**3, "opposite": -saliency})  # 168 = 6 * 28
        assert rows == 56
        assert torch.equal(found["map"].deletion, found["cube"].deletion)
        torch.testing.assert_close(found["map"].srg, -found["opposite"].srg, rtol=1e-12, atol=1e-12)

    @pytest.mark.parametrize("n_groups", [1, 2, 5, 28])
    def test_few_groups_cost_two_rows_each(self, n_groups):
        maps = torch.arange(168).remainder(n_groups).double().reshape(1, 12, 14)
        found, rows = self.run(maps)
        assert rows == 2 * n_groups
        assert found.deletion_curve.n_groups.item() == n_groups

    def test_one_curve_costs_29_rows(self):
        for function in (deletion, insertion):
            assert self.run(examples(1, 12, 14, seed=1), function)[1] == 29

    def test_the_ends_are_evaluated_once_per_example(self):
        model, x = Spy(curved), examples(2, 1, 4, 4)
        deletion_insertion(model, x, {"a": examples(2, 4, 4), "b": -examples(2, 4, 4)}, 9.0, max_examples_per_batch=8)
        for i in range(2):
            assert sum(torch.equal(row, x[i]) for row in model.rows) == 1
        assert sum(bool((row == 9).all()) for row in model.rows) == 2

    def test_a_map_that_is_not_finite_costs_nothing(self):
        assert self.run(torch.full((1, 12, 14), torch.nan))[1] == 0

    def test_a_blurred_start_for_insertion_leaves_srg_undefined(self):
        x, maps = examples(1, 1, 12, 14), examples(1, 12, 14, seed=1)
        found, rows = self.run(maps, insertion_baselines=0.7)
        assert rows == found.n_evals.item() == 58
        assert found.srg.isnan().all()
        assert torch.equal(found.deletion, deletion(curved, x, maps))
        assert torch.equal(found.insertion, insertion(curved, x, maps, 0.7))

    def test_the_bundle_holds_what_the_single_metrics_return(self):
        given = world()
        arguments = given.model, given.inputs, given.maps, None, None, given.target
        found = deletion_insertion(*arguments, max_examples_per_batch=7)
        for function in (deletion, insertion, srg):
            alone = function(*arguments, max_examples_per_batch=7)
            assert torch.equal(getattr(found, function.__name__), alone)


class TestStatus:
    @pytest.mark.parametrize("normalize", ["none", "range", "range_clipped"])
    def test_each_example_has_its_own(self, normalize):
        x = torch.ones(4, 1, 2, 2, dtype=torch.float64)
        x[3] = 0  # equals the baseline
        maps = examples(4, 2, 2)
        maps[0, 0, 0], maps[1] = torch.nan, 3.0
        found = deletion_insertion(curved, x, maps, protocol=Protocol(normalize=normalize))
        flat = Status.OK if normalize == "none" else Status.FLAT_SCORE
        assert found.status.tolist() == [Status.NON_FINITE, Status.CONSTANT, Status.OK, flat]
        assert found.status.dtype == torch.int8
        for values in (found.deletion, found.insertion, found.srg):
            assert values.isnan().tolist() == [True, False, False, normalize != "none"]

    def test_a_score_of_zero_cannot_be_divided_by(self):
        found = deletion(
            linear([1.0, -1.0]),
            torch.ones(1, 2),
            torch.tensor([[1.0, 2.0]]),
            protocol=Protocol(normalize="original"),
            return_curve=True,
        )
        assert found.auc.isnan().all()
        assert found.status.tolist() == [Status.FLAT_SCORE]
        assert found.curve[0].tolist() == [0, 1, 0]  # the raw curve stays

    def test_short_curves_repeat_their_last_point(self):
        maps = torch.stack([torch.ones(6), torch.arange(6.0)])
        found = deletion(curved, examples(2, 6), maps, return_curve=True)
        assert found.counts.tolist() == [[0, 6, 6, 6, 6, 6, 6], [0, 1, 2, 3, 4, 5, 6]]
        assert (found.curve[0, 1:] == found.curve[0, 1]).all()


class TestScores:
    @pytest.mark.parametrize("target", [2, [2, 0, 1], torch.tensor([2, 0, 1]), (2,)])
    @pytest.mark.parametrize("score", ["prob", "log_prob", "margin"])
    def test_a_score_is_a_model_that_returns_it(self, target, score):
        given = world(n=3)

        def scored(images):
            outputs = given.model(images)
            rival = outputs[:, :, None].masked_fill(torch.eye(3, dtype=torch.bool), -torch.inf).amax(1)
            return {"prob": outputs.softmax(1), "log_prob": outputs.log_softmax(1), "margin": outputs - rival}[score]

        found = deletion(given.model, given.inputs, given.maps, target=target, protocol=Protocol(score=score))
        expected = deletion(scored, given.inputs, given.maps, target=target)
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-14)

    def test_a_function_of_outputs_and_target(self):
        given = world(n=3)
        doubled = Protocol(score=lambda outputs, target: 2 * outputs[:, target])
        arguments = given.model, given.inputs, given.maps, None, None, [0, 1, 2]
        torch.testing.assert_close(deletion(*arguments, protocol=doubled), 2 * deletion(*arguments))

    def test_several_outputs_need_a_target(self):
        given = world()
        with pytest.raises(ValueError, match=r"fix: target=model\(x\).argmax\(1\)"):
            deletion(given.model, given.inputs, given.maps)

    def test_tuple_targets_index_further_dimensions(self):
        given = world()
        target = [(0, 1), (1, 1), (2, 1), (0, 1)]
        found = deletion(
            lambda x: given.model(x)[:, :, None] * torch.tensor([0.0, 1.0]), given.inputs, given.maps, target=target
        )
        assert torch.equal(found, deletion(given.model, given.inputs, given.maps, target=given.target))


class TestArguments:
    def test_extra_arguments_follow_their_example(self):
        x, maps, scale = examples(3, 1, 2, 3), examples(3, 2, 3, seed=1), torch.tensor([1.0, 2.0, 3.0])
        found = deletion(lambda x, s, c: curved(x) * s + c, x, maps, 0, (scale, 5.0))
        torch.testing.assert_close(found, deletion(curved, x, maps) * scale + 5, rtol=1e-6, atol=0)  # float32 scale

    def test_a_baseline_may_be_a_function_of_the_inputs(self):
        x, maps = examples(2, 1, 2, 3), examples(2, 2, 3, seed=1)
        found = deletion(curved, x, maps, lambda inputs: inputs.flip(-1))
        assert torch.equal(found, deletion(curved, x, maps, x.flip(-1)))

    def test_an_explanation_enters_as_its_density(self):
        labels, values = np.array([[0, 0, 0], [1, 2, 2]]), np.array([[3.0, -1], [1.5, 5], [0.5, 7]])
        x = examples(2, 3, 2, 3)

        def explanation(values):
            return Explanation(values, values * 0, (labels,), 0.0, 0.0, 0, "LIME")

        density = torch.from_numpy((values[:, 1] / [3, 1, 2])[labels])
        expected = deletion(curved, x, torch.stack([density, -density]))
        found = deletion(curved, x, [explanation(values), explanation(-values)], output=1)
        assert torch.equal(found, expected)
        assert torch.equal(deletion(curved, x[:1], explanation(values[:, 1])), expected[:1])
        with pytest.raises(ValueError, match="has 2 outputs; fix: output="):
            deletion(curved, x, [explanation(values)] * 2)

    def test_an_explanation_by_columns_covers_its_image(self):
        explanation = Explanation(np.array([1.0, 3, 2]), np.zeros(3), (np.array([[0, 1, 2]]),), 0.0, 0.0, 0, "LIME")
        x = examples(1, 1, 2, 3)
        columns = torch.tensor([[[1.0, 3, 2], [1, 3, 2]]])
        assert torch.equal(deletion(curved, x, explanation), deletion(curved, x, columns))

    def test_one_region_of_an_explanation_is_one_feature(self):
        labels, values = np.array([[0, 0, 0], [1, 2, 2]]), np.array([3.0, 1.5, 2.0])
        explanation = Explanation(values, values * 0, (labels,), 0.0, 0.0, 0, "LIME")
        model = linear(values[labels])
        found = deletion(
            model,
            torch.ones(1, 1, 2, 3),
            explanation,
            feature_mask=labels,
            map_kind="region",
            protocol=Protocol(axis="features"),
            return_curve=True,
        )
        assert found.curve[0].tolist() == [14.5, 5.5, 1.5, 0]  # 3 * 3, then 2 * 2, then 1.5

    def test_a_progress_bar_changes_nothing(self, capsys):
        given = world()
        arguments = given.model, given.inputs, given.maps, None, None, given.target
        assert torch.equal(deletion(*arguments, show_progress=True), deletion(*arguments))

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"attributions": torch.ones(2, 3, 3)}, r"fix: xai_ext.metrics.resize_map\(attributions, \(2, 3\)\)"),
            ({"attributions": torch.ones(2, 2, 3, 1)}, 'layout="channels_last"'),
            ({"attributions": torch.ones(3, 2, 3)}, "attributions hold 3 examples, inputs 2"),
            ({"attributions": (torch.ones(2, 2, 3), torch.ones(2, 2, 3))}, r"one map per input \(1\), got 2"),
            ({"attributions": [[1.0]]}, "must be a tensor, an array"),
            ({"attributions": {}}, "at least one map"),
            ({"attributions": np.array([["a"]])}, "must be numbers"),
            ({"map_kind": "regions"}, "did you mean 'region'"),
            ({"layout": "last"}, "layout must be one of"),
            ({"inputs": None}, "inputs must be given unless"),
            ({"max_examples_per_batch": 0}, "batch_size must be at least 1"),
            ({"target": 3}, "does not index"),
        ],
    )
    def test_what_cannot_be_used_is_refused(self, change, message):
        given = {"inputs": examples(2, 1, 2, 3), "attributions": examples(2, 2, 3), "forward_func": curved}
        with pytest.raises((ValueError, TypeError), match=message):
            deletion(**(given | change))

    def test_inputs_must_agree_in_their_number_of_examples(self):
        with pytest.raises(ValueError, match=r"agree in dimension 0, the examples, got \[2, 3\]"):
            deletion(lambda a, b: curved(a), (torch.ones(2, 2), torch.ones(3, 2)), (torch.ones(2, 2), torch.ones(3, 2)))


class TestProtocol:
    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"n_steps": 0}, "n_steps must be at least 1"),
            ({"step_size": 0}, "step_size must be at least 1"),
            ({"step_size": 2.5}, "step_size must be an int"),
            ({"ties": "random order"}, "ties must be one of"),
            ({"axis": "pixel"}, "did you mean 'pixels'"),
            ({"sign": "negative"}, "sign must be one of"),
            ({"channel_reduce": "max_abz"}, "did you mean 'max_abs'"),
            ({"score": "softmax"}, "score must be one of"),
            ({"score": 1}, "score must be None, a name or a function"),
            ({"normalize": "clip"}, "normalize must be one of"),
        ],
    )
    def test_what_does_not_exist_is_refused(self, change, message):
        with pytest.raises((ValueError, TypeError), match=message):
            Protocol(**change)

    @pytest.mark.parametrize("channel_dim", [0, 4, -4, -5])
    def test_channels_are_no_batch(self, channel_dim):
        with pytest.raises(ValueError, match=r"channel_dim must be one of 1..3 or None"):
            deletion(curved, examples(1, 1, 2, 3), examples(1, 2, 3), protocol=Protocol(channel_dim=channel_dim))

    @pytest.mark.parametrize(
        ("reduce", "expected"),
        [("sum", [1, -1]), ("mean", [0.5, -0.5]), ("abs_sum", [5, 3]), ("max", [3, 1]), ("max_abs", [3, 2])],
    )
    def test_channels_are_joined_before_the_sign(self, reduce, expected):
        from xai_ext.metrics._adapt import Reading, grid_of, read, views

        reading = Reading(channel_reduce=reduce)
        ((view,),) = views(np.array([[[3.0, 1.0], [-2.0, -2.0]]]), 1, reading)
        np.testing.assert_array_equal(read(view, grid_of((2, 2), reading), reading), expected)

    @pytest.mark.parametrize(("sign", "groups"), [("signed", 4), ("positive", 3), ("abs", 2)])
    def test_the_sign_decides_what_is_ranked(self, sign, groups):
        maps = torch.tensor([[-2.0, -1.0, 1.0, 2.0]])
        found = deletion(curved, examples(1, 4), maps, protocol=Protocol(sign=sign), return_curve=True)
        assert found.n_groups.item() == groups
