"""What random calls have found, as plain facts."""

import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.figure import Figure

from tests.anomaly.worlds import Blurring, images
from xai_ext import anomaly, metrics, plots
from xai_ext._arguments import as_tensor
from xai_ext._checks import InputError, InputTypeError
from xai_ext.metrics import detection
from xai_ext.metrics._published import rise_blur

MASK = np.array([[[True, False, False]]])


@pytest.mark.parametrize("values", [[1.0, np.nextafter(1, 2), 1.0], [0.0, 5e-324, 0.0], [-1e308, 1e308, -1e308]])
def test_otsu_separates_two_values_however_near_or_far(values):
    found = metrics.Otsu().inclusion(np.array(values), np.ones(3, bool))
    np.testing.assert_array_equal(found, [0, 1, 0])


def test_judds_area_of_a_constant_map_is_one_half():
    assert metrics.auc_judd(np.ones((1, 1, 3)), MASK).item() == 0.5


def test_fixations_are_positions_and_not_regions():
    with pytest.raises(InputError, match="leave out feature_mask"):
        metrics.nss(np.ones((1, 1, 3)), MASK, feature_mask=np.array([[2, 1, 0]]))


def test_thresholds_come_with_and_without_details():
    value, threshold = metrics.max_iou(np.array([[[2.0, 1, 0]]]), MASK, return_threshold=True, return_details=False)
    assert (value.item(), threshold.item()) == (1.0, 2.0)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int64, torch.bool])
def test_the_published_blur_of_whole_numbers_is_not_black(dtype):
    assert bool(rise_blur(torch.ones(1, 1, 31, 31, dtype=dtype))[0, 0, 15, 15])


@pytest.mark.parametrize("array", [np.arange(6).reshape(2, 3)[:, ::-1], np.broadcast_to(np.arange(3), (2, 3))])
def test_arrays_read_backwards_or_not_to_be_written_become_tensors(array):
    assert as_tensor(array).tolist() == array.tolist()


def test_half_precision_of_torch_is_taken_where_numpy_has_none():
    x = torch.tensor([0.0, 1.0], dtype=torch.bfloat16)
    assert detection.auroc(x, np.array([0, 1])) == 1.0
    assert metrics.average_drop(x, x)[1] == 0
    assert metrics.iou(x[None, None], x[None, None], threshold=metrics.Absolute(1)).item() == 1.0


def test_maps_without_positions_are_refused():
    with pytest.raises(InputError, match="hold no position"):
        metrics.gini(np.ones((2, 0, 3)))


def test_channels_whose_sum_overflows_are_not_finite():
    found = metrics.gini(np.full((1, 2, 1, 3), 1e308), return_details=True)
    assert found.status.tolist() == [metrics.Status.NON_FINITE]


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda: metrics.chance("iou", rho=2.0, n=9, k=1), "rho must be a share"),
        (lambda: metrics.chance("recall", rho=0.5, n=0, k=1), "n must be at least 1"),
        (lambda: metrics.chance("iou", MASK, k=4), "k must be one number"),
        (lambda: metrics.box_iou([[0, 0, np.nan, 1]], [[0, 0, 1, 1]]), "boxes must be finite"),
        (lambda: metrics.top_mask(np.array([np.nan, 1]), 1), "values must be finite"),
        (lambda: metrics.top_mask(np.ones(3), np.inf), "k must be between"),
        (lambda: metrics.curve_auc(np.ones(3), np.ones(2)), "a score at each fraction"),
        (lambda: metrics.resize_map(np.ones((1, 2, 2)), (0, 3)), "size must be at least 1"),
        (lambda: metrics.adcc([0.1], [0.1, 0.2], [0.1]), "must be as many scores"),
        (lambda: metrics.LinearImputer(noise=np.inf), "noise must be at least 0 and finite"),
        (
            lambda: metrics.iou(np.ones((1, 3)), boxes=[[[0, 0, 1, 1]]], threshold=metrics.Mean()),
            "boxes are for images",
        ),
        (lambda: plots.overlay(np.ones((3, 3, 2)), np.ones((3, 3))), "an image must be"),
        (lambda: plots.overlay(np.ones((3, 3)), np.ones((3, 3)), truth=np.eye(2) > 0), "truth must have"),
        (lambda: plots.masked(np.ones((1, 2)), np.array([[0, -1]]), np.array([True])), "needs labels 0"),
        (lambda: anomaly.normal_deviations(Blurring(), torch.ones(2, 3)), "normals must be finite images"),
        (lambda: anomaly.KthLargest(2.5), "k must be an int"),
        (lambda: anomaly.TopK("2"), "k must be an int"),
        (lambda: anomaly.DetectorScore.from_callable(lambda x: None)(torch.ones(2, 3)), "one number per row"),
        (
            lambda: anomaly.DetectorScore.from_callable(lambda x: None, numpy=True)(torch.ones(2, 3)),
            "one number per row",
        ),
    ],
)
def test_what_has_no_answer_is_refused(call, match):
    with pytest.raises((InputError, InputTypeError), match=match):
        call()


def test_a_truth_one_pixel_high_is_drawn_without_an_outline():
    ax = Figure().subplots()
    plots.overlay(np.ones((1, 3)), np.ones((1, 3)), truth=MASK[0], ax=ax)
    assert len(ax.collections) == 0


def test_scores_take_tensors_only():
    score = anomaly.ReconstructionScore(Blurring()).calibrate(images(20), 0.2)
    for use in (score, score.scores_of, score.map, score.reference, score.closed_form):
        with pytest.raises(InputTypeError, match="samples must be a tensor"):
            use(np.ones((1, 1, 4, 4)))


def test_sums_of_huge_values_correlate():
    def total(x):
        return x.flatten(1).sum(1)

    x, huge = torch.tensor([[[[1.0, -1.0, 3.0]]]]), np.array([[[[1e308, -1e308, 1.5e308]]]])
    assert float(metrics.sensitivity_n(total, x, huge, n=2)) == pytest.approx(
        float(metrics.sensitivity_n(total, x, huge / 1e308, n=2)), abs=1e-12
    )


def test_methods_that_all_agree_have_a_tree_without_height():
    names = ["a", "b", "c"]
    ax = plots.agreement_dendrogram(pd.DataFrame(np.ones((3, 3)), names, names), ax=Figure().subplots())
    assert {label.get_text() for label in ax.get_yticklabels()} == set(names)


def test_one_value_far_above_a_tiny_percentile_is_drawn_at_full_strength():
    ax = Figure().subplots()
    plots.overlay(np.ones((1, 2)), np.array([[0.0, -1.0]]), percentile=1e-300, ax=ax)
    assert ax.images
