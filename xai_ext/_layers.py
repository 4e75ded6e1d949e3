"""What the layers of a network return while it runs once."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn


def layer_outputs(module: nn.Module, x: Tensor, names: Iterable[str]) -> dict[str, Tensor]:
    """What the named modules return last, in the order of execution; what is no tensor is left out.

    Parameters
    ----------
    module : nn.Module
        Runs once, without gradients.
    x : Tensor (k, ...)
    names : iterable of str
        As in ``module.named_modules()``.
    """
    found: dict[str, Tensor] = {}

    def keep(name: str, output: object) -> None:
        found.pop(name, None)
        if isinstance(output, Tensor):
            found[name] = output

    hooks = [
        module.get_submodule(name).register_forward_hook(lambda _m, _i, output, name=name: keep(name, output))
        for name in names
    ]
    try:
        with torch.no_grad():
            module(x)
    finally:
        for hook in hooks:
            hook.remove()
    return found
