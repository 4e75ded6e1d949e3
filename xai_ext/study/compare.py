"""One image: every method at an equal budget, scored, with what may be said of it."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from signal import Signals
from typing import Any

import numpy as np
import torch
from PIL import Image

from xai_ext._batching import Plan, fix_plan, measured_plan
from xai_ext._checks import check_choice
from xai_ext._task import Method
from xai_ext._types import BoolArray, FloatArray
from xai_ext.models import Classifier, load
from xai_ext.study import inputs
from xai_ext.study._map_scores import Curves
from xai_ext.study._photo_runs import Found, Setup, n_runs, run_all
from xai_ext.study._photo_workers import check_names
from xai_ext.study._progress import Display, Stop, stoppable
from xai_ext.study._score import Score, score_of
from xai_ext.study._verdict import verdict
from xai_ext.study.config import PROGRESS, Config
from xai_ext.study.engine import warm_up
from xai_ext.study.methods import Wanted, choose_methods
from xai_ext.study.photo_agreement import PhotoAgreement, photo_agreement
from xai_ext.study.targets import resolve_targets, top_classes
from xai_ext.study.threads import fastest_threads
from xai_ext.study.unit import Look, Scene, make_scene

_SAME = 1e-6  # of the largest absolute value


@dataclass(frozen=True, eq=False)
class CompareResult:
    """What `compare` found for one target: scores, maps (H, W) and curves of the first runs, agreement, the scene.

    Attributes
    ----------
    verdict : list of str
        What may be said, by rule.
    warnings : list of str
    further : tuple of CompareResult
        The same for the other targets.
    interrupted : signal or None
        SIGINT or SIGTERM, where one ended the comparison early.
    """

    config: Config
    scene: Scene
    scores: list[Score]
    maps: dict[str, FloatArray]
    agreement: PhotoAgreement
    image_sha256: str
    threads: int
    seconds: float
    curves: dict[str, Curves] = field(default_factory=dict)
    verdict: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    top: list[tuple[str, float]] = field(default_factory=list)
    seconds_per_row: float = 0.0
    eta_first: float = 0.0
    further: tuple["CompareResult", ...] = ()
    interrupted: Signals | None = None

    def _repr_html_(self) -> str:
        from xai_ext.study.report import compare_fragment

        return compare_fragment(self)


def compare(
    image: str = inputs.BUILT_IN, *, methods: Wanted = "default", progress: str = "none", **options: Any
) -> CompareResult:
    """Explain one image by every method at an equal budget, and score the maps.

    Parameters
    ----------
    image : str
        Path of a photo, or "coffee".
    methods : str or sequence of str and Method
        See `xai_ext.study.methods.choose_methods`.
    progress : {"none", "auto", "bar", "plain"}
        A bar of model evaluations, or a line a minute, on stderr; "auto" takes what fits.
    **options
        The other fields of `Config`, which are the options of ``xai-ext compare``.

    Returns
    -------
    CompareResult
        Of the first target. Deletion and insertion follow the score as returned and, for logits, the probability
        (``srg@prob``); IoU is at the truth's area. What a signal interrupts keeps what is finished.
    """
    named = methods if isinstance(methods, str) else ",".join(m if isinstance(m, str) else m.name for m in methods)
    config = Config(image=image, methods=named, **options)
    check_choice("progress", progress, PROGRESS)
    start = time.perf_counter()
    if config.workers:
        check_names(methods)
        warm_up()
    with set_up(config, choose_methods(methods, config.settings)) as setup, stoppable() as stop:
        display = Display(progress, setup.total, setup.seconds_per_row, stop)
        found = run_all(setup, methods, display, stop)
    results = [_result(setup, scene, runs, stop) for scene, runs in zip(setup.scenes, found, strict=True)]
    seconds = time.perf_counter() - start
    first, *others = (replace(r, seconds=seconds) for r in results)
    return replace(first, further=tuple(others))


@contextmanager
def set_up(config: Config, methods: list[Method]) -> Iterator[Setup]:
    """Everything that comes before the first explanation; inside, torch has the number of threads that is used."""
    photo = inputs.read_image(config.image)
    truth = inputs.read_truth(config.mask, config.box, config.image, photo.size)
    classifier = load(config.model).on(config.device)
    x = classifier.input_of(photo)
    with fastest_threads(classifier.module, x, config.threads or (1 if config.workers else None)) as threads:
        if config.batch_size is not None:
            fix_plan(classifier.module, Plan(config.batch_size))
        scenes, warnings = _scenes(config, photo, classifier, truth)
        outputs = torch.from_numpy(scenes[0].outputs)
        top = top_classes(outputs if scenes[0].target is None else outputs[None], classifier)
        yield Setup(config, methods, classifier, scenes, seconds_per_row(scenes[0]), threads, warnings, top)


def _scenes(
    config: Config, photo: Image.Image, classifier: Classifier, truth: BoolArray | None
) -> tuple[list[Scene], list[str]]:
    """One scene per target; they share everything else."""
    look = Look(
        "top1", config.baseline, config.segments, config.layer, config.batch_size, config.metric_baseline
    )  # fmt: skip
    scene = make_scene(photo, classifier, look, mask=truth)
    with torch.no_grad():
        ends = classifier.module(torch.cat([scene.x, scene.baseline]))
    found = []
    for target in resolve_targets(config.target, ends[:1], classifier):
        column = ends if target is None else ends[:, target]
        found.append(replace(scene, target=target, f_input=float(column[0]), f_baseline=float(column[1])))
    return found, [w for s in found for w in _warnings(config, s, ends[1:])]


def _warnings(config: Config, scene: Scene, at_baseline: torch.Tensor) -> Iterator[str]:
    if config.model.endswith("@none"):
        yield "the weights are random: the maps explain an untrained network"
    name = scene.target_name
    if scene.f_baseline >= scene.f_input:
        yield f"{name} scores {scene.f_baseline:.3g} in the baseline and no more, {scene.f_input:.3g}, in the image"
    elif scene.target is not None and int(at_baseline[0].argmax()) == scene.target:
        yield f"the model sees {name} in the baseline too; fix: another --baseline"


def seconds_per_row(scene: Scene) -> float:
    """The median of three forwards as the methods make them."""
    plan = measured_plan(scene.classifier.module, (scene.x,))
    batch = scene.x.expand(plan.batch_size, *scene.x.shape[1:]).contiguous(memory_format=plan.memory_format)
    times = []
    with torch.no_grad():
        for _ in range(3):
            start = time.perf_counter()
            scene.classifier.module(batch)
            times.append(time.perf_counter() - start)
    return sorted(times)[1] / len(batch)


def _result(setup: Setup, scene: Scene, found: Found, stop: Stop) -> CompareResult:
    c = setup.config
    gain = scene.f_input - scene.f_baseline
    kept = {name: [r for r in runs if r.values is not None] for name, runs in found.items()}
    kept = {name: runs for name, runs in kept.items() if runs and len(runs) == len(found[name])}
    maps = {name: runs[0].values for name, runs in kept.items() if runs[0].values is not None}
    scores = [score_of(m, found[m.name], n_runs(m, c.repeats), gain) for m in setup.methods]
    same = _same(maps)
    scores = [replace(s, same_as=same.get(s.name, "")) for s in scores]
    values = {name: [r.values for r in runs[: c.repeats] if r.values is not None] for name, runs in kept.items()}
    agreed = photo_agreement(values, {m.name: m.draws for m in setup.methods}, scene.labels)
    return CompareResult(
        c, scene, scores, maps, agreed, scene.digest, setup.threads, 0.0,
        curves={name: runs[0].curves for name, runs in kept.items()}, verdict=verdict(scores, agreed),
        warnings=setup.warnings, top=setup.top, seconds_per_row=setup.seconds_per_row, eta_first=setup.eta,
        interrupted=stop.signal,
    )  # fmt: skip


def _same(maps: Mapping[str, FloatArray]) -> dict[str, str]:
    """Map -> an earlier one from which it differs by rounding."""
    found: dict[str, str] = {}
    names = list(maps)
    for i, name in enumerate(names):
        for other in names[:i]:
            largest = np.abs(maps[other]).max()
            if other not in found and np.abs(maps[name] - maps[other]).max() <= _SAME * largest:
                found[name] = other
                break
    return found
