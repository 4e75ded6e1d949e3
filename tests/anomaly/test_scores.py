"""What every anomaly score does: thresholds, probes, warnings, surrogates, freezing."""

import warnings

import numpy as np
import pytest
import torch
from captum.attr import ShapleyValueSampling
from torch import nn

from tests.anomaly.worlds import Blurring, images
from tests.laws import GeneratorsUntouched
from xai_ext.anomaly import (
    AnomalyScore,
    DetectorScore,
    KthLargest,
    LogSumExp,
    Max,
    Mean,
    NoMapError,
    NotDifferentiableError,
    ReconstructionScore,
    Sum,
    TopK,
)
from xai_ext.anomaly._calibration import conformal_threshold
from xai_ext.attr import BPTOwen


def first_feature(**options):
    """The score of a row is its first number."""
    return DetectorScore.from_callable(lambda x: x[:, 0], **options)


def rows(values):
    return torch.tensor(values, dtype=torch.float64)[:, None].repeat(1, 2)


class TestCalibration:
    def test_the_false_alarm_rate_of_exchangeable_normals_is_alpha(self):
        rng = np.random.default_rng(0)
        thresholds = [conformal_threshold(rng.random(99), 0.05) for _ in range(2000)]
        # of uniform scores 1 - threshold is the rate; sd of Beta(5, 95) / sqrt(2000) = .0005
        assert 1 - np.mean(thresholds) == pytest.approx(0.05, abs=0.003)

    def test_p_values_of_new_normals_are_valid_and_not_wasteful(self):
        rng, score = np.random.default_rng(1), first_feature()
        p = []
        for _ in range(400):
            score.calibrate(rows(rng.normal(size=99)))
            p.append(score.p_value(rows(rng.normal(size=10))).numpy())
        for a in (0.05, 0.1, 0.5):
            assert np.mean(np.concatenate(p) <= a) == pytest.approx(a, abs=0.03)
            assert np.mean(np.concatenate(p) <= a) <= a + 0.01

    def test_nineteen_normals_are_enough_for_five_percent_and_eighteen_are_not(self):
        normals = rows(np.arange(19.0))
        assert first_feature().calibrate(normals).threshold == 18
        with pytest.raises(ValueError, match="needs at least 19 normals, got 18"):
            first_feature().calibrate(normals[:18])

    def test_a_score_is_anomalous_only_above_the_threshold(self):
        score = first_feature().calibrate(rows(np.arange(99.0)))
        assert score.threshold == 94
        assert score.decide(rows([93, 94, 94.5])).tolist() == [False, False, True]
        assert score.margin(rows([95.0])).tolist() == [1.0]
        assert score.p_value(rows([-1, 98, 99])).tolist() == [1.0, 0.02, 0.01]

    def test_what_is_kept_says_where_the_threshold_came_from(self):
        score = first_feature().calibrate(rows(np.arange(40.0)), 0.1, ids=[f"n{i}" for i in range(40)], keep_bank=7)
        kept = score.info.calibration
        assert (kept.n, kept.alpha, len(kept.ids_digest)) == (40, 0.1, 64)
        other = first_feature().calibrate(rows(np.arange(40.0)), 0.1, ids=[f"n{i}" for i in range(40)][::-1])
        assert other.info.calibration.ids_digest == kept.ids_digest
        assert len(score.bank[0]) == 7
        assert score.info.threshold_source is None

    def test_training_images_cannot_set_the_threshold(self):
        model, x = Blurring(), images(20)
        model.trained_on = ["a7"]
        score = ReconstructionScore(model)
        with pytest.raises(ValueError, match="1 of the normals were used in training"):
            score.calibrate(x, ids=[f"a{i}" for i in range(20)])
        score.calibrate(x, ids=[f"b{i}" for i in range(20)])

    @pytest.mark.parametrize(
        ("normals", "options", "match"),
        [
            (torch.zeros(0, 2), {}, "N > 0"),
            (torch.zeros(5), {}, r"\(N, D\)"),
            (rows(np.arange(30.0)), {"alpha": 0.0}, "between 0 and 1"),
            (rows(np.arange(30.0)), {"ids": ["a"]}, "one id per normal"),
            (rows([*np.arange(30.0), np.nan]), {}, "must be finite"),
        ],
    )
    def test_bad_normals_are_refused(self, normals, options, match):
        with pytest.raises(ValueError, match=match):
            first_feature().calibrate(normals, **options)

    def test_without_normals_nothing_is_decided(self):
        for ask in (AnomalyScore.margin, AnomalyScore.decide, AnomalyScore.p_value):
            with pytest.raises(ValueError, match="calibrate"):
                ask(first_feature(), rows([1.0]))


