"""The number that a curve follows: one per row of model outputs."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from xai_ext._checks import InputError, InputTypeError, check_choice
from xai_ext._forward import Index, select
from xai_ext._types import FloatArray

Score = str | Callable[[Tensor, Index], Any] | None


def check_score(score: Score) -> None:
    """None, a name or a function."""
    if isinstance(score, str):
        check_choice("score", score, ("logit", *_OF_OUTPUTS))
    elif score is not None and not callable(score):
        raise InputTypeError(f"score must be None, a name or a function, got {type(score).__name__}")


def needs_all_outputs(score: Score) -> bool:
    """Does the score look at other outputs than the target?"""
    return score not in (None, "logit")


def apply_score(outputs: FloatArray, target: Index, score: Score = None) -> FloatArray:
    """One score per row.

    Parameters
    ----------
    outputs : array (rows, n_outputs) or (rows, ...)
        What the model returned.
    target : int, tuple or None
        Which output; None where there is only one.
    score : None, "logit", "prob", "log_prob", "margin" or callable
        The output as it is (None and "logit"); its softmax; the logarithm of that; the output minus the largest
        other one; ``score(outputs, target)``, called with a float64 tensor, returning one finite number per row.

    Returns
    -------
    array (rows,)
    """
    if callable(score):
        return _checked(score(torch.from_numpy(outputs), target), len(outputs))
    if score in _OF_OUTPUTS:
        return _OF_OUTPUTS[score](*_of_one_dimension(outputs, target, score))
    selected = np.asarray(select(torch.from_numpy(outputs), target)).reshape(len(outputs), -1)
    if selected.shape[1] != 1:
        what = f"target {target} selects" if target is not None else "the model returns"
        raise InputError(
            f"a curve follows one score, {what} outputs of shape {outputs.shape[1:]}; fix: target=model(x).argmax(1)"
        )
    return np.asarray(selected[:, 0])


def _of_one_dimension(outputs: FloatArray, target: Index, score: str) -> tuple[FloatArray, int]:
    index = target[0] if isinstance(target, tuple) and len(target) == 1 else target
    if outputs.ndim != 2 or outputs.shape[1] < 2 or not isinstance(index, int):
        raise InputError(
            f'score="{score}" compares at least two outputs (rows, n_outputs) at an integer target, got outputs '
            f"{outputs.shape} and target {target}; fix: target=model(x).argmax(1), or a function of (outputs, target)"
        )
    select(torch.from_numpy(outputs), index)  # refuses a target out of range
    return outputs, index


def _log_prob(outputs: FloatArray, target: int) -> FloatArray:
    shifted = outputs - outputs.max(1, keepdims=True)
    return np.asarray(shifted[:, target] - np.log(np.exp(shifted).sum(1)))


def _prob(outputs: FloatArray, target: int) -> FloatArray:
    return np.asarray(np.exp(_log_prob(outputs, target)))


def _margin(outputs: FloatArray, target: int) -> FloatArray:
    return np.asarray(outputs[:, target] - np.delete(outputs, target, axis=1).max(1))


_OF_OUTPUTS: dict[str, Callable[[FloatArray, int], FloatArray]] = {
    "prob": _prob,
    "log_prob": _log_prob,
    "margin": _margin,
}


def _checked(scores: Any, n_rows: int) -> FloatArray:
    array = np.asarray(scores.detach() if isinstance(scores, Tensor) else scores, dtype=np.float64)
    if array.shape != (n_rows,) or not np.isfinite(array).all():
        raise InputError(f"score must return {n_rows} finite numbers, one per row, got {array!r}")
    return array
