"""One image, one target: every method at an equal budget, scored and drawn."""

import hashlib
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from xai_ext._batching import measured_plan
from xai_ext._checks import check_at_least, check_choice
from xai_ext._task import CountedModel, Method, Task, Unsupported
from xai_ext._types import BoolArray, FloatArray, IntArray
from xai_ext.metrics import DeletionInsertion, MaskArea, Protocol, deletion_insertion, iou, pointing_game
from xai_ext.models import Classifier, load
from xai_ext.study import inputs
from xai_ext.study.layer import find_layer
from xai_ext.study.methods import REFERENCE_DRAWS, choose_methods
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


@dataclass(frozen=True)
class Score:
    """One method on one image.

    Attributes
    ----------
    status : str
        "ok", "unsupported" (the host refuses this model), "failed" (it raised an error), or "over_budget" (shown
        all the same).
    cost : int
        Forward rows plus twice the backward rows, counted at the model.
    model_seconds, other_seconds : float
        Inside and outside the model.
    metrics : dict
        Name -> value; means over draws for the random references.
    spread : dict
        Standard deviations over those draws.
    note : str
    """

    name: str
    host: str
    features: str
    status: str
    cost: int = 0
    n_forward: int = 0
    n_backward: int = 0
    model_seconds: float = 0.0
    other_seconds: float = 0.0
    std_error_max: float | None = None
    metrics: dict[str, float] = field(default_factory=dict)
    spread: dict[str, float] = field(default_factory=dict)
    note: str = ""


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
    """What `compare` found: scores, maps (H, W), and the scene they belong to."""

    config: Config
    scene: Scene
    scores: list[Score]
    maps: dict[str, FloatArray]
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
        at the truth's area.
    """
    config = Config(image=image, **options)
    check_at_least("budget", config.budget, 4)
    check_choice("progress", progress, PROGRESS)
    start = time.perf_counter()
    methods = choose_methods(config.methods)
    photo, classifier = inputs.read_image(config.image), load(config.model)
    x = torch.as_tensor(classifier.preprocess(photo))
    digest = hashlib.sha256(photo.tobytes()).hexdigest()
    scores, maps = [], {}
    with fastest_threads(classifier.module, x) as threads, _bar(methods, config.budget, progress) as advance:
        scene = _scene(config, photo, classifier, x)
        for method in methods:
            score, values = _Runner(method, scene, config, digest, advance).run()
            scores.append(score)
            if values is not None:
                maps[method.name] = values
    return CompareResult(config, scene, scores, maps, digest, threads, time.perf_counter() - start)


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

    def run(self) -> tuple[Score, FloatArray | None]:
        """Its score, and its map (the first one, for a reference that draws)."""
        reference = self.method.host == "reference"
        first, *others = range(REFERENCE_DRAWS if reference and self.method.draws else 1)
        counted, start = CountedModel(self.scene.classifier.module, self.advance), time.perf_counter()
        m = self.method
        try:
            result = m.run(self._task(counted, first))
        except Unsupported as reason:
            return Score(m.name, m.host, m.features, "unsupported", note=str(reason)), None
        except Exception as error:  # a host that fails on this model must not cost the others' results
            note = f"{type(error).__name__}: {error}".splitlines()[0]
            return Score(m.name, m.host, m.features, "failed", note=note), None
        seconds = time.perf_counter() - start
        drawn = [result.values, *(m.run(self._task(counted, i)).values for i in others)]
        metrics = [self._metrics(values) for values in drawn]
        score = Score(
            name=m.name,
            host=m.host,
            features=m.features,
            status="ok" if counted.cost <= self.config.budget else "over_budget",
            cost=counted.cost,
            n_forward=counted.n_forward,
            n_backward=counted.n_backward,
            model_seconds=counted.seconds,
            other_seconds=seconds - counted.seconds,
            std_error_max=None if result.std_error is None else float(result.std_error.max()),
            metrics={name: float(np.mean([v[name] for v in metrics])) for name in metrics[0]},
            spread={name: float(np.std([v[name] for v in metrics], ddof=1)) for name in metrics[0] if others},
            note="; ".join(f"{key} {value}" for key, value in result.notes.items()),
        )
        return score, result.values

    def _task(self, counted: CountedModel, repeat: int) -> Task:
        s = self.scene
        words = [self.config.seed, _word(self.digest), _word(self.method.name), repeat]
        seed = int(np.random.SeedSequence(words).generate_state(1, np.uint64)[0] >> 1)
        return Task(
            counted, s.x.clone(), s.baseline, s.target, s.labels, self.config.budget, s.batch_size, s.layer, seed
        )

    def _metrics(self, values: FloatArray) -> dict[str, float]:
        s, maps = self.scene, torch.from_numpy(values)[None]
        model = CountedModel(s.classifier.module, self.advance)
        curves = deletion_insertion(model, s.x, maps, s.baseline, target=s.target, protocol=Protocol())
        assert isinstance(curves, DeletionInsertion)  # one map, not a dict of maps
        found: dict[str, Any] = {"deletion": curves.deletion, "insertion": curves.insertion, "srg": curves.srg}
        if s.truth is not None:
            truth = torch.from_numpy(s.truth)[None]
            found |= {"iou": iou(maps, truth, threshold=MaskArea()), "pointing_game": pointing_game(maps, truth)}
        return {name: float(value) for name, value in found.items()}


def _word(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")


@contextmanager
def _bar(methods: list[Method], budget: int, progress: str) -> Iterator[Advance]:
    """A bar over the rows that all methods and their metrics will need at most."""
    from tqdm.auto import tqdm

    curve = 2 + 2 * (Protocol().n_steps - 1)
    draws = sum(REFERENCE_DRAWS if m.host == "reference" and m.draws else 1 for m in methods)
    total = draws * curve + sum(budget if m.fixed_cost is None else m.fixed_cost for m in methods)
    disable = {"none": True, "bar": False, "auto": None}[progress]
    with tqdm(total=total, unit="eval", disable=disable, smoothing=0.05) as bar:

        def advance(name: str, rows: int) -> None:
            bar.set_description(name, refresh=False)
            bar.update(rows)

        yield advance