class Ranking(nn.Module):
    """A row's score depends on the rows beside it."""

    def forward(self, x):
        return x[:, 0] - x[:, 0].mean()


class Dropping(nn.Module):
    def forward(self, x):
        return (x * torch.rand(2)).sum(1)


class TestProbes:
    """Each finding appears on the detector made for it, and on no other."""

    def quiet(self, score, x):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            return score.probe(x)

    def test_a_plain_score_passes_all(self):
        info = self.quiet(first_feature(), rows([1, 2, 3]).float())
        assert (info.batch_invariant, info.deterministic, info.differentiable) == (True, True, True)
        assert 0 < info.probe_rows <= 12

    def test_rows_that_depend_on_each_other_go_one_by_one_from_then_on(self):
        score, x = DetectorScore.from_callable(Ranking()), rows([1, 2, 6])
        with pytest.warns(UserWarning, match="row by row") as caught:
            info = score.probe(x)
        assert len(caught) == 1
        assert info.batch_invariant is False
        assert torch.equal(score(x), torch.cat([score(r[None]) for r in x]))
        self.quiet(score, x)  # the warning comes once

    def test_a_stochastic_score_is_refused(self):
        with pytest.raises(ValueError, match="stochastic score"):
            DetectorScore.from_callable(Dropping()).probe(rows([1, 2, 3]).float())

    @pytest.mark.parametrize(
        "fn",
        [lambda x: x.detach()[:, 0], lambda x: 0 * x[:, 0], lambda x: (x[:, 0] > 0).float(),
         lambda x: torch.from_numpy(x.detach().numpy()[:, 0]), lambda x: (x[:, 0] * 0).sqrt()],
    )  # fmt: skip
    def test_a_score_without_a_useful_gradient_says_so_and_names_other_methods(self, fn):
        score, x = DetectorScore.from_callable(fn), rows([1, 2, 3])
        assert self.quiet(score, x).differentiable is False
        with pytest.raises(NotDifferentiableError, match="BPTOwen"):
            score(x.requires_grad_())
        with torch.no_grad():
            score(x)

    @pytest.mark.parametrize(
        ("fn", "match"),
        [
            (lambda x: x, r"one number per row.*\(3, 2\)"),
            (lambda x: x.sum(), "one number per row"),
            (lambda x: x[:, 0] > 1, "floating point"),
            (lambda x: x[:, 0] / (x[:, 0] - 2), "row 1 is inf"),
            (lambda x: x[:, 0].half() * 30000, "row 2 is inf"),
            (lambda x: "high", "one number per row"),
        ],
    )
    def test_outputs_that_are_no_scores_are_refused_with_the_row(self, fn, match):
        with pytest.raises(ValueError, match=match):
            DetectorScore.from_callable(fn).probe(rows([1, 2, 3]))

    def test_a_column_is_flattened_and_half_precision_widened(self):
        assert DetectorScore.from_callable(lambda x: x[:, :1])(rows([1, 2])).tolist() == [1, 2]
        assert DetectorScore.from_callable(lambda x: x[:, 0].half())(rows([1.0])).dtype == torch.float32

    @pytest.mark.parametrize("shape", [(40, 4), (40, 1, 4, 4)])
    def test_an_inverted_score_is_noticed_in_calibration_and_a_right_one_is_not(self, shape):
        normals = torch.from_numpy(np.random.default_rng(0).normal(0.5, 0.01, shape))
        normals[0] = 0.0  # images: the range of the data is wider than most of them

        def distance(x):
            return ((x.flatten(1) - 0.5) ** 2).sum(1)

        with pytest.warns(UserWarning, match="seems inverted"):
            DetectorScore.from_callable(distance, higher_is_anomalous=False).calibrate(normals)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            DetectorScore.from_callable(distance).calibrate(normals)


