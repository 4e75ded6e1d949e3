"""Input errors: also Captum's type of error, and with the fix."""

import numpy as np
import pytest
import torch

from xai_ext import _checks as checks


def test_errors_are_also_assertion_errors_as_captums_are():
    assert issubclass(checks.InputError, ValueError)
    assert issubclass(checks.InputError, AssertionError)
    assert issubclass(checks.InputTypeError, TypeError)
    assert issubclass(checks.InputTypeError, AssertionError)


@pytest.mark.parametrize("value", [True, 3.0, "3", None])
def test_only_an_int_is_an_int(value):
    with pytest.raises(TypeError, match="budget must be an int"):
        checks.check_at_least("budget", value, 1)


def test_a_numpy_int_is_an_int():
    assert checks.check_at_least("budget", np.int64(3), 1) == 3


@pytest.mark.parametrize("dtype", [torch.bool, torch.uint8, torch.int32, torch.float64])
def test_labels_of_any_integral_content_are_int64(dtype):
    assert checks.check_labels(torch.tensor([0, 1, 1], dtype=dtype)).dtype == torch.int64


@pytest.mark.parametrize("labels", [torch.tensor([0.5]), torch.tensor([float("nan")]), torch.tensor([1j])])
def test_labels_of_other_content_are_errors(labels):
    with pytest.raises(ValueError, match="labels must be integers"):
        checks.check_labels(labels)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: checks.check_at_least("budget", 2, 3, "two ends"), r"budget must be at least 3 \(two ends\), got 2"),
        (lambda: checks.check_positive("width", 0.0), "width must be a positive finite number, got 0.0"),
        (lambda: checks.check_positive("width", float("inf")), "positive finite number, got inf"),
        (lambda: checks.check_choice("host", "captun", ("captum", "shap")), "did you mean 'captum'"),
        (lambda: checks.check_choice("host", 3, ("captum", "shap")), "host must be one of 'captum', 'shap', got 3$"),
        (lambda: checks.check_coalitions(np.ones((2, 3)), 3), r"bool array of shape \(k, 3\), got float64"),
        (lambda: checks.check_coalitions(np.ones((2, 4), bool), 3), r"got bool of shape \(2, 4\)"),
        (lambda: checks.check_contiguous_ids(torch.tensor([0, 2])), "2 ids from 0 to 2; fix"),
        (lambda: checks.check_contiguous_ids(torch.tensor([-1, 0])), "2 ids from -1 to 0"),
        (lambda: checks.check_contiguous_ids(torch.tensor([], dtype=torch.int64)), "0 ids from nothing to nothing"),
        (lambda: checks.check_broadcasts("mask", (2, 3), (2, 4)), r"mask of shape \(2, 3\) does not broadcast"),
        (lambda: checks.check_broadcasts("mask", (1, 1, 4), (2, 4)), "does not broadcast"),
        (lambda: checks.check_finite_scores(np.array([[0.0, 1], [2, np.nan]]), 7), "nan for output 1 of evaluation 8"),
    ],
)
def test_every_error_says_what_was_expected_and_what_came(call, message):
    with pytest.raises(checks.InputError, match=message):
        call()
