"""What IASSA costs, against a spy that counts, and what makes it stop."""

import math
import warnings

import numpy as np
import pytest
import torch

from tests.methods.window_models import disc_model, one_level
from xai_ext import MaskedModel
from xai_ext.methods.iassa import Level, Schedule, iassa


class TestBudget:
    @pytest.mark.parametrize("shape", [(224, 224), (112, 112), (97, 130), (400,), (32, 32, 32)])
    def test_it_is_never_exceeded_nor_wasted(self, shape):
        schedule = Schedule.geometric(shape)
        where = tuple(slice(n // 3, n // 2) for n in shape)
        for budget in (3, 4, 17, 90, 300, 700, 1000, *(() if math.prod(shape) > 20_000 else (2000,))):
            seen = []

            def forward(x, seen=seen):
                seen.append(len(x))
                return x[(slice(None), 0, *where)].flatten(1).mean(1)

            model = MaskedModel(forward, torch.ones(1, 1, *shape), batch_size=32)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # windows grow at the smallest budgets
                explanation = iassa(model, budget=budget)
            levels = explanation.diagnostics["levels"]
            assert explanation.n_evals == sum(seen) <= budget
            for plan, level in zip(schedule.plan(shape, budget), levels, strict=False):
                assert level["n_windows"] <= plan.max_windows
                assert plan.stride in (None, level["stride"])
            dense = max(levels[-1]["stride"]) == 1  # what is left over moves on, and nothing comes after
            # the next denser stride of a cube of 3 costs 27 / 8 times as much
            assert budget < 300 or dense or explanation.n_evals >= (0.8 if len(shape) < 3 else 0.5) * budget

    def test_windows_grow_with_a_warning_when_the_budget_is_too_small(self):
        with pytest.warns(UserWarning, match="budget is too small"):
            explanation = iassa(disc_model(), budget=6)
        assert explanation.diagnostics["levels"][0]["window"] == (32, 32)

    def test_windows_seen_before_are_not_run_again(self):
        model = disc_model(16, 5, 9, 3)
        level = Level((6, 6), (2, 2))
        explanation = iassa(model, Schedule((level, level), region_rule="all"), budget=200)
        assert explanation.n_evals == 2 + 36
        np.testing.assert_allclose(explanation.values, iassa(disc_model(16, 5, 9, 3), one_level((6, 6), (2, 2))).values)

    def test_a_level_that_does_not_fit_is_not_started(self):
        schedule = Schedule.paper((64, 64), iterations=2)
        first = schedule.plan((64, 64), 10**6)[0].max_windows
        explanation = iassa(disc_model(), schedule, budget=first + 3)
        assert explanation.n_evals == first + 2
        assert explanation.diagnostics["stop"] == "budget"

    def test_a_first_level_that_does_not_fit_names_the_budget(self):
        with pytest.raises(ValueError, match="a budget of at least 227"):
            iassa(disc_model(), one_level((8, 8), (4, 4)), budget=226)

    def test_two_inputs_share_a_budget_that_their_first_levels_exceed(self):
        x = torch.ones(1, 1, 20, 20), torch.ones(1, 1, 40, 40)

        def model():
            return MaskedModel(lambda a, b: a.mean((1, 2, 3)) + b.mean((1, 2, 3)), x, batch_size=8)

        with pytest.warns(UserWarning, match="budget is too small"):
            explanation = iassa(model(), budget=20)  # 25 windows of 4 and of 8 positions would cover both
        assert explanation.n_evals <= 20
        assert [v["input"] for v in explanation.diagnostics["levels"][:2]] == [0, 1]
        with pytest.raises(ValueError, match="the first levels need 50 evaluations and two more, got 1 and two"):
            iassa(model(), budget=3)

    def test_a_plan_needs_one_window(self):
        with pytest.raises(ValueError, match="a budget of at least 3"):
            Schedule.geometric((20, 20)).plan((20, 20), 2)

    def test_a_first_level_of_fixed_windows_names_the_budget_too(self):
        with pytest.raises(ValueError, match="needs 64 evaluations"):
            iassa(disc_model(), Schedule((Level((8, 8)),)), budget=20)

    def test_a_refinement_whose_stride_does_not_fit_is_not_started(self):
        schedule = Schedule((Level((16, 16), (16, 16)), Level((4, 4), (1, 1))), region_rule="all")
        explanation = iassa(disc_model(), schedule, budget=100)
        assert explanation.n_evals == 2 + 16
        assert explanation.diagnostics["stop"] == "budget"


class TestPaper:
    def test_windows_and_costs_are_the_published_ones(self):
        levels = Schedule.paper((224, 224)).levels
        assert [(v.window[0], v.stride[0]) for v in levels] == [(45, 8), (43, 8), (42, 7), (40, 7), (39, 7), (37, 7)]
        assert [Schedule.paper((224, 224), k).cost_bound((224, 224)) for k in (5, 10, 20)] == [7654, 16079, 43929]

    @pytest.mark.parametrize(("side", "counts"), [(60, (169, 196)), (120, (400, 484))])
    def test_windows_that_touch_a_square(self, side, counts):
        from xai_ext.methods._windows import all_windows, box_sums

        square = np.zeros((224, 224))
        start = (224 - side) // 2
        square[start : start + side, start : start + side] = 1
        for (window, stride), count in zip(((43, 8), (37, 7)), counts, strict=True):
            windows = all_windows((224, 224), (window,) * 2, (stride,) * 2, "overhang")
            assert (box_sums(square, windows) > 0).sum() == count


class TestStops:
    def test_a_flat_map_stops_after_the_first_level(self):
        model = MaskedModel(lambda x: torch.ones(len(x)), torch.ones(1, 1, 20, 20))
        explanation = iassa(model, budget=300)
        assert explanation.diagnostics["stop"] == "flat"
        assert len(explanation.diagnostics["levels"]) == 1
        assert not explanation.values.any()

    def test_a_saturated_score_is_told(self):
        model = MaskedModel(lambda x: torch.sigmoid(40 * x.mean((1, 2, 3))), torch.ones(1, 1, 20, 20), batch_size=8)
        with pytest.warns(UserWarning, match="explain log-odds"):
            assert iassa(model, budget=300).diagnostics["saturated"]

    def test_tolerance_stops_after_a_level(self):
        loose, tight = (iassa(disc_model(), budget=600, tol=t) for t in (10.0, 1e-9))
        assert (loose.diagnostics["stop"], len(loose.diagnostics["levels"])) == ("tol", 1)
        assert (tight.diagnostics["stop"], len(tight.diagnostics["levels"])) == ("levels", 3)
        with pytest.warns(UserWarning, match="tol has no scale"):
            iassa(MaskedModel(lambda x: torch.ones(len(x)), torch.ones(1, 1, 20, 20)), budget=90, tol=1.0)
