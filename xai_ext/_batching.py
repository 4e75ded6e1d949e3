"""How many images per forward, in which memory format: measured, not guessed."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from xai_ext._forward import owner
from xai_ext._guard import is_training
from xai_ext._randomness import preserved_generators

_GROWTH = 4
_MAX_BYTES = {"cpu": 2**23, "cuda": 2**29}  # of one batch of inputs: what a CPU cache holds, what keeps a GPU busy
_WORTH_IT = 0.97  # a larger batch or another format must save 3 %
_REORDERING = 1e-10  # seconds per byte that writing images with channels last takes longer
_PATIENCE = 2.0  # seconds after which no larger batch is tried

_plans: WeakKeyDictionary[Any, dict[tuple[Any, ...], "Plan"]] = WeakKeyDictionary()
_fixed: WeakKeyDictionary[Any, "Plan"] = WeakKeyDictionary()


@dataclass(frozen=True)
class Plan:
    """Rows per forward call and the memory format of 4-D inputs."""

    batch_size: int
    memory_format: torch.memory_format = torch.contiguous_format


def fix_plan(module: nn.Module, plan: Plan) -> None:
    """Use this plan for the module from now on: what is timed differs from process to process, and so would bits."""
    _fixed[module] = plan


def measured_plan(forward: Callable[..., Tensor], images: tuple[Tensor, ...]) -> Plan:
    """The fastest plan for a model and an input shape, timed once and remembered.

    Parameters
    ----------
    forward : callable
        Images of shape (k, ...) -> scores of shape (k, ...).
    images : tuple of Tensor, each (1, ...)
        What is timed. A module in training mode gets one row per call, untimed: its rows depend on each other.
    """
    model, name = owner(forward)
    if is_training(model):
        return Plan(1)
    if isinstance(model, nn.Module) and model in _fixed:
        return _fixed[model]
    key = (name, torch.get_num_threads(), *((i.shape, i.dtype, i.device) for i in images))
    try:
        known = _plans.setdefault(model, {})
    except TypeError:  # no weak reference to such a callable
        known = {}
    if key not in known:
        with preserved_generators():
            known[key] = _measure(forward, images)
    return known[key]


def _measure(forward: Callable[..., Tensor], images: tuple[Tensor, ...]) -> Plan:
    start = time.perf_counter()
    best = Plan(1)
    seconds = _seconds_per_row(forward, images, best, warm_up=True)
    channels_last = Plan(1, torch.channels_last)
    if any(i.dim() == 4 and i.shape[1] > 1 for i in images) and _agrees(forward, images, channels_last):
        other = _seconds_per_row(forward, images, channels_last)
        slower = _REORDERING * sum(i.nbytes for i in images)
        best, seconds = (channels_last, other) if other + slower < _WORTH_IT * seconds else (best, seconds)
    limit = max(1, _MAX_BYTES.get(images[0].device.type, 2**26) // sum(i.nbytes for i in images))
    size = min(_GROWTH, limit)
    while size > best.batch_size and time.perf_counter() - start < _PATIENCE:
        plan = Plan(size, best.memory_format)
        try:
            other = _seconds_per_row(forward, images, plan, warm_up=images[0].is_cuda)
        except Exception:  # a model with a fixed batch size, or out of memory: smaller batches work
            break
        if other >= _WORTH_IT * seconds:
            break
        best, seconds, size = plan, other, min(size * _GROWTH, limit)
    return best


def _agrees(forward: Callable[..., Tensor], images: tuple[Tensor, ...], plan: Plan) -> bool:
    """Does the model accept this memory format and return the same?"""
    try:
        return torch.allclose(forward(*_expanded(images, plan)), forward(*images), rtol=1e-3, atol=1e-4)
    except Exception:  # e.g. Tensor.view in the model
        return False


def _seconds_per_row(
    forward: Callable[..., Tensor], images: tuple[Tensor, ...], plan: Plan, *, warm_up: bool = False
) -> float:
    batch = _expanded(images, plan)
    if warm_up:
        forward(*batch)
    fastest = math.inf
    for _ in range(2):
        _synchronize(batch[0])
        start = time.perf_counter()
        forward(*batch)
        _synchronize(batch[0])
        fastest = min(fastest, time.perf_counter() - start)
    return fastest / plan.batch_size


def _expanded(images: tuple[Tensor, ...], plan: Plan) -> tuple[Tensor, ...]:
    return tuple(
        as_format(i.expand(plan.batch_size, *i.shape[1:]), plan.memory_format) if i.numel() else i for i in images
    )


def as_format(images: Tensor, memory_format: torch.memory_format) -> Tensor:
    """Contiguous in ``memory_format`` where that exists (4-D), else contiguous."""
    return images.contiguous(memory_format=memory_format if images.dim() == 4 else torch.contiguous_format)


def _synchronize(images: Tensor) -> None:
    if images.is_cuda:
        torch.cuda.synchronize(images.device)
