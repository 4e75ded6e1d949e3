"""The argument forms that Captum's users know, in one canonical form: tuples, one entry per input."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from xai_ext._checks import InputError, InputTypeError, check_broadcasts, check_labels
from xai_ext._forward import Index, PerExample

Inputs = Tensor | tuple[Tensor, ...]
Baseline = Tensor | float | int
Baselines = Baseline | tuple[Baseline, ...] | Callable[..., Any] | None
Target = int | tuple[int, ...] | Tensor | list[int] | list[tuple[int, ...]] | None


def as_tuple(inputs: Inputs) -> tuple[Tensor, ...]:
    """A tensor or a tuple of tensors, each with a batch dimension, as a tuple."""
    tensors = inputs if isinstance(inputs, tuple) else (inputs,)
    for tensor in tensors:
        if not isinstance(tensor, Tensor):
            raise InputTypeError(
                f"inputs must be a tensor or a tuple of tensors, got {type(tensor).__name__}; fix: torch.as_tensor(x)"
            )
        if tensor.dim() == 0:
            raise InputError("inputs need a batch dimension, got a 0-d tensor; fix: x[None]")
    return tensors


def as_tensor(values: Any) -> Tensor:
    """Numbers as a tensor; torch takes no array that is read backwards, and warns of one that must not be written."""
    if isinstance(values, np.ndarray):
        values = np.require(values, requirements=["C", "W"])
    return torch.as_tensor(values)


def batch_size(inputs: tuple[Tensor, ...]) -> int:
    """The number of examples: dimension 0 of the inputs that are not empty."""
    sizes = [x.shape[0] for x in inputs if x.numel()]
    if not sizes:
        raise InputError(f"inputs hold no example: shapes {[tuple(x.shape) for x in inputs]}")
    return sizes[0]


def format_baselines(baselines: Baselines, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """One tensor per input, of its dtype and device, with dimension 0 equal to 1 or to the input's."""
    if callable(baselines) and not isinstance(baselines, Tensor):
        baselines = baselines(inputs if len(inputs) > 1 else inputs[0])
    if baselines is None or isinstance(baselines, int | float):
        baselines = (baselines or 0,) * len(inputs)
    given = baselines if isinstance(baselines, tuple) else (baselines,)
    if len(given) != len(inputs):
        raise InputError(f"baselines must hold one entry per input ({len(inputs)}), got {len(given)}")
    return tuple(_baseline(b, x) for b, x in zip(given, inputs, strict=True))


def _baseline(baseline: Any, x: Tensor) -> Tensor:
    if not isinstance(baseline, Tensor):
        if not isinstance(baseline, int | float):
            raise InputTypeError(f"a baseline must be a number or a tensor, got {type(baseline).__name__}")
        return torch.full_like(x[:1], baseline, requires_grad=False)
    if baseline.dim() == 0:
        return torch.full_like(x[:1], baseline.item(), requires_grad=False)
    if baseline.shape[1:] != x.shape[1:] or baseline.shape[0] not in (1, x.shape[0]):
        raise InputError(
            f"a baseline tensor must have the input's shape {tuple(x.shape)}, or 1 in place of the first "
            f"dimension, got {tuple(baseline.shape)}"
        )
    return baseline.detach().to(x)


def format_labels(feature_mask: Any, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...] | None:
    """One int64 tensor of player ids per input; its first dimension is 1 or the number of examples.

    The rest of its shape broadcasts from the right to the input's; missing dimensions are added in front.
    """
    if feature_mask is None:
        return None
    given = feature_mask if isinstance(feature_mask, tuple) else (feature_mask,)
    if len(given) != len(inputs):
        raise InputError(f"feature_mask must hold one tensor per input ({len(inputs)}), got {len(given)}")
    return tuple(_labels(m, x) for m, x in zip(given, inputs, strict=True))


def _labels(mask: Any, x: Tensor) -> Tensor:
    labels = check_labels(as_tensor(mask)).to(x.device)
    if not x.numel():
        return labels.new_zeros((1, *x.shape[1:]))
    check_broadcasts("feature_mask", tuple(labels.shape), tuple(x.shape))
    return labels.reshape((1,) * (x.dim() - labels.dim()) + tuple(labels.shape))


def format_targets(target: Target, n_examples: int) -> list[Index]:
    """The target of each example."""
    if isinstance(target, Tensor):
        if target.is_floating_point() or (target.dim() > 1 and target.numel() > 1):
            raise InputError(f"a tensor target must be 1-D and of integers, got {target.dtype} {tuple(target.shape)}")
        target = int(target.item()) if target.numel() == 1 else target.tolist()
    if isinstance(target, list):
        if len(target) != n_examples:
            raise InputError(f"target must hold one entry per example ({n_examples}), got {len(target)}")
        return [t if isinstance(t, tuple) else int(t) for t in target]
    if target is not None and not isinstance(target, int | tuple):
        raise InputTypeError(f"target must be an int, a tuple, a tensor, a list or None, got {type(target).__name__}")
    return [target] * n_examples


def example_args(additional_forward_args: Any, n_examples: int, index: int) -> tuple[Any, ...]:
    """The extra arguments of example ``index``: tensors with one row per example are sliced."""
    if additional_forward_args is None:
        return ()
    given = additional_forward_args if isinstance(additional_forward_args, tuple) else (additional_forward_args,)
    return tuple(
        PerExample(a[index : index + 1]) if isinstance(a, Tensor) and a.dim() and a.shape[0] == n_examples else a
        for a in given
    )


def plain_args(additional_forward_args: Any) -> tuple[Any, ...]:
    """The extra arguments as the model gets them with the whole batch."""
    if additional_forward_args is None:
        return ()
    return additional_forward_args if isinstance(additional_forward_args, tuple) else (additional_forward_args,)


def example(tensors: tuple[Tensor, ...], index: int) -> tuple[Tensor, ...]:
    """Row ``index`` of each tensor, dimension 0 kept; tensors shared by all examples, and empty ones, as they are."""
    return tuple(t[index : index + 1] if t.numel() and t.shape[0] > 1 else t for t in tensors)