class TestReferenceCheck:
    def score(self, **options):
        return first_feature(reference=lambda x: x - 10, **options)

    def test_a_normal_reference_of_an_anomaly_is_fine(self):
        score = self.score().calibrate(rows(np.arange(39.0)))
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            check = score.check_reference(rows([45.0]))
        assert check.ok.tolist() == [True]

    def test_a_baseline_above_the_threshold_or_above_the_input_is_anomalous(self):
        score = self.score().calibrate(rows(np.arange(39.0)))
        with pytest.warns(UserWarning, match="anomalous baseline in 1 of 2"):
            check = score.check_reference(rows([45.0, 60.0]))
        assert check.anomalous.tolist() == [False, True]
        with pytest.warns(UserWarning, match="anomalous baseline"):
            self.score().check_reference(rows([1.0]), rows([2.0]))

    @pytest.mark.parametrize("calibrated", [True, False])
    def test_a_baseline_that_scores_like_the_input_has_no_contrast(self, calibrated):
        score = self.score()
        if calibrated:
            score.calibrate(rows(np.arange(39.0)))
        with pytest.warns(UserWarning, match="no contrast") as caught:
            score.check_reference(rows([30.0]), rows([29.5]))
        assert len(caught) == 1

    def test_a_score_without_a_reference_says_what_to_give(self):
        with pytest.raises(ValueError, match="NearestNormal"):
            first_feature().reference(rows([1.0]))


class TestSurrogates:
    def score(self):
        return ReconstructionScore(Blurring()).calibrate(images(40))

    def test_a_surrogate_says_what_decides_and_cannot_decide(self):
        other = self.score().surrogate(LogSumExp(500.0))
        assert other.info.surrogate_of == "Max()"
        assert other.threshold is None
        assert other.info.spearman_to_decision > 0.9
        for ask, n in ((other.decide, 1), (other.calibrate, 40), (other.margin, 1)):
            with pytest.raises(ValueError, match=r"surrogate: Max\(\) decides"):
                ask(images(n))

    def test_a_surrogate_that_ranks_otherwise_warns_and_the_score_stays(self):
        score = self.score()
        with pytest.warns(UserWarning, match="Spearman"):
            other = score.surrogate(KthLargest(30))
        assert score.reduce == Max()
        assert score.threshold is not None
        x = images(3, seed=5)
        assert torch.equal(other(x), score.map(x).flatten(1).amin(1))

    def test_a_region_sees_its_part_alone(self):
        mask = np.zeros((6, 5), bool)
        mask[:2, :2] = True
        score, x = ReconstructionScore(Blurring()), images(2)
        assert torch.equal(score.region(mask)(x), score.map(x)[:, 0, :2, :2].flatten(1).amax(1))

    def test_a_score_that_reduces_no_map_has_none(self):
        for ask in (lambda s: s.surrogate(Mean()), lambda s: s.closed_form(images(1)), lambda s: s.frozen()):
            with pytest.raises(ValueError, match=r"no surrogate|no closed form|no reconstruction"):
                ask(first_feature())
        with pytest.raises(NoMapError, match="map_fn"):
            first_feature().map(rows([1.0]))


