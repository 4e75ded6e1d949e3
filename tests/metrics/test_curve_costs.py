"""How often the model is asked, and what is left when there is no answer."""

import pytest
import torch

from tests.metrics.examples import Spy, curved, examples, linear
from tests.metrics.laws import world
from xai_ext.metrics import Protocol, Status, deletion, deletion_insertion, insertion, srg


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
