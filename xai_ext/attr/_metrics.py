"""Captum's own metrics, with a generator of their own and the map shapes that this package's metrics take."""

from collections.abc import Callable
from functools import partial
from typing import Any

import captum.metrics
import numpy as np
import torch
from torch import Tensor

from xai_ext._arguments import Baselines, Inputs, Target, as_tensor, as_tuple, batch_size, format_baselines
from xai_ext._checks import InputError
from xai_ext._randomness import preserved_generators
from xai_ext.metrics._shap import from_shap, is_shap

_SQUARE = 0.1  # of the shorter side


def infidelity(
    forward_func: Callable[..., Any],
    perturb_func: Callable[..., Any] | None,
    inputs: Inputs,
    attributions: Any,
    baselines: Baselines = None,
    additional_forward_args: Any = None,
    target: Target = None,
    n_perturb_samples: int = 10,
    max_examples_per_batch: int | None = None,
    normalize: bool = False,
    *,
    rng: np.random.Generator | None = None,
) -> Tensor:
    """Captum's ``infidelity``: how far a map is from what small perturbations do to the score [1]_.

    Parameters
    ----------
    perturb_func : callable or None
        As Captum asks for. None: a random square, a tenth of the shorter side, goes to the baseline.
    attributions : Tensor, array, shap.Explanation of one output, or tuple
        Of the inputs' shape, (B, 1, *spatial) or (B, *spatial): a value without channels is shared evenly by them.
    rng : numpy Generator, optional
        Seeds torch's generator inside the call, which is put back; None: ``default_rng(0)``.
    forward_func, inputs, baselines, additional_forward_args, target
        Captum's.
    n_perturb_samples, max_examples_per_batch, normalize
        Captum's. Without ``normalize=True``, maps of different scale are not comparable.

    Returns
    -------
    Tensor (B,)
        Lower is better; NaN for a map that is not finite.

    References
    ----------
    .. [1] Yeh et al., "On the (in)fidelity and sensitivity of explanations", NeurIPS 2019.
    """
    tensors = as_tuple(inputs)
    maps = tuple(_spread(a, x) for a, x in zip(_tuple_of(attributions), tensors, strict=True))
    perturb = perturb_func
    if perturb is None:
        perturb = partial(_square_to_baseline, format_baselines(baselines, tensors))
        baselines = None  # the square brings its own
    with preserved_generators(_seed(rng)):
        found = captum.metrics.infidelity(
            forward_func, perturb, inputs, maps if isinstance(inputs, tuple) else maps[0], baselines,
            additional_forward_args, target, n_perturb_samples, max_examples_per_batch, normalize,
        )  # fmt: skip
    return _column(found)


def sensitivity_max(
    explanation_func: Callable[..., Any],
    inputs: Inputs,
    perturb_func: Callable[..., Any] | None = None,
    perturb_radius: float = 0.02,
    n_perturb_samples: int = 10,
    norm_ord: str = "fro",
    max_examples_per_batch: int | None = None,
    *,
    rng: np.random.Generator | None = None,
    **kwargs: Any,
) -> Tensor:
    """Captum's ``sensitivity_max``: how far a map moves, relative to itself, when its input moves a little [1]_.

    Parameters
    ----------
    perturb_func : callable, optional
        None: Captum's uniform noise of `perturb_radius`.
    rng : numpy Generator, optional
        Seeds torch's generator inside the call, which is put back; None: ``default_rng(0)``.
    **kwargs
        For `explanation_func`. A ``feature_mask`` with one row per example follows its example's copies, which
        Captum does not see to.
    explanation_func, inputs, perturb_radius, n_perturb_samples, norm_ord, max_examples_per_batch
        Captum's.

    Returns
    -------
    Tensor (B,)
        Lower is better.

    References
    ----------
    .. [1] Yeh et al., "On the (in)fidelity and sensitivity of explanations", NeurIPS 2019.
    """
    n = batch_size(as_tuple(inputs))
    mask = kwargs.pop("feature_mask", None)

    def explain(copies: Any, **options: Any) -> Any:
        if mask is not None:
            options["feature_mask"] = _repeated(mask, n, batch_size(as_tuple(copies)))
        found = explanation_func(copies, **options)  # Captum flattens it by view
        return tuple(a.contiguous() for a in found) if isinstance(found, tuple) else found.contiguous()

    chosen = {} if perturb_func is None else {"perturb_func": perturb_func}
    with preserved_generators(_seed(rng)):
        found = captum.metrics.sensitivity_max(
            explain, inputs, perturb_radius=perturb_radius, n_perturb_samples=n_perturb_samples, norm_ord=norm_ord,
            max_examples_per_batch=max_examples_per_batch, **chosen, **kwargs,
        )  # fmt: skip
    return _column(found)


def _square_to_baseline(baselines: tuple[Tensor, ...], inputs: Any) -> Any:
    """What was taken away, and what is left, for copies (n * B, ...) of the inputs."""
    single = isinstance(inputs, Tensor)
    copies = (inputs,) if single else inputs
    taken = []
    for x, baseline in zip(copies, baselines, strict=True):
        rows = baseline.repeat_interleave(len(x) // len(baseline), 0)
        taken.append(torch.where(_squares(x), x - rows, torch.zeros_like(x)))
    left = tuple(x - t for x, t in zip(copies, taken, strict=True))
    return (taken[0], left[0]) if single else (tuple(taken), left)


def _squares(x: Tensor) -> Tensor:
    """A random square in each image, (n, 1, *spatial), or a random run of features."""
    sides = x.shape[2:] or x.shape[1:]
    length = max(1, int(_SQUARE * min(sides) + 0.5))
    inside = torch.ones((len(x), *(1,) * (x.dim() - 1)), dtype=torch.bool, device=x.device)
    for dim, side in enumerate(sides, start=x.dim() - len(sides)):
        start = torch.randint(side - length + 1, (len(x), 1), device=x.device)
        at = torch.arange(side, device=x.device)
        run = (at >= start) & (at < start + length)
        inside = inside & run.reshape(len(x), *(side if d == dim else 1 for d in range(1, x.dim())))
    return inside


def _spread(attributions: Any, x: Tensor) -> Tensor:
    a = as_tensor(attributions).to(x)
    if a.shape == x.shape:
        return a
    if a.dim() == x.dim() - 1:
        a = a[:, None]
    if x.dim() < 3 or a.shape != (x.shape[0], 1, *x.shape[2:]):
        raise InputError(
            f"attributions must have the input's shape {tuple(x.shape)}, or one or no channel, got {tuple(a.shape)}"
        )
    return a.expand_as(x) / x.shape[1]


def _tuple_of(attributions: Any) -> tuple[Any, ...]:
    if is_shap(attributions):
        return (from_shap(attributions)[1],)
    return attributions if isinstance(attributions, tuple) else (attributions,)


def _repeated(mask: Any, n: int, n_copies: int) -> Any:
    if isinstance(mask, tuple):
        return tuple(_repeated(m, n, n_copies) for m in mask)
    if not isinstance(mask, Tensor) or n == 1 or len(mask) != n or n_copies == n:
        return mask
    return mask.repeat_interleave(n_copies // n, 0)


def _seed(rng: np.random.Generator | None) -> int:
    return int((np.random.default_rng(0) if rng is None else rng).integers(2**62))


def _column(values: Tensor) -> Tensor:
    return values.detach().cpu().double().reshape(-1)
