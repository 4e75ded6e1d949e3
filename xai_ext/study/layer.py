"""Which layer Grad-CAM looks at when nobody says."""

from torch import Tensor, nn

from xai_ext._checks import InputError
from xai_ext._layers import layer_outputs


def find_layer(module: nn.Module, x: Tensor, name: str | None = None) -> str | None:
    """The last module, in the order of execution, whose output is a map larger than one pixel.

    Parameters
    ----------
    module : nn.Module
        Runs once, without gradients.
    x : Tensor (1, C, H, W)
    name : str, optional
        A layer of the user's choice; an error if there is none of that name.

    Returns
    -------
    str or None
        Name as in ``module.named_modules()``; None where there is no such layer, as in transformers.
    """
    if name is not None:
        if name not in dict(module.named_modules()):
            raise InputError(f"the model has no layer {name!r}; see [n for n, _ in model.named_modules()]")
        return name
    names = [layer for layer, _ in module.named_modules() if layer]
    maps = [
        layer
        for layer, output in layer_outputs(module, x, names).items()
        if output.dim() == 4 and min(output.shape[2:]) > 1
    ]
    return maps[-1] if maps else None
