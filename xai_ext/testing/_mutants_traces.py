"""Broken methods that leave traces: in the input, the model, the process, the memory."""

import random
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn

from xai_ext.testing._mutant_kit import before, caught_by, changing
from xai_ext.testing._twins import Twin


def _writes(self: Any, x: Any) -> Any:
    x.data[...] = x.data * 1.5
    return x


def _touches(self: Any, x: Any) -> Any:
    return x.mul_(1.0)


changing("writes to the input", "inputs_unchanged", attribute=before(_writes))
changing("moves the input's version", "inputs_unchanged", attribute=before(_touches))


def _with_module(change: Callable[[nn.Module], Any]) -> Callable[..., Any]:
    def act(self: Any, x: Any) -> Any:
        if isinstance(self.forward_func, nn.Module):
            change(self.forward_func)
        return x

    return before(act)


def _nudges(module: nn.Module) -> None:
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(1e-3)


def _hooks(module: nn.Module) -> None:
    next(iter(module.modules())).register_forward_hook(lambda *_: None)


def _needs_gradients(module: nn.Module) -> None:
    module.requires_grad_(True)


def _drops_gradients(module: nn.Module) -> None:
    module.zero_grad()


changing("nudges the weights", "weights_unchanged", attribute=_with_module(_nudges))
changing("leaves a hook", "hooks", attribute=_with_module(_hooks))
changing("switches to eval", "mode_flags", attribute=_with_module(lambda m: m.eval()))
changing("asks for gradients", "grad_state", attribute=_with_module(_needs_gradients))
changing("drops gradients", "grad_state", attribute=_with_module(_drops_gradients))


def _unguarded(self: Any, x: Any) -> Any:
    if isinstance(self.forward_func, nn.Module) and isinstance(x, torch.Tensor) and len(x):
        try:
            self.forward_func(x)
        except Exception:  # the twin will say it
            return x
    return x


changing("one forward too many, unguarded", "train_mode_buffers", "budget_rows", attribute=before(_unguarded))


@caught_by("after_exception")
class KeepsRequiresGrad(Twin):
    """An exception leaves requires_grad on the input."""

    def attribute(self, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        if isinstance(inputs, torch.Tensor) and inputs.is_floating_point():
            inputs.requires_grad_()
            result = super().attribute(inputs, *args, **kwargs)
            inputs.requires_grad_(False)
            return result
        return super().attribute(inputs, *args, **kwargs)


def _draws_from(draw: Callable[[], Any]) -> Callable[..., Any]:
    def act(self: Any, x: Any) -> Any:
        draw()
        return x

    return before(act)


changing("draws from NumPy's generator", "global_rng", attribute=_draws_from(lambda: np.random.rand()))  # noqa: NPY002 - what is to be caught
changing("draws from Python's generator", "global_rng", attribute=_draws_from(lambda: random.random()))
changing("seeds torch", "global_rng", attribute=_draws_from(lambda: torch.manual_seed(0)))
changing(
    "silences warnings",
    "process_state",
    attribute=_draws_from(lambda: warnings.filterwarnings("ignore", message="of a mutant")),
)
changing("changes NumPy's errors", "process_state", attribute=_draws_from(lambda: np.seterr(all="ignore")))
changing("turns gradients off", "grad_state", attribute=_draws_from(lambda: torch.set_grad_enabled(False)))

_KEPT: list[Any] = []


def _keeps(self: Any, x: Any) -> Any:
    _KEPT.append((self.forward_func, torch.zeros(1)))
    del _KEPT[:-200]
    return x


changing("keeps models and tensors", "no_leak", attribute=before(_keeps))


@caught_by("later_training", "C16")
class InferenceMode(Twin):
    """Runs the model in inference mode."""

    def attribute(self, *args: Any, **kwargs: Any) -> Any:
        with torch.inference_mode():
            return super().attribute(*args, **kwargs).clone()
