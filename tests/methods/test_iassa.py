"""IASSA's maps, against Captum's occlusion and ablation and closed forms."""

import numpy as np
import pytest
import torch
from captum.attr import FeatureAblation, Occlusion

from tests.games import additive, game_of
from tests.laws import GeneratorsUntouched
from tests.methods.window_models import bent_model, disc_model, image, one_level
from xai_ext import MaskedModel
from xai_ext.methods._levels import refining_windows, region
from xai_ext.methods.iassa import Attention, Level, Schedule, iassa

CASES = [
    ((40,), (7,), (3,)), ((23, 31), (9, 8), (4, 3)), ((23, 31), (9, 8), (9, 8)), ((20, 20), (20, 20), (20, 20)),
    ((9, 10, 11), (4, 3, 5), (2, 3, 2)),
]  # fmt: skip


class TestCaptum:
    @pytest.mark.parametrize(("shape", "window", "stride"), CASES)
    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
    @pytest.mark.parametrize("tensor", [False, True])
    def test_one_level_is_occlusion(self, shape, window, stride, dtype, tensor):
        x = image(shape, dtype=dtype)
        baseline = image(shape, dtype=dtype, seed=1) if tensor else 0.3
        model = MaskedModel(bent_model, x, baseline, batch_size=7)
        got = iassa(model, one_level(window, stride), budget=2000).region_map()
        expected = Occlusion(bent_model).attribute(x, (2, *window), (2, *stride), baselines=baseline)[0, 0].numpy()
        # Captum divides in float32, also for float64 models; a float32 model's own rounding depends on its batch
        rounding = 4 * torch.finfo(dtype).eps * abs(model.full_value[0])
        np.testing.assert_allclose(got, expected, rtol=0, atol=1e-6 * np.abs(expected).max() + rounding)
        drops, seen = np.zeros(shape), np.zeros(shape)
        for start in np.ndindex(*(-(-(n - w) // s) + 1 for n, w, s in zip(shape, window, stride, strict=True))):
            hidden, at = (
                x.clone(),
                tuple(slice(i * s, i * s + w) for i, s, w in zip(start, stride, window, strict=True)),
            )
            hidden[(..., *at)] = torch.as_tensor(baseline, dtype=dtype).expand(x.shape)[(..., *at)]
            drops[at] += (bent_model(x) - bent_model(hidden)).item()
            seen[at] += 1
        np.testing.assert_allclose(got, drops / seen, rtol=0, atol=1e-12 * np.abs(expected).max() + rounding)

    def test_one_level_of_a_tuple_is_occlusion(self):
        x = image((12, 9)), image((20,), channels=1, seed=2)

        def forward(a, b):
            return bent_model(a) * bent_model(b)

        schedules = Schedule((Level((4, 4), (2, 3)),)), Schedule((Level((5,), (2,)),))
        explanation = iassa(MaskedModel(forward, x, batch_size=8), schedules, budget=500)
        expected = Occlusion(forward).attribute(x, ((2, 4, 4), (1, 5)), ((2, 2, 3), (1, 2)))
        for i, e in enumerate(expected):
            np.testing.assert_allclose(explanation.region_map(i), e[0, 0], rtol=1e-6)

    def test_an_input_without_elements_has_no_values(self):
        x, nothing = image((12, 9)), torch.zeros(1, 0, dtype=torch.float64)
        schedule = one_level((4, 4), (2, 3))
        alone = iassa(MaskedModel(bent_model, x, batch_size=8), schedule, budget=500)
        beside = iassa(MaskedModel(lambda a, b: bent_model(a), (x, nothing), batch_size=8), schedule, budget=500)
        np.testing.assert_array_equal(beside.values, alone.values)

    def test_scalars_beside_an_image_are_hidden_one_by_one(self):
        x, scalars = image((12, 9)), image((), channels=7, seed=3)

        def forward(a, b):
            return bent_model(a) + bent_model(b)

        explanation = iassa(MaskedModel(forward, (x, scalars), batch_size=8), one_level((4, 4), (2, 3)), budget=500)
        expected = FeatureAblation(bent_model).attribute(scalars)
        np.testing.assert_allclose(explanation.region_map(1), expected[0], rtol=1e-6)

    def test_there_is_a_schedule_per_input(self):
        x = image((12, 9)), image((12, 9), seed=2)
        with pytest.raises(ValueError, match=r"one entry per input \(2\), got 1"):
            iassa(MaskedModel(lambda a, b: bent_model(a + b), x), (one_level((4, 4), (2, 3)),), budget=500)

    def test_regions_are_feature_ablation(self):
        x = image((8, 9))
        labels = torch.from_numpy(np.random.default_rng(0).integers(0, 5, (8, 9)))
        explanation = iassa(MaskedModel(bent_model, x, 0.2, batch_size=3), labels=labels.numpy(), budget=7)
        expected = FeatureAblation(bent_model).attribute(x, 0.2, feature_mask=labels[None, None])
        np.testing.assert_allclose(explanation.region_map(), expected[0, 0], rtol=1e-6)
        assert explanation.n_evals == 7

    def test_scalars_are_feature_ablation(self):
        x = image((), channels=11)
        explanation = iassa(MaskedModel(bent_model, x, batch_size=3), budget=100)
        np.testing.assert_allclose(explanation.values, FeatureAblation(bent_model).attribute(x)[0], rtol=1e-6)
        assert not explanation.std_error.any()

    def test_too_small_a_budget_for_the_regions_names_the_one_needed(self):
        with pytest.raises(ValueError, match="must be at least 7, got 6"):
            iassa(game_of(additive([1.0] * 5), 5).masked_model, budget=6)


class TestMaps:
    def test_an_additive_model_gives_its_density_filtered_twice(self):
        w, density = 5, np.random.default_rng(0).normal(size=(20, 24))
        weights = torch.from_numpy(density)
        model = MaskedModel(lambda x: (x[:, 0] * weights).sum((1, 2)), torch.ones(1, 1, 20, 24, dtype=torch.float64))
        got = iassa(model, one_level((w, w), (1, 1)), budget=400).region_map()

        def box(a):
            return np.lib.stride_tricks.sliding_window_view(a, (w, w)).mean((2, 3))

        inner = (slice(w - 1, 1 - w),) * 2
        np.testing.assert_allclose(got[inner], w * w * box(box(density)), atol=1e-10)

    def test_the_published_estimator_ranks_alike_under_uniform_coverage(self):
        x = image((12, 12), channels=1)
        drop, published = (
            iassa(MaskedModel(bent_model, x, batch_size=8), one_level((4, 4), (4, 4), estimator=e), budget=50)
            for e in ("drop", "published")
        )
        scores = bent_model(x).item() - drop.values  # one window covers each position
        kept = 9 * (1 - 1 / 9)
        total = scores.reshape(12, 12)[::4, ::4].sum()
        np.testing.assert_allclose(published.values, (total - scores) / kept, atol=1e-12)
        np.testing.assert_array_equal(
            np.argsort(drop.values, kind="stable"), np.argsort(published.values.round(12), kind="stable")
        )

    @pytest.mark.parametrize("region_rule", ["top", "range"])
    def test_every_region_holds_the_object(self, region_rule):
        y, x = np.mgrid[:64, :64]
        where = (y - 20) ** 2 + (x - 41) ** 2 <= 36
        schedule = Schedule.geometric((64, 64))
        schedule = Schedule(schedule.levels, region_rule=region_rule, grows=True)
        levels = iassa(disc_model(), schedule, budget=600).diagnostics["levels"]
        assert len(levels) == 3
        for level in levels[1:]:
            assert level["region"][where].all()
            assert level["region_fraction"] < 0.5

    def test_flipping_input_and_model_flips_the_map(self):
        x = image((20, 23))
        flipped = iassa(MaskedModel(lambda i: bent_model(i.flip(-1)), x.flip(-1), batch_size=4),
                        one_level((8, 8), (3, 5)), budget=100)  # fmt: skip
        plain = iassa(MaskedModel(bent_model, x, batch_size=4), one_level((8, 8), (3, 5)), budget=100)
        np.testing.assert_allclose(flipped.region_map(), plain.region_map()[:, ::-1], atol=1e-12)

    def test_blend_is_the_mean_on_one_scale_and_replace_forgets(self):
        x = image((16, 16))
        coarse, fine = Level((8, 8), (4, 4)), Level((4, 4), (2, 2))

        def run(*levels, **kwargs):
            model = MaskedModel(lambda i: -bent_model(i) + i.mean((1, 2, 3)), x, -3.0, batch_size=8)
            return iassa(model, Schedule(levels, region_rule="all", **kwargs), budget=200)

        a, b = run(coarse), run(fine)
        blend, replaced = run(coarse, fine), run(coarse, fine, fusion="replace")
        top = a.values >= np.sort(a.values)[-64]  # a quarter of 256 positions
        gain = np.clip(a.values[top].mean() / b.values[top].mean(), 0.1, 10)
        assert a.values[top].mean() > 0 < b.values[top].mean()
        np.testing.assert_allclose(blend.diagnostics["levels"][1]["gain"], gain)
        np.testing.assert_allclose(blend.values, (a.values + gain * b.values) / 2, atol=1e-12)
        np.testing.assert_allclose(blend.std_error, np.hypot(a.std_error, gain * b.std_error) / 2, atol=1e-12)
        np.testing.assert_array_equal(replaced.values, b.values)

    def test_inside_the_region_refining_it_is_refining_everywhere_where_the_background_cancels_too(self):
        weights = torch.zeros(32, 32)
        weights[6:14, 8:16], weights[20:30, 18:28] = 1.0, -0.64  # for and against: the mean of the map is about 0
        levels = (Level((8, 8), (4, 4)), Level((6, 6), (2, 2)))

        def run(rule):
            def model(i):
                return (i[:, 0] * weights).sum((1, 2)).tanh()

            return iassa(MaskedModel(model, torch.ones(1, 1, 32, 32)), Schedule(levels, region_rule=rule), budget=2000)

        top, everywhere = run("top"), run("all")
        where = top.diagnostics["levels"][1]["region"]
        assert top.n_evals < 0.6 * everywhere.n_evals
        np.testing.assert_allclose(top.region_map()[where], everywhere.region_map()[where], atol=1e-12)

    def test_inside_the_last_region_all_levels_have_looked(self):
        """Of two objects the smaller only comes out at the finer levels, outside of the first region."""
        weight = torch.zeros(40, 40, dtype=torch.float64)
        weight[4:16, 4:16], weight[30:33, 29:32] = 1.0, 15.0
        masked = MaskedModel(
            lambda x: (x[:, 0] * weight).sum((1, 2)), torch.ones(1, 1, 40, 40, dtype=torch.float64), batch_size=16
        )
        levels = Level((16, 16), (8, 8)), Level((8, 8), (4, 4)), Level((4, 4), (2, 2))
        explanation = iassa(masked, Schedule(levels, region=0.2), budget=2000)
        _, first, last = explanation.diagnostics["levels"]
        assert (last["region"] & ~first["region"]).sum() > 20
        coarse, middle, fine = (iassa(masked, Schedule((v,)), budget=2000).region_map() for v in levels)
        expected = ((coarse + first["gain"] * middle) / 2 + last["gain"] * fine) / 2
        where = last["region"]
        np.testing.assert_allclose(explanation.region_map()[where], expected[where], rtol=1e-12)
        assert explanation.n_evals < 0.6 * iassa(masked, Schedule(levels, region_rule="all"), budget=2000).n_evals

    def test_the_error_is_that_of_the_mean_over_windows(self):
        x = image((12,), channels=1)
        e = iassa(MaskedModel(bent_model, x, batch_size=8), one_level((4,), (2,)), budget=50)
        full = bent_model(x).item()
        drops = np.array([full - bent_model(torch.where((torch.arange(12) >= s) & (torch.arange(12) < s + 4), 0.0, x)
                                            ).item() for s in range(0, 9, 2)])  # fmt: skip
        two = np.stack([drops[:-1], drops[1:]])
        error = two.std(0) / 1
        np.testing.assert_allclose(e.std_error[2:10], np.repeat(error, 2), atol=1e-9)
        np.testing.assert_allclose(e.std_error[[0, 1, 10, 11]], error.max(), atol=1e-9)  # one window: the largest
        assert np.isnan(iassa(disc_model(16, 5, 9, 3), one_level((8, 8), (8, 8)), budget=50).std_error).all()

    def test_outputs_share_one_run(self):
        model = MaskedModel(lambda x: torch.stack([x[:, 0, :8].mean((1, 2)), 5 * x[:, 0, 24:].mean((1, 2))], 1),
                            torch.ones(1, 1, 32, 32), batch_size=8)  # fmt: skip
        e = iassa(model, budget=300)
        assert e.values.shape == (1024, 2)
        maps = e.region_map()
        assert maps[:8, :, 0].mean() > maps[24:, :, 0].mean()
        assert maps[:8, :, 1].mean() < maps[24:, :, 1].mean()
        where = e.diagnostics["levels"][1]["region"]
        assert where[:8].any()
        assert where[24:].any()

    def test_nothing_is_random(self):
        with GeneratorsUntouched():
            runs = [iassa(disc_model(), budget=200, rng=seed) for seed in (None, 1)]
        np.testing.assert_array_equal(runs[0].values, runs[1].values)


class TestRegion:
    steering = np.array([[3.0, 1.0], [2.0, -1.0]])

    def test_top_takes_the_largest_positive_and_ties(self):
        assert region(self.steering, Schedule((Level((1, 1)),), region=0.5)).tolist() == [[True, False], [True, False]]
        assert region(self.steering, Schedule((Level((1, 1)),), region=1.0)).tolist() == [[True, True], [True, False]]
        assert region(np.ones((2, 2)), Schedule((Level((1, 1)),), region=0.25)).all()

    def test_range_takes_what_lies_above_a_share_of_it(self):
        got = region(self.steering, Schedule((Level((1, 1)),), region=0.5, region_rule="range"))
        assert got.tolist() == [[True, False], [True, False]]


def test_too_few_evaluations_go_to_the_windows_that_hold_most_of_the_map():
    steering = np.arange(36.0).reshape(6, 6)
    schedule = Schedule((Level((2, 2)),), region_rule="all")
    level, windows = refining_windows(Level((2, 2)), steering, np.ones((6, 6), bool), 2, 99, schedule)
    assert level.stride == (2, 2)
    assert windows.low.tolist() == [[4, 2], [4, 4]]


class TestErrors:
    @pytest.mark.parametrize(
        ("kwargs", "match"),
        [
            ({"region": 0.0}, r"region must lie in \(0, 1\]"),
            ({"region_rule": "tops"}, "did you mean 'top'"),
            ({"fusion": "mean"}, "fusion must be one of"),
            ({"grid": "x"}, "grid must be one of"),
            ({"estimator": "dropp"}, "did you mean 'drop'"),
            ({"levels": ()}, "levels must be at least 1"),
        ],
    )
    def test_impossible_schedules(self, kwargs, match):
        with pytest.raises(ValueError, match=match):
            Schedule(**{"levels": (Level((2, 2)),), **kwargs})

    @pytest.mark.parametrize("level", [Level((65, 3)), Level((3, 3), (4, 3)), Level((3,)), Level((3, 3), (0, 1))])
    def test_impossible_windows(self, level):
        with pytest.raises(ValueError, match=r"stride <= window <= side|one number for each"):
            iassa(disc_model(), Schedule((level,)))

    @pytest.mark.parametrize("kwargs", [{"shrink": 1.0}, {"start": 0.0}, {"levels": 0}])
    def test_impossible_geometric_schedules(self, kwargs):
        with pytest.raises(ValueError, match=r"strictly between 0 and 1|at least 1"):
            Schedule.geometric((10, 10), **kwargs)

    @pytest.mark.parametrize("kwargs", [{"weight": 1.5}, {"neighbours": 0.0}, {"source": "feature"}])
    def test_impossible_attention(self, kwargs):
        with pytest.raises(ValueError, match=r"must lie in|did you mean 'features'"):
            Attention(**{"source": "image", **kwargs})

    def test_a_budget_without_a_window(self):
        with pytest.raises(ValueError, match="budget must be at least 3"):
            iassa(disc_model(), budget=2)
