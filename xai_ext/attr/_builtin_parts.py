"""What the adapters of Captum's own methods share."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from xai_ext._task import Task, Unsupported
from xai_ext._types import FloatArray
from xai_ext.attr._prepare import Prepared, prepared, rescale_rules

AS_IS = "as-is"


def summed(attributions: Tensor) -> FloatArray:
    """Attributions (1, C, H, W) as a map (H, W)."""
    return np.asarray(attributions[0].detach().double().sum(0).cpu().numpy())


@contextmanager
def quiet() -> Iterator[None]:
    """Captum warns of the ordinary: that gradients are switched on, that hooks are set."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        yield


@contextmanager
def differentiable(task: Task) -> Iterator[None]:
    """Quiet, and with a sentence for a model without gradients."""
    try:
        with quiet():
            yield
    except RuntimeError as error:
        known = (
            "does not require grad",
            "appears to not have been used",
            "Can't call numpy()",
            "tensor that requires grad",
        )
        if not any(words in str(error) for words in known):
            raise
        raise Unsupported(f"no gradient reaches the input ({str(error).splitlines()[0]})") from error


def for_hooks(task: Task) -> Prepared:
    """The network as methods that hook activations should see it."""
    if task.hosts == AS_IS:
        return Prepared(task.model.module, "as is")
    return prepared(task.model.module, torch.cat([task.x, task.baseline]))


def for_relu_hooks(task: Task) -> Prepared:
    """The same, for methods that hook nothing but `nn.ReLU`."""
    found = for_hooks(task)
    if not any(isinstance(m, nn.ReLU) for m in found.module.modules()):
        raise Unsupported(
            "the model has no nn.ReLU, the only activation that Captum's guided backpropagation changes: "
            "its map would be a plain gradient under another name"
        )
    return found


def rules(task: Task) -> Any:
    """DeepLift's rules as shipped, or with those for ReLU6 and its like."""
    return nullcontext() if task.hosts == AS_IS else rescale_rules()


def told(found: Prepared) -> dict[str, str]:
    """What was done to the network, where it could not be prepared."""
    return {"network": found.note} if found.note.startswith("as is") else {}


def gap(values: FloatArray, task: Task) -> float:
    """Distance of the sum of values from f(x) - f(baseline), relative to it; NaN where that is unknown."""
    gain = task.f_input - task.f_baseline
    return float(abs(values.sum() - gain) / abs(gain)) if gain else np.nan
