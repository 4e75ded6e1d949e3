"""The user's model comes back as it was: what a forward in training mode changes is put back."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from xai_ext._forward import owner


class Guard:
    """Keeps forwards of one model without trace.

    Parameters
    ----------
    forward : callable
        A module, or something that names its module (see `xai_ext._forward.owner`). A function that hides its
        module in a closure cannot be guarded.

    Notes
    -----
    Buffers of modules in training mode (batch statistics, counters) are restored, and torch's generator, which
    dropout draws from. The draws go on from block to block, so that no two blocks see the same dropout.
    """

    def __init__(self, forward: Any) -> None:
        model = owner(forward)[0]
        self._modules = list(model.modules()) if isinstance(model, nn.Module) else []
        self._state: Tensor | None = None

    @contextmanager
    def __call__(self) -> Iterator[None]:
        """Run a block of forwards."""
        training = [m for m in self._modules if m.training]
        if not training:
            yield
            return
        buffers = [(m, name, b, b.clone()) for m in training for name, b in m._buffers.items() if b is not None]
        with torch.random.fork_rng(devices=_cuda_devices(self._modules)):
            if self._state is not None:
                torch.set_rng_state(self._state)
            try:
                yield
            finally:
                self._state = torch.get_rng_state()
                with torch.no_grad():
                    for module, name, buffer, content in buffers:
                        buffer.copy_(content)
                        module._buffers[name] = buffer


def is_training(model: Any) -> bool:
    """Is any part of a module in training mode?"""
    return isinstance(model, nn.Module) and any(m.training for m in model.modules())


def _cuda_devices(modules: list[nn.Module]) -> list[torch.device]:
    tensors = (t for m in modules for t in m._parameters.values() if t is not None)
    return sorted({t.device for t in tensors if t.is_cuda}, key=str)
