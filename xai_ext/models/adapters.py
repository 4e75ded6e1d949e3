"""Torch modules in the forms that the hosts expect."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from xai_ext._checks import InputError, InputTypeError, check_at_least, check_choice
from xai_ext._types import AnyArray


@dataclass(frozen=True, eq=False)
class NumpyFunction:
    """A torch module as a function of NumPy images; made by `as_numpy_function`.

    The explainers of this package find the module in it and keep masked images on its device.
    """

    explained_model: nn.Module
    scale: float = 1.0
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    layout: Literal["channels_last", "channels_first"] = "channels_last"
    device: torch.device | None = None
    batch_size: int | None = None

    def __call__(self, images: AnyArray) -> AnyArray:
        """Scores (N, ...) of images (N, H, W, C), or (N, C, H, W) with ``layout="channels_first"``."""
        rows = torch.from_numpy(np.ascontiguousarray(images))
        size = self.batch_size or max(1, len(rows))
        parts = (rows[i : i + size] for i in range(0, max(1, len(rows)), size))
        return np.concatenate([self.on_tensor(part).cpu().numpy() for part in parts])

    @property
    def tensor_device(self) -> torch.device:
        """Where images go."""
        return self.device or self._parameter().device

    @torch.no_grad()
    def on_tensor(self, images: Tensor) -> Tensor:
        """The same for a tensor of images; the scores stay on the module's device."""
        x = images.to(self.tensor_device, self._parameter().dtype)
        if self.layout == "channels_last":
            x = x.movedim(-1, 1)
        if self.scale != 1.0:
            x = x * self.scale
        if self.mean is not None:
            x = x - _per_channel(self.mean, x)
        if self.std is not None:
            x = x / _per_channel(self.std, x)
        output: Tensor = self.explained_model(x)
        return output

    def _parameter(self) -> Tensor:
        return next(self.explained_model.parameters(), torch.empty(0))


def as_numpy_function(
    module: nn.Module,
    *,
    scale: float = 1.0,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    layout: Literal["channels_last", "channels_first"] = "channels_last",
    device: str | torch.device | None = None,
    batch_size: int | None = None,
) -> NumpyFunction:
    """A torch image model as the NumPy function that SHAP and lime call.

    Parameters
    ----------
    module : nn.Module
        Images (N, C, H, W) -> scores (N, n_outputs) or (N,). It runs in the mode it is in, without gradients;
        nothing is appended, in particular no softmax.
    scale : float
        Images are multiplied by it first, for example 1/255.
    mean, std : sequence of C floats, optional
        Then ``(x - mean) / std``, per channel.
    layout : {"channels_last", "channels_first"}
        Of the images the function gets: (N, H, W, C) or (N, C, H, W).
    device : optional
        Where images go; None is where the module's parameters are.
    batch_size : int, optional
        Rows per forward call; None runs what comes in one call.

    Returns
    -------
    NumpyFunction
        Picklable.
    """
    if not isinstance(module, nn.Module):
        raise InputTypeError(f"module must be a torch module, got {type(module).__name__}")
    check_choice("layout", layout, ("channels_last", "channels_first"))
    if batch_size is not None:
        check_at_least("batch_size", batch_size, 1)
    return NumpyFunction(
        module,
        scale,
        _numbers("mean", mean),
        _numbers("std", std),
        layout,
        None if device is None else torch.device(device),
        batch_size,
    )


class LogitsOf(nn.Module):
    """A module that returns an object (as those of Hugging Face do), reduced to one of its tensors.

    Parameters
    ----------
    module : nn.Module
    argument : str, optional
        Name under which the module takes the images, for example "pixel_values"; None passes them first.
    field : str
        Attribute of the returned object.
    """

    def __init__(self, module: nn.Module, *, argument: str | None = None, field: str = "logits") -> None:
        super().__init__()
        self.module, self.argument, self.field = module, argument, field

    def forward(self, images: Tensor, *args: Any) -> Tensor:
        """The field of the module's answer, (N, ...)."""
        answer = self.module(images, *args) if self.argument is None else self.module(*args, **{self.argument: images})
        if not hasattr(answer, self.field):
            raise InputError(f"the module's answer, {type(answer).__name__}, has no {self.field!r}; fix: field=")
        output: Tensor = getattr(answer, self.field)
        return output


def _numbers(name: str, values: Any) -> tuple[float, ...] | None:
    if values is None:
        return None
    if np.ndim(values) != 1 or not np.isfinite(values).all() or (name == "std" and not np.all(values)):
        raise InputError(f"{name} must hold one finite number per channel{', not 0' * (name == 'std')}, got {values!r}")
    return tuple(values)


def _per_channel(values: tuple[float, ...], x: Tensor) -> Tensor:
    if len(values) not in (1, x.shape[1]):
        raise InputError(
            f"mean and std must have {x.shape[1]} numbers, one per channel of {tuple(x.shape)}, got {values}"
        )
    return torch.tensor(values, dtype=x.dtype, device=x.device).reshape(-1, *(1,) * (x.dim() - 2))
