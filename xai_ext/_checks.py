"""Every input error of the package: what was expected, what came, the fix."""

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any

import numpy as np
import torch

from xai_ext._types import AnyArray, BoolArray, FloatArray


class InputError(ValueError, AssertionError):
    """An argument has a value that cannot be used.

    Also an ``AssertionError``, because that is what Captum raises for its own arguments.
    """


class InputTypeError(TypeError, AssertionError):
    """An argument has a type that cannot be used; also an ``AssertionError``, as in Captum."""


class NonFiniteScoreError(InputError):
    """The explained model returned NaN or infinity."""


def check_at_least(name: str, value: int, least: int, why: str = "") -> int:
    """``value`` as an int that is not below ``least``."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise InputTypeError(f"{name} must be an int, got {value!r} of type {type(value).__name__}")
    if value < least:
        raise InputError(f"{name} must be at least {least}{why and f' ({why})'}, got {value}")
    return int(value)


def check_positive(name: str, value: float) -> float:
    """``value`` as a finite float above zero."""
    if not np.isfinite(value) or value <= 0:
        raise InputError(f"{name} must be a positive finite number, got {value!r}")
    return float(value)


def check_choice(name: str, value: Any, choices: Iterable[str]) -> str:
    """``value`` if it is one of ``choices``."""
    known = list(choices)
    if isinstance(value, str) and value in known:
        return value
    near = get_close_matches(str(value), known, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    raise InputError(f"{name} must be one of {', '.join(map(repr, known))}, got {value!r}{hint}")


def check_coalitions(coalitions: AnyArray, n_players: int) -> BoolArray:
    """A bool array of shape (k, n_players)."""
    array = np.asarray(coalitions)
    if array.dtype != np.bool_ or array.ndim != 2 or array.shape[1] != n_players:
        raise InputError(
            f"coalitions must be a bool array of shape (k, {n_players}), got {array.dtype} of shape {array.shape}"
        )
    return array


def check_labels(labels: torch.Tensor) -> torch.Tensor:
    """Integer player ids as int64; bool and integral floats are accepted."""
    if labels.is_complex() or (labels.is_floating_point() and not bool((labels == labels.round()).all())):
        raise InputError(f"labels must be integers, got {labels.dtype} with fractional, infinite or NaN values")
    return labels.long()


def check_contiguous_ids(ids: torch.Tensor) -> int:
    """The number of players, if the ids are exactly 0..n-1."""
    if ids.numel() and 0 <= int(ids.min()) and int(ids.max()) < ids.numel():
        counts = torch.bincount(ids.flatten())  # a tenth of the time of sorting
        if bool(counts.all()):
            return len(counts)
    present = torch.unique(ids).tolist()
    first, last = (present[0], present[-1]) if present else ("nothing", "nothing")
    raise InputError(
        f"labels must number the players 0..n-1 without gaps, got {len(present)} ids from {first} to {last}; "
        "fix: labels = numpy.unique(labels, return_inverse=True)[1].reshape(labels.shape)"
    )


def check_broadcasts(name: str, shape: tuple[int, ...], onto: tuple[int, ...]) -> None:
    """``shape`` must broadcast from the right onto ``onto``."""
    fits = len(shape) <= len(onto) and all(a in (1, b) for a, b in zip(shape[::-1], onto[::-1], strict=False))
    if not fits:
        raise InputError(f"{name} of shape {shape} does not broadcast from the right to the input's shape {onto}")


def check_finite_scores(scores: FloatArray, first: int) -> None:
    """Refuse NaN and infinite model outputs, naming the evaluation (counted from 0)."""
    finite = np.isfinite(scores)
    if finite.all():
        return
    row, column = np.argwhere(~finite)[0]
    raise NonFiniteScoreError(
        f"the model returned {float(scores[row, column])} for output {column} of evaluation {first + row}; "
        "an explanation needs finite scores (fix: explain logits, or mask with a baseline the model can handle)"
    )
