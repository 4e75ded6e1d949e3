"""Captum's own methods, for comparison, as shipped."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import captum.attr as ca
import numpy as np
import torch
from torch import Tensor, nn

from xai_ext._randomness import preserved_generators
from xai_ext._task import MapResult, Method, Task, Unsupported
from xai_ext._types import FloatArray
from xai_ext.attr.bpt_owen import BPTOwen
from xai_ext.attr.iassa import IASSA
from xai_ext.attr.rise import RISE
from xai_ext.attr.stratified_lime import StratifiedLime

_WINDOW = 0.2  # share of each side
_MOST_STEPS = 200


def methods() -> list[Method]:
    """Ours first, then Captum's."""
    return [
        Method("stratified_lime", "xai_ext", "segments", True, _stratified_lime),
        Method("kernelshap", "xai_ext", "segments", True, partial(_stratified_lime, weighting="kernelshap")),
        Method("bpt_owen", "xai_ext", "regions", False, _bpt_owen),
        Method("axis_aligned_owen", "xai_ext", "rectangles", False, partial(_bpt_owen, hierarchy="axis_aligned")),
        Method("rise", "xai_ext", "pixels", True, _rise),
        Method("iassa", "xai_ext", "windows", False, _iassa),
        Method("captum.Lime", "captum", "segments", True, lambda t: _sampled(ca.Lime, t)),
        Method("captum.KernelShap", "captum", "segments", True, lambda t: _sampled(ca.KernelShap, t)),
        Method("captum.Occlusion", "captum", "windows", False, _occlusion),
        Method("captum.IntegratedGradients", "captum", "pixels", False, _integrated_gradients),
        Method("captum.Saliency", "captum", "pixels", False, _saliency, fixed_cost=1),
        Method("captum.GuidedGradCam", "captum", "pixels", False, _guided_gradcam, fixed_cost=1),
        Method("captum.LayerGradCam", "captum", "layer", False, _layer_gradcam, fixed_cost=1),
    ]


def _stratified_lime(task: Task, *, weighting: str = "kernel") -> MapResult:
    (explanation,) = StratifiedLime(task.model, weighting=weighting).explain(
        task.x,
        task.baseline,
        task.target,
        feature_mask=torch.from_numpy(task.labels),
        n_samples=task.budget,
        perturbations_per_eval=None,
        seed=task.seed,
    )
    d = explanation.diagnostics
    notes = {"weighted R2": float(d["score"][0]), "effective sample size": float(d["ess"])}
    errors = explanation.std_error / np.bincount(task.labels.ravel())
    return MapResult(explanation.density_map(), errors[task.labels], notes)


def _bpt_owen(task: Task, *, hierarchy: str = "bpt") -> MapResult:
    (explanation,) = BPTOwen(task.model, hierarchy=hierarchy).explain(
        task.x, task.baseline, task.target, n_samples=task.budget, perturbations_per_eval=None
    )
    d = explanation.diagnostics
    notes = {"regions": int(d["n_regions"]), "leftover": float(d["leftover"][0])}
    return MapResult(explanation.density_map(), notes=notes)


def _rise(task: Task) -> MapResult:
    (explanation,) = RISE(task.model).explain(
        task.x, task.baseline, task.target, n_samples=task.budget, perturbations_per_eval=None, seed=task.seed
    )
    notes = {"surrogate R2": float(explanation.diagnostics["surrogate_r2"][0])}
    return MapResult(explanation.region_map(), explanation.std_error[explanation.labels[0]], notes)


def _iassa(task: Task) -> MapResult:
    with warnings.catch_warnings(record=True) as caught:  # windows that must grow, a score that hardly reacts
        warnings.simplefilter("always")
        (explanation,) = IASSA(task.model).explain(
            task.x, task.baseline, task.target, n_samples=task.budget, perturbations_per_eval=None
        )
    levels = explanation.diagnostics["levels"]
    notes = {"windows": " ".join(f"{v['n_windows']} of {v['window'][0]}" for v in levels)}
    notes |= {f"warning {i}": str(w.message) for i, w in enumerate(caught, 1)}
    return MapResult(explanation.region_map(), explanation.std_error[explanation.labels[0]], notes)


def _sampled(method: Any, task: Task) -> MapResult:
    with preserved_generators(task.seed), _quiet():
        attributions = method(task.model).attribute(
            task.x,
            baselines=task.baseline,
            target=task.target,
            feature_mask=torch.from_numpy(task.labels)[None, None],
            n_samples=task.budget,
            perturbations_per_eval=task.batch_size,
        )
    regions = attributions[0, 0].double().numpy()  # each pixel carries its region's whole value
    return MapResult(regions / np.bincount(task.labels.ravel())[task.labels])


def _occlusion(task: Task) -> MapResult:
    height, width = task.x.shape[2:]
    window = tuple(max(1, int(_WINDOW * side + 0.5)) for side in (height, width))
    strides = [s for s in range(1, min(window) + 1) if _positions((height, width), window, s) < task.budget]
    if not strides:
        least = _positions((height, width), window, min(window)) + 1
        raise Unsupported(f"occlusion by windows of {window[0]}x{window[1]} needs a budget of at least {least}")
    stride = strides[0]
    channels = task.x.shape[1]
    attributions = ca.Occlusion(task.model).attribute(
        task.x,
        (channels, *window),
        strides=(channels, stride, stride),
        baselines=task.baseline,
        target=task.target,
        perturbations_per_eval=task.batch_size,
    )
    return MapResult(_summed(attributions), notes={"window": window, "stride": stride})


def _positions(sides: tuple[int, ...], window: tuple[int, ...], stride: int) -> int:
    return int(np.prod([-(-(side - w) // stride) + 1 for side, w in zip(sides, window, strict=True)]))


def _integrated_gradients(task: Task) -> MapResult:
    steps = min(_MOST_STEPS, (task.budget - 2) // 3)
    if steps < 1:
        raise Unsupported("integrated gradients: the method needs a budget of at least 5")
    attributions = ca.IntegratedGradients(task.model).attribute(
        task.x,
        task.baseline,
        task.target,
        n_steps=steps,
        internal_batch_size=task.batch_size,
    )
    return MapResult(_summed(attributions), notes={"steps": steps})


def _saliency(task: Task) -> MapResult:
    with _quiet():
        return MapResult(_summed(ca.Saliency(task.model).attribute(task.x, task.target)))


def _guided_gradcam(task: Task) -> MapResult:
    if not any(isinstance(m, nn.ReLU) for m in task.model.modules()):
        raise Unsupported(
            "the model has no nn.ReLU, the only activation that Captum's guided backpropagation changes: "
            "its map would be a plain gradient under another name"
        )
    with _quiet():
        method = ca.GuidedGradCam(task.model, task.layer_module())
        return MapResult(_summed(method.attribute(task.x, task.target, interpolate_mode="bilinear")))


def _layer_gradcam(task: Task) -> MapResult:
    attributions = ca.LayerGradCam(task.model, task.layer_module()).attribute(
        task.x.clone().requires_grad_(), task.target, relu_attributions=True
    )
    return MapResult(_summed(ca.LayerAttribution.interpolate(attributions, tuple(task.x.shape[2:]), "bilinear")))


def _summed(attributions: Tensor) -> FloatArray:
    return np.asarray(attributions[0].detach().double().sum(0).cpu().numpy())


@contextmanager
def _quiet() -> Iterator[None]:
    """Captum warns of the ordinary: that gradients are switched on, that hooks are set."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        yield
