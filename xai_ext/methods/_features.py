"""Activations of a torch module while it sees the input."""

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from xai_ext._checks import InputError
from xai_ext._forward import owner
from xai_ext._types import FloatArray
from xai_ext.game import MaskedModel
from xai_ext.methods._positions import Shape

_MOST_TAPS = 4
_FIX = "fix: pass layers=, source='image' or a callable"


def sampled_features(masked: MaskedModel, layers: tuple[str | nn.Module, ...] | None, n_dims: int) -> list[FloatArray]:
    """Activations (C, *size) of the given layers, or of the last one of each of the finest sizes.

    Costs no evaluation if f(x) is not known yet, else one; no hook stays behind.
    """
    module = owner(masked.forward)[0]
    if not isinstance(module, nn.Module):
        raise InputError(f"attention from features needs a torch module, got {type(module).__name__}; {_FIX}")
    named = dict(module.named_modules())
    tapped = list(named.values()) if layers is None else [_layer(layer, named) for layer in layers]
    seen: list[FloatArray] = []
    _ = masked.batch_size  # its measurement would call the hooks
    handles = [m.register_forward_hook(lambda _, __, out: seen.extend(_maps(out, n_dims))) for m in tapped]
    try:
        _full_value(masked)
    finally:
        for handle in handles:
            handle.remove()
    taps = seen if layers is not None else _finest(seen, tuple(masked.inputs[0].shape[-n_dims:]))
    if not taps:
        raise InputError(f"no layer has an output of shape (1, C, {', '.join('n' * n_dims)}); {_FIX}")
    return taps


def _full_value(masked: MaskedModel) -> None:
    if "full_value" in vars(masked):
        masked.evaluate(1, lambda _: tuple(torch.ones(1, dtype=torch.bool) for _ in masked.inputs))
    else:
        _ = masked.full_value


def _layer(layer: str | nn.Module, named: dict[str, nn.Module]) -> nn.Module:
    if isinstance(layer, nn.Module):
        return layer
    if layer not in named:
        raise InputError(f"the model has no layer {layer!r}; its layers are those of named_modules()")
    return named[layer]


def _maps(output: Any, n_dims: int) -> list[FloatArray]:
    """The output as (C, *size): of one example, a map or tokens on a grid of equal sides."""
    if not isinstance(output, Tensor) or output.shape[:1] != (1,) or not output.is_floating_point():
        return []
    array = output[0].detach().cpu().double().numpy()
    if array.ndim == n_dims + 1:
        return [array]
    if array.ndim == 2:
        for tokens in (array, array[1:]):
            side = round(len(tokens) ** (1 / n_dims))
            if side > 1 and side**n_dims == len(tokens):
                return [np.moveaxis(tokens.reshape(*(side,) * n_dims, -1), -1, 0)]
    return []


def _finest(maps: list[FloatArray], shape: Shape) -> list[FloatArray]:
    last = {m.shape[1:]: m for m in maps if all(1 < a < b for a, b in zip(m.shape[1:], shape, strict=True))}
    finest = sorted(last, key=lambda size: -int(np.prod(size)))[:_MOST_TAPS]
    return [last[size] for size in finest]
