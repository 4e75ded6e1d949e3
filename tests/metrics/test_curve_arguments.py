"""Scores, features, forms of explanations, and what is refused."""

import numpy as np
import pytest
import torch

from tests.metrics.examples import Spy, curved, examples, linear
from tests.metrics.laws import world
from xai_ext import Explanation
from xai_ext.metrics import Protocol, deletion


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
        maps = 0.1 * (self.labels != -1).double()  # 3 * 0.1 / 3 would not be 0.1 in floating point
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
        with pytest.raises(ValueError, match=r"outputs of shape \(2, 1\); fix: pass density_map"):
            deletion(curved, x, [explanation(values[:, :, None])] * 2)

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

    def test_half_precision_maps_are_read(self):
        x, maps = examples(1, 1, 2, 3), torch.arange(6.0).reshape(1, 2, 3)
        for dtype in (torch.bfloat16, torch.float16, torch.int64):
            assert torch.equal(deletion(curved, x, maps.to(dtype)), deletion(curved, x, maps))

    def test_a_progress_bar_changes_nothing(self, capsys):
        given = world()
        arguments = given.model, given.inputs, given.maps, None, None, given.target
        assert torch.equal(deletion(*arguments, show_progress=True), deletion(*arguments))

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"attributions": torch.ones(2, 3, 3)}, r"fix: xai_ext.metrics.resize_map\(attributions, \(2, 3\)\)"),
            ({"attributions": torch.ones(2, 2, 3, 1)}, 'layout="channels_last"'),
            ({"attributions": torch.ones(2, 3, 2, 3)}, r"positions \(2, 3\) of an input with 1 channel"),
            ({"attributions": torch.ones(3, 2, 3)}, "attributions hold 3 examples, inputs 2"),
            ({"attributions": (torch.ones(2, 2, 3), torch.ones(2, 2, 3))}, r"one map per input \(1\), got 2"),
            (
                {"attributions": (torch.ones(2, 2, 3), torch.ones(1, 2, 3))},
                r"as many examples for each input, got \[1, 2\]",
            ),
            ({"attributions": ()}, "hold no example"),
            ({"attributions": [[1.0]]}, "must be a tensor, an array"),
            ({"attributions": {}}, "at least one map"),
            ({"attributions": np.array([["a"]])}, "must be numbers"),
            ({"map_kind": "regions"}, "did you mean 'region'"),
            ({"layout": "last"}, "layout must be one of"),
            ({"inputs": None}, "inputs must be given unless"),
            ({"max_examples_per_batch": 0}, "max_examples_per_batch must be at least 1"),
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
