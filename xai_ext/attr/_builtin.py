"""Captum's own methods that only call the model, for comparison, as shipped."""

from typing import Any

import captum.attr as ca
import numpy as np
import torch

from xai_ext._checks import check_positive
from xai_ext._randomness import preserved_generators
from xai_ext._task import MapResult, Method, Size, Skipped, Task, density
from xai_ext.attr import _builtin_gradient, _ours
from xai_ext.attr._builtin_parts import quiet, summed

_WINDOW = 0.2  # share of each side


def methods() -> list[Method]:
    """Ours first, then Captum's."""
    return [
        *_ours.methods(),
        Method("captum.Lime", "captum", "segments", True, _lime),
        Method("captum.KernelShap", "captum", "segments", True, _kernel_shap, complete=True),
        Method("captum.ShapleyValueSampling", "captum", "segments", True, _shapley_value_sampling, complete=True,
               plan=lambda size: 1 + size.n_regions * _permutations(size)),
        Method("captum.FeatureAblation", "captum", "segments", False, _feature_ablation, plan=_ablation_cost),
        Method("captum.Occlusion", "captum", "windows", False, _occlusion, plan=_occlusion_cost),
        *_builtin_gradient.methods(),
    ]  # fmt: skip


def _lime(task: Task) -> MapResult:
    return _sampled(ca.Lime, task, task.budget)


def _kernel_shap(task: Task) -> MapResult:
    return _sampled(ca.KernelShap, task, task.budget)


def _shapley_value_sampling(task: Task) -> MapResult:
    permutations = _permutations(task.size)
    found = _sampled(ca.ShapleyValueSampling, task, permutations)
    return MapResult(found.values, notes={"permutations": permutations})


def _permutations(size: Size) -> int:
    return (_ablation_cost(size) and size.budget - 1) // size.n_regions


def _feature_ablation(task: Task) -> MapResult:
    _ablation_cost(task.size)
    return _of_regions(ca.FeatureAblation, task)


def _ablation_cost(size: Size) -> int:
    least = size.n_regions + 1
    if size.budget < least:
        raise Skipped(f"{size.n_regions} regions need a budget of at least {least}, got {size.budget}")
    return least


def _sampled(method: Any, task: Task, n_samples: int) -> MapResult:
    with preserved_generators(task.seed), quiet():
        return _of_regions(method, task, n_samples=n_samples)


def _of_regions(method: Any, task: Task, **more: int) -> MapResult:
    attributions = method(task.model).attribute(
        task.x,
        baselines=task.baseline,
        target=task.target,
        feature_mask=torch.from_numpy(task.labels)[None, None].to(task.x.device),
        perturbations_per_eval=task.batch_size,
        **more,
    )
    whole = attributions[0, 0].double().cpu().numpy()  # each pixel carries its region's whole value
    first = np.unique(task.labels, return_index=True)[1]
    return MapResult(density(task.labels, whole.ravel()[first]))


def _occlusion(task: Task, *, window: float = _WINDOW) -> MapResult:
    sides = task.size.sides
    windows = _windows(sides, check_positive("window", window))
    stride = _stride(sides, windows, task.budget)
    channels = task.x.shape[1]
    attributions = ca.Occlusion(task.model).attribute(
        task.x,
        (channels, *windows),
        strides=(channels, stride, stride),
        baselines=task.baseline,
        target=task.target,
        perturbations_per_eval=task.batch_size,
    )
    return MapResult(summed(attributions), notes={"window": windows, "stride": stride})


def _occlusion_cost(size: Size) -> int:
    windows = _windows(size.sides, _WINDOW)
    return 1 + _positions(size.sides, windows, _stride(size.sides, windows, size.budget))


def _windows(sides: tuple[int, int], share: float) -> tuple[int, int]:
    height, width = (max(1, int(min(share, 1.0) * side + 0.5)) for side in sides)
    return height, width


def _stride(sides: tuple[int, int], windows: tuple[int, int], budget: int) -> int:
    """The smallest stride, the same for both sides, that the budget pays for."""
    paid = [s for s in range(1, min(windows) + 1) if _positions(sides, windows, s) < budget]
    if not paid:
        least = _positions(sides, windows, min(windows)) + 1
        raise Skipped(f"occlusion by windows of {windows[0]}x{windows[1]} needs a budget of at least {least}")
    return paid[0]


def _positions(sides: tuple[int, int], windows: tuple[int, int], stride: int) -> int:
    return int(np.prod([-(-(side - w) // stride) + 1 for side, w in zip(sides, windows, strict=True)]))
