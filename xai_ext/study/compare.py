"""One image, one target: every method at an equal budget, scored and drawn."""

import hashlib
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from xai_ext._batching import measured_plan
from xai_ext._checks import check_at_least, check_choice
from xai_ext._task import CountedModel, MapResult, Method, Task, Unsupported
from xai_ext._types import BoolArray, FloatArray, IntArray
from xai_ext.metrics import (
    MaskArea,
    Protocol,
    deletion_insertion,
    gini,
    iou,
    mass_accuracy,
    pointing_game,
    roc_auc,
)
from xai_ext.models import Classifier, load
from xai_ext.study import inputs
from xai_ext.study._score import Score
from xai_ext.study.layer import find_layer
from xai_ext.study.methods import REFERENCE_DRAWS, choose_methods
from xai_ext.study.photo_agreement import PhotoAgreement, photo_agreement
from xai_ext.study.threads import fastest_threads

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
class Scene:
    """The image, the model and what is explained of it."""

    classifier: Classifier
    pixels: np.ndarray
    x: Tensor
    baseline: Tensor
    labels: IntArray
    truth: BoolArray | None
    target: int | None
    f_input: float
    f_baseline: float
    batch_size: int
    layer: str | None

    @property
    def target_name(self) -> str:
        """The class, or "score" for a model with one output."""
        return "score" if self.target is None else self.classifier.name_of(self.target)


@dataclass(frozen=True, eq=False)
class CompareResult:
    """What `compare` found: scores, maps (H, W) of the first runs, their agreement, and the scene they belong to."""

    config: Config
    scene: Scene
    scores: list[Score]
    maps: dict[str, FloatArray]
    agreement: PhotoAgreement
    image_sha256: str
    threads: int
    seconds: float


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
    start = time.perf_counter()
    methods = choose_methods(config.methods)
    photo, classifier = inputs.read_image(config.image), load(config.model)
    x = torch.as_tensor(classifier.preprocess(photo))
    digest = hashlib.sha256(photo.tobytes()).hexdigest()
    scores, runs = [], {}
    with (
        fastest_threads(classifier.module, x) as threads,
        _bar(methods, config, progress) as advance,
    ):
        scene = _scene(config, photo, classifier, x)
        for method in methods:
            score, values = _Runner(method, scene, config, digest, advance).run()
            scores.append(score)
            if values:
                runs[method.name] = values
    draws = {method.name: method.draws for method in methods}
    agreed = photo_agreement({name: r[: config.runs] for name, r in runs.items()}, draws, scene.labels)
    maps = {name: values[0] for name, values in runs.items()}
    return CompareResult(config, scene, scores, maps, agreed, digest, threads, time.perf_counter() - start)


def _scene(config: Config, photo: Image.Image, classifier: Classifier, x: Tensor) -> Scene:
    mask = inputs.read_mask(config.mask, config.image, photo.size)
    pixels = inputs.crop_pixels(photo, x, classifier)
    labels = inputs.make_labels(config.segments, pixels)
    baseline = inputs.make_baseline(config.baseline, x, labels, classifier)
    with torch.no_grad():
        ends = classifier.module(torch.cat([x, baseline]))
    target = inputs.resolve_target(config.target, ends[:1], classifier)
    column = ends if target is None else ends[:, target]
    return Scene(
        classifier=classifier,
        pixels=pixels,
        x=x,
        baseline=baseline,
        labels=labels,
        truth=inputs.crop_mask(mask, classifier),
        target=target,
        f_input=float(column[0]),
        f_baseline=float(column[1]),
        batch_size=measured_plan(classifier.module, (x,)).batch_size,
        layer=find_layer(classifier.module, x, config.layer),
    )


class _Runner:
    """One method on the scene."""

    def __init__(self, method: Method, scene: Scene, config: Config, digest: str, advance: Advance) -> None:
        self.method, self.scene, self.config, self.digest = method, scene, config, digest
        self.advance = partial(advance, method.name)

    def run(self) -> tuple[Score, list[FloatArray]]:
        """Its score, and the maps of its runs."""
        m = self.method
        try:
            runs = [self._once(i) for i in range(n_runs(m, self.config))]
        except Unsupported as reason:
            return Score(m.name, m.host, m.features, "unsupported", note=str(reason)), []
        except Exception as error:  # a host that fails on this model must not cost the others' results
            note = f"{type(error).__name__}: {error}".splitlines()[0]
            return Score(m.name, m.host, m.features, "failed", note=note), []
        first, counted, seconds = runs[0]
        maps = [result.values for result, _, _ in runs]
        metrics = self._metrics(maps)
        dearest = max(c.cost for _, c, _ in runs)
        score = Score(
            name=m.name,
            host=m.host,
            features=m.features,
            status="ok" if dearest <= self.config.budget else "over_budget",
            cost=counted.cost,
            n_forward=counted.n_forward,
            n_backward=counted.n_backward,
            model_seconds=counted.seconds,
            other_seconds=seconds - counted.seconds,
            std_error_max=None if first.std_error is None else float(first.std_error.max()),
            runs=len(runs),
            metrics={name: float(v.mean()) for name, v in metrics.items()},
            std_errors={name: _std_error(v) for name, v in metrics.items() if len(v) > 1 or not m.draws},
            note="; ".join(f"{key} {value}" for key, value in first.notes.items()),
        )
        return score, maps

    def _once(self, repeat: int) -> tuple[MapResult, CountedModel, float]:
        counted, start = CountedModel(self.scene.classifier.module, self.advance), time.perf_counter()
        return self.method.run(self._task(counted, repeat)), counted, time.perf_counter() - start

    def _task(self, counted: CountedModel, repeat: int) -> Task:
        s = self.scene
        words = [self.config.seed, _word(self.digest), _word(self.method.name), repeat]
        seed = int(np.random.SeedSequence(words).generate_state(1, np.uint64)[0] >> 1)
        return Task(
            counted, s.x.clone(), s.baseline, s.target, s.labels, self.config.budget, s.batch_size, s.layer, seed
        )

    def _metrics(self, maps: list[FloatArray]) -> dict[str, FloatArray]:
        """Name -> one value per map."""
        s, given = self.scene, {str(i): torch.from_numpy(values)[None] for i, values in enumerate(maps)}
        model = CountedModel(s.classifier.module, self.advance)
        curves = deletion_insertion(model, s.x, given, s.baseline, target=s.target, protocol=Protocol())
        assert isinstance(curves, dict)  # of as many maps
        found = {name: [float(getattr(c, name)) for c in curves.values()] for name in CURVES}
        stacked = torch.from_numpy(np.stack(maps))
        if s.truth is not None:
            truth = torch.from_numpy(s.truth).expand_as(stacked)
            found |= {name: judge(stacked, truth).tolist() for name, judge in LOCALISATION.items()}
        found["gini"] = cast(Tensor, gini(stacked)).tolist()
        return {name: np.array(values) for name, values in found.items()}


CURVES = ("deletion", "insertion", "srg")
LOCALISATION: dict[str, Callable[[Tensor, Tensor], Any]] = {
    "iou": partial(iou, threshold=MaskArea()),
    "pointing_game": pointing_game,
    "mass_accuracy": mass_accuracy,
    "roc_auc": roc_auc,
}


def n_runs(method: Method, config: Config) -> int:
    """References that draw are cheap."""
    if not method.draws:
        return 1
    return max(REFERENCE_DRAWS, config.runs) if method.host == "reference" else config.runs


def _std_error(values: FloatArray) -> float:
    return float(np.std(values, ddof=1) / np.sqrt(len(values))) if len(values) > 1 else 0.0


def _word(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")


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
