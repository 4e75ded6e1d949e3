"""Does a map change when the model forgets what it learned?"""

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from xai_ext._arguments import Inputs, Target
from xai_ext._checks import InputError, check_choice
from xai_ext._randomness import preserved_generators
from xai_ext.metrics.disagreement import agreement

Explain = Callable[[nn.Module, Any, Any, np.random.Generator], Any]


@dataclass(frozen=True, eq=False)
class RandomizationResult:
    """Similarity of maps of L stages of randomisation to the map of the trained model, for B examples.

    Attributes
    ----------
    layers : tuple of str
        The layer whose parameters were drawn anew at each stage.
    similarity : float64 Tensor (L, B)
    mean : float64 Tensor (B,)
        Over the stages; the trained model itself is none of them. Lower means that the method looks at the parameters.
    seed_floor : float64 Tensor (B,)
        Similarity of two runs on the trained model that differ by the seed alone: 1 without randomness.
    fallback : tuple of str
        Layers without ``reset_parameters``, drawn from a normal distribution with each tensor's mean and deviation.
    """

    layers: tuple[str, ...]
    similarity: Tensor
    mean: Tensor
    seed_floor: Tensor
    fallback: tuple[str, ...]


def parameter_randomization(
    model: nn.Module,
    explain_func: Explain,
    inputs: Inputs,
    target: Target = None,
    *,
    layers: Sequence[str] | None = None,
    order: str = "cascade",
    similarity: str = "spearman",
    ranking: str | None = "abs",
    model_factory: Callable[[], nn.Module] | None = None,
    rng: np.random.Generator | None = None,
) -> RandomizationResult:
    """Similarity of the maps before and after parameters are drawn anew, layer by layer [1]_.

    Parameters
    ----------
    model : nn.Module
        Never touched: a copy is randomised.
    explain_func : callable
        ``explain_func(model, inputs, target, rng) -> maps``, in a form of `agreement`; it gets generators with the same
        seed at every stage.
    inputs, target
        Handed on.
    layers : sequence of str, optional
        Names of modules with parameters of their own. None: all, from the last defined to the first.
    order : {"cascade", "independent"}
        Do layers stay random when the next one is drawn?
    similarity : str
        A measure of `agreement`.
    ranking : {"abs", "signed"}, optional
    model_factory : callable, optional
        Makes a model with the same parameters, for models that cannot be copied.
    rng : numpy Generator, optional
        None: ``default_rng(0)``.

    Returns
    -------
    RandomizationResult

    References
    ----------
    .. [1] Adebayo et al., "Sanity checks for saliency maps", NeurIPS 2018.
    """
    check_choice("order", order, ("cascade", "independent"))
    explain_seed, other_seed, draw_seed = (
        int(s) for s in (np.random.default_rng(0) if rng is None else rng).integers(2**62, size=3)
    )
    make = model_factory or (lambda: _copied(model))
    names = _layers(model, layers)

    def maps(of: nn.Module, seed: int) -> Any:
        found = explain_func(of, inputs, target, np.random.default_rng(seed))
        if isinstance(found, Mapping):
            raise InputError("explain_func must return maps, not a dict of them")
        return found

    def alike(a: Any, b: Any) -> Tensor:
        return cast(Tensor, agreement(a, b, similarity, ranking=ranking))

    original = maps(make(), explain_seed)
    floor = alike(original, maps(make(), other_seed))
    found, fallback = [], []
    randomised = make()
    for i, name in enumerate(names):
        if order == "independent":
            randomised = make()
        if not _draw(randomised.get_submodule(name), draw_seed + i):
            fallback.append(name)
        found.append(alike(original, maps(randomised, explain_seed)))
    stacked = torch.stack(found)
    return RandomizationResult(tuple(names), stacked, stacked.mean(0), floor, tuple(fallback))


def _copied(model: nn.Module) -> nn.Module:
    try:
        return copy.deepcopy(model)
    except Exception as error:
        raise InputError(f"the model cannot be copied ({error}); fix: model_factory=") from error


def _layers(model: nn.Module, wanted: Sequence[str] | None) -> list[str]:
    known = [name for name, m in model.named_modules() if any(True for _ in m.parameters(recurse=False))]
    if not known or (wanted is not None and not len(wanted)):
        raise InputError("there are no parameters to randomise: the model or layers= has none")
    for name in wanted or ():
        check_choice("layer", name, known)
    return list(wanted) if wanted is not None else known[::-1]


def _draw(layer: nn.Module, seed: int) -> bool:
    """New parameters; did the layer know how to draw them itself?"""
    with preserved_generators(seed), torch.no_grad():
        reset = getattr(layer, "reset_parameters", None)
        if callable(reset):
            reset()
            return True
        for parameter in layer.parameters(recurse=False):
            deviation = float(parameter.std(correction=0))
            parameter.copy_(float(parameter.mean()) + deviation * torch.randn_like(parameter))
        return False
