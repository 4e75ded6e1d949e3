"""What the classes share whose values belong to positions of the input unless a feature mask is given."""

from collections.abc import Callable

import torch
from torch import Tensor

from xai_ext._arguments import Inputs
from xai_ext.attr._call import Call, Example, captum_progress, reported
from xai_ext.explanation import Explanation


def explanations_of(
    call: Call, explain: Callable[[Example], Explanation], name: str, n_samples: int, *, show_progress: bool
) -> tuple[list[Example], list[Explanation]]:
    """The examples of a call, explained one after the other."""
    examples = list(call.examples())
    calls = sum(1 - (2 - n_samples) // e.game.masked_model.batch_size for e in examples) if show_progress else 0
    explanations = []
    with captum_progress(name, calls, enabled=show_progress) as update:
        for example in examples:
            with reported(example.game.masked_model, update):
                explanations.append(explain(example))
    return examples, explanations


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
