"""What the classes share whose values belong to positions of the input unless a feature mask is given."""

import torch
from torch import Tensor

from xai_ext._arguments import Inputs
from xai_ext.attr._call import Call, Example
from xai_ext.explanation import Explanation


def projected(
    call: Call, examples: list[Example], explanations: list[Explanation], *, has_mask: bool, return_input_shape: bool
) -> Inputs:
    """Tensors shaped like the inputs, or one value per player or position."""
    dtype = torch.promote_types(examples[-1].game.masked_model.dtype, torch.float32)
    if has_mask and not return_input_shape:
        return call.coefficients(explanations, [e.ids for e in examples], dtype)
    full = call.attributions(explanations, dtype)
    if return_input_shape:
        return full
    tensors = full if isinstance(full, tuple) else (full,)
    maps = tuple(_one_channel(t, e.ndim) for t, e in zip(tensors, explanations[0].labels, strict=True))
    return maps if isinstance(full, tuple) else maps[0]


def _one_channel(attributions: Tensor, n_dims: int) -> Tensor:
    """The values are equal along the dimensions in front of the spatial ones: (N, 1, *spatial)."""
    if attributions.dim() <= n_dims + 1:
        return attributions
    return attributions.narrow(attributions.dim() - n_dims - 1, 0, 1).contiguous()
