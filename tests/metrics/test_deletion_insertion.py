"""Deletion, insertion and SRG, against curves worked out position by position."""

from itertools import permutations
from typing import ClassVar

import numpy as np
import pytest
import torch

from tests.metrics.examples import Spy, by_hand, curved, examples, linear
from tests.metrics.laws import VECTORS, MetricLaws
from xai_ext.metrics import Protocol, deletion, deletion_insertion, insertion, srg

ONE_BY_ONE = Protocol(step_size=1)


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
