"""The Captum classes of this package as methods of a comparison."""

import inspect
import warnings
from functools import partial
from typing import Any

import numpy as np
import torch
from captum.attr import Attribution

from xai_ext import attr
from xai_ext._task import MapResult, Method, Size, Skipped, Task
from xai_ext.attr.bpt_owen import BPTOwen
from xai_ext.attr.iassa import IASSA
from xai_ext.attr.rise import RISE
from xai_ext.attr.stratified_lime import StratifiedLime


def methods() -> list[Method]:
    """Every public class of `xai_ext.attr`; those written out here know their settings."""
    known = [
        Method("stratified_lime", "xai_ext", "segments", True, _stratified_lime),
        Method("kernelshap", "xai_ext", "segments", True, partial(_stratified_lime, weighting="kernelshap"),
               complete=True),
        Method("bpt_owen", "xai_ext", "regions", False, _bpt_owen, complete=True, plan=_pairs),
        Method("axis_aligned_owen", "xai_ext", "rectangles", False, partial(_bpt_owen, hierarchy="axis_aligned"),
               complete=True, plan=_pairs),
        Method("rise", "xai_ext", "pixels", True, _rise),
        Method("iassa", "xai_ext", "windows", False, _iassa),
    ]  # fmt: skip
    return [*known, *_others({method.name for method in known})]


def _pairs(size: Size) -> int:
    """f(x), f(baseline), then two evaluations per split."""
    return size.budget // 2 * 2


def _others(known: set[str]) -> list[Method]:
    """Classes of `xai_ext.attr` that are not written out above: name = module."""
    found = []
    for name in attr.__all__:
        kind = getattr(attr, name)
        module = kind.__module__.rpartition(".")[2]
        if inspect.isclass(kind) and issubclass(kind, Attribution) and module not in known:
            found.append(Method(module, "xai_ext", "pixels", True, partial(_explained, kind)))
    return found


def _explained(kind: Any, task: Task) -> MapResult:
    (explanation,) = kind(task.model).explain(
        task.x, task.baseline, task.target, n_samples=task.budget, perturbations_per_eval=None, seed=task.seed
    )
    return MapResult(explanation.density_map())


def _stratified_lime(
    task: Task, *, sampler: str = "foldover", weighting: str = "kernel", kernel_width: float = 0.25
) -> MapResult:
    _at_least(task, 3)
    method = StratifiedLime(task.model, sampler=sampler, weighting=weighting, kernel_width=kernel_width)
    (explanation,) = method.explain(
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


def _bpt_owen(task: Task, *, hierarchy: str = "bpt", estimator: str = "best_first", trees: int = 1) -> MapResult:
    (explanation,) = BPTOwen(task.model, hierarchy=hierarchy, estimator=estimator, trees=trees).explain(
        task.x, task.baseline, task.target, n_samples=task.budget, perturbations_per_eval=None, seed=task.seed
    )
    d = explanation.diagnostics
    notes: dict[str, float] = {"regions": int(d["n_regions"])}
    if "leftover" in d:
        notes["leftover"] = float(d["leftover"][0])
    return MapResult(explanation.density_map(), notes=notes)


def _rise(
    task: Task, *, cells: int | None = None, keep_probability: float = 0.5, estimator: Any = "surrogate"
) -> MapResult:
    _at_least(task, 3)
    (explanation,) = RISE(task.model).explain(
        task.x, task.baseline, task.target, n_samples=task.budget, perturbations_per_eval=None, seed=task.seed,
        cells=cells, keep_probability=keep_probability, estimator=estimator,
    )  # fmt: skip
    d = explanation.diagnostics
    notes = {"surrogate R2": float(d["surrogate_r2"][0])} if "surrogate_r2" in d else {}
    return MapResult(explanation.region_map(), explanation.std_error[explanation.labels[0]], notes)


def _iassa(
    task: Task,
    *,
    preset: Any = None,
    attention: str | None = None,
    levels: int | None = None,
    shrink: float | None = None,
    region: float | None = None,
) -> MapResult:
    with warnings.catch_warnings(record=True) as caught:  # windows that must grow, a score that hardly reacts
        warnings.simplefilter("always")
        (explanation,) = IASSA(task.model, preset=preset, attention=attention).explain(
            task.x, task.baseline, task.target, n_samples=task.budget, perturbations_per_eval=None,
            levels=levels, shrink=shrink, region=region,
        )  # fmt: skip
    found = explanation.diagnostics["levels"]
    notes = {"windows": " ".join(f"{v['n_windows']} of {v['window'][0]}" for v in found)}
    notes |= {f"warning {i}": str(w.message) for i, w in enumerate(caught, 1)}
    return MapResult(explanation.region_map(), explanation.std_error[explanation.labels[0]], notes)


def _at_least(task: Task, budget: int) -> None:
    if task.budget < budget:
        raise Skipped(f"needs a budget of at least {budget}, got {task.budget}")
