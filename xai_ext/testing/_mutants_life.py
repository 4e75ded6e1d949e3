"""Broken methods that hide failures, share state between calls, or depend on the batch."""

import time
import warnings
from typing import Any

import numpy as np
import torch
from torch import nn

from xai_ext.game import Game
from xai_ext.testing._mutant_kit import caught_by, named, rebuilt, valued
from xai_ext.testing._twins import Twin


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


def _first_is_nan(v: Any) -> Any:
    return np.concatenate([np.full_like(v[:1], np.nan), v[1:]])


named("returns NaN", valued(_first_is_nan), "renders", "shape_dtype")


@caught_by("batch_rows", "C14")
class IgnoresBatch(Twin):
    """Calls the model with as many rows as it likes."""

    def attribute(self, *args: Any, perturbations_per_eval: Any = 1, **kwargs: Any) -> Any:
        return super().attribute(*args, perturbations_per_eval=16, **kwargs)


@caught_by("chunks")
class DropsPartialBatches(Twin):
    """Scores of a batch that is not full are lost."""

    def game(self, example: Any) -> Game:
        model = example.game.masked_model

        def forward(*inputs: Any) -> Any:
            scores = model.forward(*inputs)
            return scores if len(scores) % model.batch_size == 0 else 0 * scores

        return rebuilt(example, forward)


@caught_by("chunks", "C4")
class DependsOnBatch(Twin):
    """The inner batch is part of the seed."""

    def attribute(self, *args: Any, perturbations_per_eval: Any = 1, seed: Any = None, **kwargs: Any) -> Any:
        seed = None if seed is None else seed + (perturbations_per_eval or 7)
        return super().attribute(*args, perturbations_per_eval=perturbations_per_eval, seed=seed, **kwargs)
