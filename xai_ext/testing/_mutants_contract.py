"""Broken methods whose arguments, shapes or output are not as agreed."""

import warnings
from typing import Any

import torch

from xai_ext.game import Game, MaskedModel
from xai_ext.testing._mutant_kit import after, before, caught_by, changing
from xai_ext.testing._twins import Twin

changing("float64 becomes float32", "shape_dtype", attribute=after(lambda a: a.float()))
changing("carries a graph", "shape_dtype", attribute=after(lambda a: a.requires_grad_()))
changing("not contiguous", "shape_dtype", attribute=after(lambda a: a.transpose(2, 3).contiguous().transpose(2, 3)))


def _in_memory_order(self: Any, x: Any) -> Any:
    if not isinstance(x, torch.Tensor) or not x.numel():
        return x
    flat = x.as_strided((min(x.numel(), x.untyped_storage().nbytes() // x.element_size()),), (1,), 0)
    return flat.reshape(x.shape) if flat.numel() == x.numel() else x * 0


changing("reads memory order", "layouts", attribute=before(_in_memory_order))


def _square(self: Any, x: Any) -> Any:
    if isinstance(x, torch.Tensor) and x.dim() == 4 and x.shape[2] != x.shape[3]:
        raise RuntimeError("only squares")
    return x


changing("only squares", "sizes", attribute=before(_square))


@caught_by("targets")
class FirstTarget(Twin):
    """A list of targets is read as its first entry plus one."""

    def attribute(self, inputs: Any, baselines: Any = None, target: Any = None, *args: Any, **kwargs: Any) -> Any:
        if isinstance(target, list):
            target = [0] * len(target)
        return super().attribute(inputs, baselines, target, *args, **kwargs)


@caught_by("bad_calls")
class SwallowsKeywords(Twin):
    """A misspelt keyword has no effect."""

    def attribute(self, inputs: Any, baselines: Any = None, target: Any = None, **kwargs: Any) -> Any:
        known = {"additional_forward_args", "feature_mask", "n_samples", "perturbations_per_eval", "seed", "tol"}
        return super().attribute(inputs, baselines, target, **{k: v for k, v in kwargs.items() if k in known})


@caught_by("bad_calls")
class AnyBudget(Twin):
    """A budget below one is read as thirty."""

    def attribute(self, inputs: Any, *args: Any, n_samples: Any = 50, **kwargs: Any) -> Any:
        n_samples = n_samples if isinstance(n_samples, int) and n_samples > 0 else 30
        return super().attribute(inputs, *args, n_samples=n_samples, **kwargs)


@caught_by("nan_pixels")
class Multiplies(Twin):
    """Masks by multiplication."""

    def game(self, example: Any) -> Game:
        model = example.game.masked_model

        def fill(inputs: Any, keep: Any) -> Any:
            pairs = zip(inputs, model.baselines, keep, strict=True)
            return tuple(b + k.to(x.dtype) * (x - b) for x, b, k in pairs)

        again = MaskedModel(model.forward, model.inputs, model.baselines, batch_size=model.batch_size, fill=fill)
        return Game(again, example.game.labels)


def _says(self: Any, x: Any) -> Any:
    print("explaining")
    return x


def _warns(self: Any, x: Any) -> Any:
    warnings.warn("this is slow", stacklevel=2)
    return x


changing("prints", "quiet", attribute=before(_says))
changing("warns", "quiet", attribute=before(_warns))
