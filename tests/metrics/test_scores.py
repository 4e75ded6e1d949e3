"""What a curve follows."""

import numpy as np
import pytest
import torch
from scipy.special import log_softmax, softmax

from xai_ext.metrics._scores import apply_score

OUTPUTS = np.array([[1.0, 3.0, -2.0], [800.0, -900.0, 0.5]])  # exp(800) overflows


@pytest.mark.parametrize("score", [None, "logit"])
def test_the_target_is_taken_as_it_is(score):
    np.testing.assert_array_equal(apply_score(OUTPUTS, 1, score), [3.0, -900.0])


@pytest.mark.parametrize("target", [0, 1, 2, -1, (1,)])
def test_probabilities_are_softmaxes(target):
    index = target[0] if isinstance(target, tuple) else target
    np.testing.assert_allclose(apply_score(OUTPUTS, target, "prob"), softmax(OUTPUTS, 1)[:, index], rtol=1e-13)
    np.testing.assert_allclose(apply_score(OUTPUTS, target, "log_prob"), log_softmax(OUTPUTS, 1)[:, index], rtol=1e-13)


def test_the_margin_is_the_lead_over_the_best_other():
    np.testing.assert_array_equal(apply_score(OUTPUTS, 1, "margin"), [2.0, -1700.0])
    np.testing.assert_array_equal(apply_score(OUTPUTS, -1, "margin"), [-5.0, -799.5])


def test_a_function_gets_all_outputs_and_the_target():
    def spread(outputs, target):
        assert outputs.dtype == torch.float64
        return outputs[:, target] - outputs.mean(1)

    np.testing.assert_allclose(apply_score(OUTPUTS, 0, spread), OUTPUTS[:, 0] - OUTPUTS.mean(1))


@pytest.mark.parametrize("outputs", [OUTPUTS[:, 0], OUTPUTS[:, :1]])
def test_a_single_output_needs_no_target(outputs):
    np.testing.assert_array_equal(apply_score(outputs, None), [1.0, 800.0])


def test_several_outputs_need_a_target():
    with pytest.raises(ValueError, match=r"fix: target=model\(x\).argmax\(1\)"):
        apply_score(OUTPUTS, None)


@pytest.mark.parametrize(("outputs", "target"), [(OUTPUTS[:, :1], 0), (OUTPUTS, None), (np.zeros((2, 3, 4)), (1, 2))])
def test_a_softmax_needs_one_dimension_of_outputs_and_a_target(outputs, target):
    with pytest.raises(ValueError, match="compares at least two outputs"):
        apply_score(outputs, target, "prob")


def test_a_target_out_of_range_is_refused():
    with pytest.raises(ValueError, match="does not index"):
        apply_score(OUTPUTS, 3, "margin")


@pytest.mark.parametrize("answer", [np.zeros(3), np.array([1.0, np.nan]), 5.0])
def test_a_function_must_return_one_finite_number_per_row(answer):
    with pytest.raises(ValueError, match="2 finite numbers"):
        apply_score(OUTPUTS, 0, lambda *_: answer)
