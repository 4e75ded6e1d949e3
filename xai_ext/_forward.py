"""Calling the user's model: which arguments go in, which output comes out."""

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from xai_ext._checks import InputError, InputTypeError
from xai_ext._types import AnyArray

Index = int | tuple[int, ...] | None
Layout = Literal["channels_first", "channels_last", "as_is"]


@dataclass(frozen=True, eq=False)
class PerExample:
    """An extra argument that has one row per example; `rows` is this example's, of shape (1, ...)."""

    rows: Tensor

    def expanded(self, size: int) -> Tensor:
        return self.rows.expand(size, *self.rows.shape[1:])


@dataclass(frozen=True, eq=False)
class BoundForward:
    """A forward function whose output index and extra arguments are fixed.

    Parameters
    ----------
    function : callable
        The user's; called as ``function(*images, *args)``.
    target : int, tuple of int or None
        Which output of each row; indexes the dimensions behind the batch dimension.
    args : tuple
        Extra arguments; a `PerExample` is expanded to as many rows as there are images.
    aggregate : bool
        The function returns one answer for the whole batch instead of one per row.
    """

    function: Callable[..., Any]
    target: Index = None
    args: tuple[Any, ...] = ()
    aggregate: bool = False

    def __call__(self, *images: Tensor) -> Tensor:
        size = len(next(image for image in images if image.numel()))
        extra = (a.expanded(size) if isinstance(a, PerExample) else a for a in self.args)
        output = self.function(*images, *extra)
        if self.aggregate:
            return as_row(output)
        return select(output, self.target)


def as_row(output: Any) -> Tensor:
    """One answer for a whole batch, a number or a tensor, as a row of scores (1, ...)."""
    if isinstance(output, Tensor):
        return output[None]
    numbers = np.asarray(output)
    if numbers.dtype.kind not in "biuf":
        raise _no_tensor(output)
    return torch.from_numpy(numbers)[None]


def select(output: Any, target: Index) -> Tensor:
    """The outputs at ``target``, of shape (k,), or all of them when it is None."""
    if not isinstance(output, Tensor):
        raise _no_tensor(output)
    if target is None:
        return output
    index: tuple[int, ...] = target if isinstance(target, tuple) else (target,)
    fits = len(index) < output.dim() and all(
        -size <= i < size for i, size in zip(index, output.shape[1:], strict=False)
    )
    if not fits:
        raise InputError(
            f"target {target} does not index an output of shape {tuple(output.shape)} behind its batch dimension"
        )
    selection: tuple[Any, ...] = (slice(None), *index)
    return output[selection]


def _no_tensor(output: Any) -> InputTypeError:
    return InputTypeError(
        f"the model must return a tensor, got {type(output).__name__}; fix: wrap it in a function that returns the "
        "tensor (for an object with .logits, as of Hugging Face: xai_ext.models.LogitsOf(model))"
    )


def on_host(values: Any) -> AnyArray:
    """A tensor, an array or numbers as an array."""
    if not isinstance(values, Tensor):
        return np.asarray(values)
    tensor = values.detach().cpu()
    return np.asarray((tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy())  # NumPy has no bfloat16


def owner(forward: Any) -> tuple[Any, str]:
    """The object behind a forward function, and its method's name: what a measurement is remembered under."""
    name = ""
    while True:
        if isinstance(forward, BoundForward | NumpyForward):
            forward = forward.function
        elif isinstance(forward, functools.partial):
            forward = forward.func
        elif hasattr(forward, "explained_model"):
            forward = forward.explained_model
        elif inspect.ismethod(forward):
            forward, name = forward.__self__, forward.__name__
        else:
            return forward, name


@dataclass(frozen=True, eq=False)
class NumpyForward:
    """A NumPy function as a torch forward function.

    Parameters
    ----------
    function : callable
        Array (k, ...) -> array (k,) or (k, n_outputs).
    layout : {"channels_first", "channels_last", "as_is"}
        Where `function` expects the channels of (k, C, *spatial) tensors; "channels_first" and "as_is" pass any
        tensor unchanged.
    """

    function: Callable[[AnyArray], Any]
    layout: Layout = "channels_last"

    def __call__(self, images: Tensor) -> Tensor:
        if self.layout == "channels_last":
            images = images.movedim(1, -1)
        answer = self.function(on_host(images))
        scores = np.ascontiguousarray(answer)
        if scores.dtype.kind not in "biuf":
            raise InputTypeError(
                f"the model must return an array of real numbers, one row per image, got {type(answer).__name__}"
            )
        return torch.from_numpy(scores)


def numpy_forward(function: Callable[[AnyArray], Any], layout: Layout = "channels_last") -> NumpyForward:
    """A NumPy image function as a forward function for (k, C, *spatial) tensors.

    Parameters
    ----------
    function : callable
        Array (k, *spatial, C) -> array (k,) or (k, n_outputs); with ``layout="channels_first"``
        it receives (k, C, *spatial).
    """
    return NumpyForward(function, layout)