class TestFrozen:
    def score(self, **options):
        return ReconstructionScore(Blurring(3), **options), images(1, channels=3, height=4, width=4).double()

    @pytest.mark.parametrize("reduce", [Sum(), Mean(), Max(), TopK(3)])
    def test_its_ends_are_the_score_and_zero(self, reduce):
        score, x = self.score(reduce=reduce)
        frozen, r = score.frozen(), score.reference(x)
        assert torch.equal(frozen(x, r), score(x))
        assert frozen(r, r).tolist() == [0.0]

    @pytest.mark.parametrize(("budget", "n_regions"), [(2, 1), (20, 5), (29, 6), (2000, 16)])
    def test_owen_regions_of_an_additive_score_carry_their_closed_form(self, budget, n_regions):
        """At budgets that leave no region divided in one of its contexts only."""
        score, x = self.score(reduce="sum", residual="sq_sum")
        r = score.reference(x)
        (found,) = BPTOwen(score.frozen()).explain(
            x, baselines=r, additional_forward_args=(r,), n_samples=budget, perturbations_per_eval=None
        )
        (exact,) = score.closed_form(x)
        shared = np.unique(found.values.round(9), return_inverse=True)[1]  # an undivided region shares equally
        regions = [np.bincount(shared, values) for values in (found.values, exact.values)]
        np.testing.assert_allclose(*regions, atol=1e-6)
        assert len(regions[0]) == n_regions

    def test_the_least_squares_fit_of_an_additive_score_is_its_closed_form(self):
        score, x = self.score(reduce="sum", residual="abs_mean")
        labels = np.arange(16).reshape(4, 4) // 4
        frozen, r = score.frozen(), score.reference(x)
        z = np.random.default_rng(0).random((40, 4)) < 0.5
        kept = torch.from_numpy(z[:, labels])[:, None]
        y = frozen(torch.where(kept, x, r), r).detach().numpy()
        design, weights = np.column_stack([np.ones(40), z]), np.exp(-np.arange(40) / 9)[:, None]
        fit = np.linalg.lstsq(design * weights, y * weights[:, 0], rcond=None)[0]
        np.testing.assert_allclose(fit[1:], score.closed_form(x, labels=labels)[0].values, atol=1e-9)

    def test_captums_shapley_sampling_of_the_maximum_converges_to_the_closed_form(self):
        score, x = self.score()
        labels, r = torch.arange(16).reshape(4, 4) // 4, score.reference(x)
        torch.manual_seed(0)
        draws = np.stack([
            ShapleyValueSampling(score.frozen())
            .attribute(x, baselines=r, additional_forward_args=(r,), feature_mask=labels[None, None], n_samples=5)
            .detach()[0, 0, :, 0]
            for _ in range(30)
        ])  # fmt: skip
        error = draws.std(0, ddof=1) / np.sqrt(len(draws))
        exact = score.closed_form(x, labels=labels.numpy())[0].values
        assert (np.abs(draws.mean(0) - exact) <= 4 * error + 1e-12).all()
        assert (error > 0).any()


def test_nothing_of_the_user_is_touched():
    model = nn.Sequential(Blurring(), nn.BatchNorm2d(1).eval(), nn.Dropout(0.0))
    modes = [m.training for m in model.modules()]
    state = {k: v.clone() for k, v in model.state_dict().items()}
    score, normals = ReconstructionScore(model), images(30)
    before = normals.clone()
    with GeneratorsUntouched():
        score.calibrate(normals)
        score(normals)
        score.map(normals)
        score.reference(normals)
        score.closed_form(normals[:1])
    assert [m.training for m in model.modules()] == modes
    assert all(torch.equal(v, state[k]) for k, v in model.state_dict().items())
    assert torch.equal(normals, before)
    assert all(p.grad is None for p in model.parameters())


@pytest.mark.parametrize("samples", [np.ones((2, 1, 6, 5)), "images", 3.0, torch.tensor(3.0)])
def test_samples_that_are_no_tensor_of_rows_are_refused(samples):
    with pytest.raises(TypeError, match=r"samples must be a tensor \(N, C, H, W\) or \(N, D\), got"):
        ReconstructionScore(Blurring())(samples)
