"""Closed forms against enumeration over all coalitions."""

import numpy as np
import pytest
import torch

from tests.anomaly.worlds import Blurring, images
from tests.games import all_coalitions, shapley
from xai_ext.anomaly import KthLargest, LogSumExp, Max, Mean, Quantile, ReconstructionScore, Region, Sum, TopK
from xai_ext.anomaly.closed_form import additive_values, frozen_values, kth_largest_values, region_levels, top_k_values

RNG = np.random.default_rng(0)
LEVELS = {
    "distinct": RNG.random(6),
    "ties": np.array([0.5, 0.2, 0.5, 0.2, 0.5, 0.9]),
    "zeros": np.array([0.0, 0.7, 0.0, 0.1, 0.7, 0.0]),
    "all equal": np.full(5, 0.3),
    "all zero": np.zeros(4),
    "one": np.array([2.0]),
    "ten": RNG.random(10).round(1),
}


def kth(levels, k):
    """v(S) = the k-th largest of the levels of S, absent ones being 0."""
    w = torch.from_numpy(levels)
    return lambda z: (z * w).sort(dim=1, descending=True).values[:, k - 1]


def mean_of_top(levels, k):
    w = torch.from_numpy(levels)
    return lambda z: (z * w).sort(dim=1, descending=True).values[:, :k].mean(1)


@pytest.mark.parametrize("name", LEVELS)
def test_top_k_and_kth_largest_are_the_enumerated_values_for_every_k(name):
    levels = LEVELS[name]
    for k in range(1, len(levels) + 1) if len(levels) < 10 else (1, 4):
        for found, game in ((top_k_values, mean_of_top), (kth_largest_values, kth)):
            expected = shapley(game(levels, k), len(levels))
            np.testing.assert_allclose(found(levels, k), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    "reduce", [Max(), Sum(), Mean(), *map(TopK, (1, 2, 3, 5, 11, 12)), *map(KthLargest, (1, 2, 4, 12)), Quantile(0.7)]
)
def test_regions_are_the_enumerated_players(reduce):
    residuals, labels = RNG.random((3, 4)), np.array([[0, 0, 1, 1], [2, 3, 3, 1], [2, 2, 4, 4]])
    inside = torch.from_numpy(np.eye(5)[labels.ravel()].T.reshape(5, 3, 4))

    def game(z):
        kept = torch.einsum("kp,phw->khw", z, inside) * torch.from_numpy(residuals)
        return reduce(kept[:, None])

    np.testing.assert_allclose(frozen_values(residuals, reduce, labels), shapley(game, 5), rtol=0, atol=1e-12)


@pytest.mark.parametrize("k", [1, 3, 7])
def test_regions_of_one_position_each_are_the_positions(k):
    """Twelve players: six nodes of integration, ties, and zeros."""
    residuals, each = RNG.random((3, 4)).round(1), np.arange(12).reshape(3, 4)
    residuals[1, 1] = 0.0
    for reduce, values_of in ((TopK(k), top_k_values), (KthLargest(k), kth_largest_values)):
        expected = values_of(residuals.ravel(), k)
        np.testing.assert_allclose(frozen_values(residuals, reduce, each), expected, rtol=0, atol=1e-12)


def test_regions_with_ties_zeros_and_unequal_areas_are_the_enumerated_players():
    residuals, labels = RNG.random((6, 6)).round(1), RNG.integers(0, 8, (6, 6))
    labels[:2, :4] = np.arange(8).reshape(2, 4)
    inside = torch.from_numpy(np.eye(8)[labels.ravel()].T.reshape(8, 6, 6))
    for k in (2, 9, 30):
        expected = shapley(
            lambda z, k=k: TopK(k)((torch.einsum("kp,phw->khw", z, inside) * torch.from_numpy(residuals))[:, None]), 8
        )
        np.testing.assert_allclose(frozen_values(residuals, TopK(k), labels), expected, rtol=0, atol=1e-12)


