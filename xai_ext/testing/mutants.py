"""Broken methods, each with the checks that must catch it: what shows that the battery can fail."""

import random
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import nn

from xai_ext._forward import BoundForward
from xai_ext.game import Game, MaskedModel
from xai_ext.testing._twins import OcclusionTwin, Twin, permutation_shapley


@dataclass(frozen=True)
class Mutant:
    """A broken method, the checks that must see it, and the tags that it lies about."""

    name: str
    cls: Any
    caught_by: tuple[str, ...]
    tags: Mapping[str, Any] = field(default_factory=dict)


MUTANTS: list[Mutant] = []


def caught_by(*checks: str, **tags: Any) -> Callable[[Any], Any]:
    """List a class or function as a mutant that these checks must catch."""

    def register(cls: Any) -> Any:
        MUTANTS.append(Mutant(cls.__name__, cls, checks, tags))
        return cls

    return register


def after(change: Callable[[Any], Any]) -> Callable[..., Any]:
    """An ``attribute`` whose result is changed."""

    def attribute(self: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        return change(Twin.attribute(self, inputs, *args, **kwargs))

    return attribute


def before(change: Callable[..., Any]) -> Callable[..., Any]:
    """An ``attribute`` before which something happens: ``change(method, inputs)`` returns the inputs."""

    def attribute(self: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        return Twin.attribute(self, change(self, inputs), *args, **kwargs)

    return attribute


def valued(change: Callable[[Any], Any], base: type = Twin) -> type:
    """A twin whose players' values are changed."""

    def changed(self: Any, explanation: Any) -> Any:
        return replace(explanation, values=change(explanation.values))

    return type("Valued", (base,), {"changed": changed})


def named(name: str, cls: type, *checks: str, **tags: Any) -> None:
    """List a class under a name."""
    MUTANTS.append(Mutant(name, cls, checks, tags))


def changing(name: str, *checks: str, **attributes: Any) -> None:
    """A twin with other attributes."""
    named(name, type(name, (Twin,), attributes), *checks)


# contract
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


# non-interference
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


changing("draws from NumPy's generator", "global_rng", attribute=_draws_from(lambda: np.random.rand()))  # noqa: NPY002
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


# failure
@caught_by("model_error")
class SwallowsErrors(Twin):
    """A failing model is explained by zeros."""

    def attribute(self, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            return super().attribute(inputs, *args, **kwargs)
        except Exception as error:
            if type(error).__module__.startswith("xai_ext._"):
                raise
            return torch.zeros_like(inputs)


@caught_by("cancel")
class SwallowsInterrupts(Twin):
    """Goes on after KeyboardInterrupt."""

    def attribute(self, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            return super().attribute(inputs, *args, **kwargs)
        except KeyboardInterrupt:
            return torch.zeros_like(inputs)


class _Cleaned(nn.Module):
    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, *args: Any) -> Any:
        found = self.model(*args)
        return found.nan_to_num(0.0, 0.0, 0.0) if isinstance(found, torch.Tensor) else found


@caught_by("nonfinite_output")
class NaNToZero(Twin):
    """Reads NaN and infinity as 0."""

    def __init__(self, forward_func: Any) -> None:
        super().__init__(_Cleaned(forward_func))


@caught_by("oom_halves")
class GivesUp(Twin):
    """Does not try a smaller batch."""

    def attribute(self, *args: Any, **kwargs: Any) -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return super().attribute(*args, **kwargs)


# life
class _Shared:
    seed: Any = None


@caught_by("threads")
class SharedState(Twin):
    """Keeps the seed of the call on the class."""

    def attribute(self, *args: Any, seed: Any = None, **kwargs: Any) -> Any:
        _Shared.seed = seed
        time.sleep(0.002)
        return super().attribute(*args, seed=_Shared.seed, **kwargs)


@caught_by("copies", "C15")
class Bound(Twin):
    """Keeps the forward function in a second place."""

    def __init__(self, forward_func: Any) -> None:
        super().__init__(forward_func)
        self.kept = forward_func

    def attribute(self, *args: Any, **kwargs: Any) -> Any:
        self.forward_func = self.kept
        return super().attribute(*args, **kwargs)


named("returns NaN", valued(lambda v: np.where(np.arange(len(v))[:, None] == 0, np.nan, v.reshape(len(v), -1)).reshape(v.shape)), "renders", "shape_dtype")  # fmt: skip  # noqa: E501


@caught_by("batch_rows", "C14")
class IgnoresBatch(Twin):
    """Calls the model with as many rows as it likes."""

    def attribute(self, *args: Any, perturbations_per_eval: Any = 1, **kwargs: Any) -> Any:
        return super().attribute(*args, perturbations_per_eval=16, **kwargs)


@caught_by("chunks", "C4")
class DependsOnBatch(Twin):
    """The inner batch is part of the seed."""

    def attribute(self, *args: Any, perturbations_per_eval: Any = 1, seed: Any = None, **kwargs: Any) -> Any:
        seed = None if seed is None else seed + (perturbations_per_eval or 7)
        return super().attribute(*args, perturbations_per_eval=perturbations_per_eval, seed=seed, **kwargs)


def rebuilt(example: Any, forward: Any) -> Game:
    """The game of an example with another forward function."""
    model = example.game.masked_model
    again = MaskedModel(forward, model.inputs, model.baselines, batch_size=model.batch_size)
    return Game(again, example.game.labels)


__all__ = ["MUTANTS", "BoundForward", "Mutant", "OcclusionTwin", "permutation_shapley", "rebuilt"]
