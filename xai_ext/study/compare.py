"""One image, one target: every method at an equal budget, scored and drawn."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import torch

from xai_ext._checks import check_at_least, check_choice
from xai_ext._task import Method
from xai_ext._types import FloatArray
from xai_ext.metrics import (
    Protocol,
)
from xai_ext.models import load
from xai_ext.study import inputs
from xai_ext.study._map_scores import Curves
from xai_ext.study._score import Score
from xai_ext.study.methods import REFERENCE_DRAWS, choose_methods
from xai_ext.study.photo_agreement import PhotoAgreement, photo_agreement
from xai_ext.study.threads import fastest_threads
from xai_ext.study.unit import Look, Scene, Terms, UnitResult, make_scene, run_unit

PROGRESS = ("auto", "bar", "none")
Advance = Callable[[str, int], None]


@dataclass(frozen=True)
class Config:
    """What a comparison was asked for; the fields are the options of ``xai-ext compare``."""

    image: str = inputs.BUILT_IN
    model: str = "efficientnet_lite0"
    methods: str = "default"
    target: str = "top1"
    budget: int = 500
    baseline: str = "zero"
    segments: str = "slic:50"
    mask: str | None = None
    layer: str | None = None
    seed: int = 0
    runs: int = 3


@dataclass(frozen=True, eq=False)
class CompareResult:
    """What `compare` found: scores, maps (H, W) and curves of the first runs, agreement, and the scene."""

    config: Config
    scene: Scene
    scores: list[Score]
    maps: dict[str, FloatArray]
    agreement: PhotoAgreement
    image_sha256: str
    threads: int
    seconds: float
    curves: dict[str, Curves] = field(default_factory=dict)


def compare(image: str = inputs.BUILT_IN, *, progress: str = "none", **options: Any) -> CompareResult:
    """Explain one image by every method at an equal budget, and score the maps.

    Parameters
    ----------
    image : str
        Path of a photo, or "coffee".
    progress : {"none", "auto", "bar"}
        A bar of model evaluations; "auto" shows it on a terminal.
    **options
        The other fields of `Config`, which are the options of ``xai-ext compare``.

    Returns
    -------
    CompareResult
        Deletion and insertion follow the score as returned, against `Config.baseline`, over 29 points; IoU is
        at the truth's area. Methods that draw run `Config.runs` times, each time at the whole budget.
    """
    config = Config(image=image, **options)
    check_at_least("budget", config.budget, 4)
    check_at_least("runs", config.runs, 1)
    check_choice("progress", progress, PROGRESS)
    start, terms = time.perf_counter(), Terms(config.budget, config.seed)
    methods = choose_methods(config.methods)
    photo, classifier = inputs.read_image(config.image), load(config.model)
    x = torch.as_tensor(classifier.preprocess(photo))
    scores, runs, curves = [], {}, {}
    mask = inputs.read_mask(config.mask, config.image, photo.size)
    look = Look(config.target, config.baseline, config.segments, config.layer)
    with (
        fastest_threads(classifier.module, x) as threads,
        _bar(methods, config, progress) as advance,
    ):
        scene = make_scene(photo, classifier, look, mask=mask)
        for method in methods:
            found = [
                run_unit(method, scene, i, terms, partial(advance, method.name)) for i in range(n_runs(method, config))
            ]
            score, values = _scored(method, found)
            scores.append(score)
            if values:
                runs[method.name], curves[method.name] = values, found[0].curves
    draws = {method.name: method.draws for method in methods}
    agreed = photo_agreement({name: r[: config.runs] for name, r in runs.items()}, draws, scene.labels)
    maps = {name: values[0] for name, values in runs.items()}
    seconds = time.perf_counter() - start
    return CompareResult(config, scene, scores, maps, agreed, scene.digest, threads, seconds, curves)


def _scored(method: Method, runs: list[UnitResult]) -> tuple[Score, list[FloatArray]]:
    """The row of a method, and the maps of its runs; one that failed once has none."""
    bad = next((r for r in runs if r.values is None), None)
    if bad is not None:
        return Score(method.name, method.host, method.features, bad.status, note=bad.note), []
    first, dearest = runs[0], max(runs, key=lambda r: r.cost)
    metrics = {name: np.array([r.metrics[name] for r in runs]) for name in first.metrics}
    score = Score(
        name=method.name,
        host=method.host,
        features=method.features,
        status=dearest.status,
        cost=first.cost,
        n_forward=first.n_forward,
        n_backward=first.n_backward,
        model_seconds=first.model_seconds,
        other_seconds=first.seconds - first.model_seconds,
        std_error_max=first.std_error_max,
        runs=len(runs),
        metrics={name: float(v.mean()) for name, v in metrics.items()},
        std_errors={name: _std_error(v) for name, v in metrics.items() if len(v) > 1 or not method.draws},
        note=first.note,
    )
    return score, [r.values for r in runs if r.values is not None]


def n_runs(method: Method, config: Config) -> int:
    """References that draw are cheap."""
    if not method.draws:
        return 1
    return max(REFERENCE_DRAWS, config.runs) if method.host == "reference" else config.runs


def _std_error(values: FloatArray) -> float:
    return float(np.std(values, ddof=1) / np.sqrt(len(values))) if len(values) > 1 else 0.0


@contextmanager
def _bar(methods: list[Method], config: Config, progress: str) -> Iterator[Advance]:
    """A bar over the rows that all methods and their metrics will need at most."""
    from tqdm.auto import tqdm

    curve = 2 + 2 * (Protocol().n_steps - 1)
    costs = [curve + (config.budget if m.fixed_cost is None else m.fixed_cost) for m in methods]
    total = sum(n_runs(m, config) * cost for m, cost in zip(methods, costs, strict=True))
    disable = {"none": True, "bar": False, "auto": None}[progress]
    with tqdm(total=total, unit="eval", disable=disable, smoothing=0.05) as bar:

        def advance(name: str, rows: int) -> None:
            bar.set_description(name, refresh=False)
            bar.update(rows)

        yield advance