def test_regions_that_would_take_minutes_are_refused_with_another_way():
    with pytest.raises(ValueError, match=r"reasonable time.*frozen"):
        frozen_values(RNG.random((224, 224)), TopK(0.01), np.arange(224 * 224).reshape(224, 224) // 448)


@pytest.mark.parametrize("inner", [Max(), TopK(2), KthLargest(2), Sum()])
def test_positions_outside_of_a_region_are_dummies(inner):
    residuals, mask = RNG.random((2, 4)), np.array([[1, 1, 0, 0], [0, 1, 1, 0]], bool)

    def game(z):
        return Region(mask, inner)((z * torch.from_numpy(residuals.ravel())).reshape(-1, 1, 2, 4))

    values = frozen_values(residuals, Region(mask, inner))
    np.testing.assert_allclose(values, shapley(game, 8), rtol=0, atol=1e-12)
    assert not values.reshape(2, 4)[~mask].any()


@pytest.mark.parametrize("q", [0.0, 0.3, 0.5, 1.0])
def test_a_quantile_is_the_rank_that_numpy_calls_inverted_cdf(q):
    residuals = RNG.random((2, 4))
    score = Quantile(q)(torch.from_numpy(residuals)[None, None])
    assert float(score) == np.quantile(residuals, q, method="inverted_cdf")
    assert frozen_values(residuals, Quantile(q)).sum() == pytest.approx(float(score), abs=1e-12)


@pytest.mark.parametrize("reduce", [Max(), TopK(3), TopK(0.2), KthLargest(4), Mean(), Sum()])
@pytest.mark.parametrize("residual", ["abs_max", "sq_sum", "l2", "gs_max"])
def test_values_sum_to_the_score_and_the_model_sees_each_sample_once(reduce, residual):
    model = Blurring(3)
    score, x = ReconstructionScore(model, residual=residual, reduce=reduce), images(3, channels=3).double()
    explanations = score.closed_form(x)
    assert model.rows == 3
    sums = [e.values.sum() for e in explanations]
    np.testing.assert_allclose(sums, score(x).detach(), rtol=1e-12)
    assert all(e.n_evals == 1 and e.diagnostics["n_evals"] == 0 and e.diagnostics["game"] == "frozen"
               for e in explanations)  # fmt: skip


@pytest.mark.parametrize("values_of", [lambda r: top_k_values(r, 3), lambda r: kth_largest_values(r, 3)])
def test_scaling_the_residuals_scales_the_values(values_of):
    np.testing.assert_allclose(values_of(7 * LEVELS["ten"]), 7 * values_of(LEVELS["ten"]), rtol=1e-12)


def test_equal_levels_share_equally_to_the_bit():
    values = top_k_values(LEVELS["ties"], 2)
    assert len(set(values[[0, 2, 4]])) == 1
    assert len(set(values[[1, 3]])) == 1


def test_above_the_threshold_values_sum_to_the_margin_or_vanish():
    score, x = ReconstructionScore(Blurring()), images(8).double()
    score.threshold = float(score(x).detach().median())
    explanations = score.closed_form(x, above_threshold=True)
    margins = score.margin(x).detach().numpy()
    np.testing.assert_allclose([e.values.sum() for e in explanations], margins.clip(min=0), atol=1e-12)
    assert (margins > 0).any()
    assert (margins <= 0).any()


def test_the_blur_of_an_additive_score_is_in_the_values():
    score = ReconstructionScore(Blurring(), residual="sq_sum", reduce="sum", smooth=0.8)
    x = images(2).double()
    for e, s in zip(score.closed_form(x), score(x).detach(), strict=True):
        assert e.values.sum() == pytest.approx(float(s), rel=1e-12)
    residuals = ((x - score.model(x)) ** 2)[0, 0].detach().numpy()
    from scipy.ndimage import gaussian_filter

    single = np.zeros_like(residuals)
    single[2, 3] = residuals[2, 3]  # v({p}) of an additive game is the value of p
    alone = gaussian_filter(single, 0.8, mode="nearest", truncate=4.0).sum()
    assert score.closed_form(x)[0].values[2 * 5 + 3] == pytest.approx(alone, rel=1e-9)


def test_the_smoothed_map_is_scipys():
    from scipy.ndimage import gaussian_filter

    plain, smooth = (ReconstructionScore(Blurring(), smooth=s) for s in (0.0, 1.3))
    x = images(1, height=9, width=8).double()
    expected = gaussian_filter(plain.map(x)[0, 0].detach().numpy(), 1.3, mode="nearest")
    np.testing.assert_allclose(smooth.map(x)[0, 0].detach(), expected, rtol=1e-12)


def test_a_baseline_that_is_not_the_reconstruction_is_subtracted():
    np.testing.assert_array_equal(additive_values(np.array([3.0, 1.0]), 2.0, np.array([1.0, 4.0])), [4.0, -6.0])


def test_the_level_of_a_region_is_its_largest():
    np.testing.assert_array_equal(
        region_levels(np.array([[1.0, 5.0], [2.0, 0.0]]), np.array([[0, 0], [1, 2]])), [5, 2, 0]
    )


@pytest.mark.parametrize(
    ("reduce", "labels", "smooth"),
    [(LogSumExp(3.0), True, 0.0), (LogSumExp(3.0), False, 0.0), (Max(), False, 1.0), (TopK(2), True, 1.0)],
)
def test_where_no_closed_form_is_known_the_error_names_the_frozen_game(reduce, labels, smooth):
    score = ReconstructionScore(Blurring(), reduce=reduce, smooth=smooth)
    regions = np.arange(30).reshape(6, 5) // 10 if labels else None
    with pytest.raises(ValueError, match="frozen"):
        score.closed_form(images(1), labels=regions)


@pytest.mark.parametrize("k", [0, 7])
def test_a_rank_that_does_not_exist_is_refused(k):
    with pytest.raises(ValueError, match="k must be at"):
        top_k_values(LEVELS["distinct"], k)


def test_evidence_below_zero_and_wrong_labels_are_refused():
    with pytest.raises(ValueError, match="at least 0"):
        frozen_values(np.array([[-1.0, 2.0]]), Max())
    with pytest.raises(ValueError, match="without gaps"):
        ReconstructionScore(Blurring()).closed_form(images(1), labels=np.full((6, 5), 2))
    with pytest.raises(ValueError, match="needs the reducer Max"):
        ReconstructionScore(Blurring(), reduce="mean").closed_form(images(1), above_threshold=True)


def test_the_oracle_itself_knows_the_airport_game():
    """Littlechild and Owen's example form: costs 1, 2, 3 shared as 1/3, 1/3 + 1/2, 1/3 + 1/2 + 1."""
    assert len(all_coalitions(3)) == 8
    np.testing.assert_allclose(shapley(kth(np.array([1.0, 2.0, 3.0]), 1), 3), [1 / 3, 5 / 6, 11 / 6])
