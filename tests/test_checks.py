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
