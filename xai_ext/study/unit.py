"""A unit of work: one method, one repeat, on one scene; the same function for one photo and for a data set."""

import hashlib
import time
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from xai_ext._batching import measured_plan
from xai_ext._checks import check_finite_scores
from xai_ext._task import CountedModel, MapResult, Method, Size, Task, Unsupported
from xai_ext._types import BoolArray, FloatArray, IntArray
from xai_ext.models import Classifier
from xai_ext.study import inputs
from xai_ext.study._map_scores import Curves, OnRows, score_map
from xai_ext.study.layer import find_layer
from xai_ext.study.targets import ranked_target


@dataclass(frozen=True, eq=False)
class Scene:
    """The image, the model and what is explained of it.

    Attributes
    ----------
    pixels : uint8 array (H, W, 3)
        What the model sees.
    x, baseline : Tensor (1, C, H, W)
        In the model's input space.
    labels : int array (H, W)
        The shared regions.
    truth : bool array (H, W) or None
    target : int or None
        The explained output; None for a model with one.
    digest : str
        SHA-256 of the image; with the method and the repeat it decides what is drawn.
    outputs : array (n_outputs,)
        All scores of x.
    metric_baseline : Tensor or None
        What deletion and insertion put in place; None: `baseline`.
    """

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
    digest: str
    outputs: FloatArray
    metric_baseline: Tensor | None = None

    @property
    def target_name(self) -> str:
        """The class, or "score" for a model with one output."""
        return "score" if self.target is None else self.classifier.name_of(self.target)


@dataclass(frozen=True)
class Look:
    """How a photo becomes a scene; the fields are options of ``xai-ext compare``.

    `batch_size` None is measured, once for each model and shape; `rank` says which of several targets is meant,
    from 1; None where `target` names one.
    """

    target: str = "top1"
    baseline: str = "zero"
    segments: str = "slic:50"
    layer: str | None = None
    batch_size: int | None = None
    metric_baseline: str | None = None
    rank: int | None = None


@dataclass(frozen=True)
class Terms:
    """What is the same for every unit.

    Attributes
    ----------
    budget : int
        Cost of one unit, counted at the model, see `CountedModel.cost`; metrics are counted apart.
    seed : int
    n_steps : int
        Of the curves of deletion and insertion.
    probabilities : bool
        Also areas under curves of the softmax, named ``srg@prob``; they cost no second run of the model.
    hosts : {"prepared", "as-is"}
        Do Captum's activation hooks get a copy of the network in which they see every activation?
    """

    budget: int = 500
    seed: int = 0
    n_steps: int = 28
    probabilities: bool = False
    hosts: str = "prepared"


@dataclass(frozen=True, eq=False)
class UnitResult:
    """What one unit found.

    Attributes
    ----------
    status : str
        "ok", "over_budget", "degenerate" (a map that says nothing), "unsupported" (the host refuses the model),
        "skipped" or "failed" (an error was raised: `error` holds its traceback).
    values : array (H, W) or None
        Densities.
    metrics : dict
        Name -> value.
    curves : dict
        "deletion" and "insertion" -> shares of positions (P,), scores as returned (P,).
    cost, n_forward, n_backward : int
        Rows of the method, see `CountedModel`; `metric_rows` are those of its metrics.
    seconds, model_seconds, metric_seconds : float
        Of the method as a whole; of that, inside the model; and of its metrics.
    """

    method: Method
    repeat: int
    status: str
    values: FloatArray | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    curves: Curves = field(default_factory=dict)
    std_error_max: float | None = None
    cost: int = 0
    n_forward: int = 0
    n_backward: int = 0
    metric_rows: int = 0
    seconds: float = 0.0
    model_seconds: float = 0.0
    metric_seconds: float = 0.0
    notes: Mapping[str, Any] = field(default_factory=dict)
    note: str = ""
    error: str = ""


def make_scene(photo: Image.Image, classifier: Classifier, look: Look, *, mask: BoolArray | None = None) -> Scene:
    """Baseline, regions, target and truth of a photo; `mask` (H, W) has the photo's size."""
    x = classifier.input_of(photo)
    pixels = inputs.crop_pixels(photo, x, classifier)
    labels = inputs.make_labels(look.segments, pixels)
    baseline = inputs.make_baseline(look.baseline, x, labels, classifier)
    other = look.metric_baseline
    filled = None if other is None else inputs.make_baseline(other, x, labels, classifier)
    plan = measured_plan(classifier.module, (x,))  # now, so that no method pays for it; a fixed one costs nothing
    with torch.no_grad():
        ends = classifier.module(torch.cat([x, baseline]))
    scores = ends.double().cpu().reshape(2, -1).numpy()
    check_finite_scores(scores, 0)
    target = ranked_target(look.target, look.rank, ends[:1], classifier)
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
        batch_size=look.batch_size or plan.batch_size,
        layer=find_layer(classifier.module, x, look.layer),
        digest=hashlib.sha256(photo.tobytes()).hexdigest(),
        outputs=scores[0],
        metric_baseline=filled,
    )


def planned_rows(method: Method, labels: IntArray, budget: int, n_steps: int) -> int:
    """Of one run of a method on regions (H, W), its metrics' included: at most."""
    height, width = labels.shape
    size = Size(budget, int(labels.max()) + 1, (height, width))
    return method.planned_cost(size) + 2 + 2 * (n_steps - 1)


def run_unit(
    method: Method, scene: Scene, repeat: int = 0, terms: Terms | None = None, on_rows: OnRows | None = None
) -> UnitResult:
    """Run a method once and score its map; an error of the method becomes the status "failed".

    Parameters
    ----------
    method : Method
    scene : Scene
    repeat : int
        Counts from 0; changes what is drawn and nothing else.
    terms : Terms, optional
    on_rows : callable, optional
        Called with the number of rows after every forward of the model; what it raises ends the unit, unless it is
        an ``Exception`` that the method's library swallows.
    """
    terms, start = terms or Terms(), time.perf_counter()
    try:
        found, counted = _run(method, scene, repeat, terms, on_rows)
        seconds = time.perf_counter() - start
        metrics, rows, curves = score_map(scene, found.values, terms, on_rows)
    except Unsupported as reason:
        return UnitResult(method, repeat, reason.status, note=str(reason))
    except Exception as error:  # a host that fails on this model must not cost the others' results
        note = f"{type(error).__name__}: {error}".splitlines()[0]
        return UnitResult(method, repeat, "failed", note=note, error=traceback.format_exc())
    return UnitResult(
        method, repeat,
        status=_status(found, counted.cost, terms.budget),
        values=found.values,
        metrics=metrics,
        curves=curves,
        std_error_max=None if found.std_error is None else float(found.std_error.max()),
        cost=counted.cost,
        n_forward=counted.n_forward,
        n_backward=counted.n_backward,
        metric_rows=rows,
        seconds=seconds,
        model_seconds=counted.seconds,
        metric_seconds=time.perf_counter() - start - seconds,
        notes=found.notes,
        note="; ".join(f"{key} {value}" for key, value in found.notes.items()),
    )  # fmt: skip


def seed_of(seed: int, digest: str, method: str, repeat: int) -> int:
    """63 bits that depend on nothing else: not on order, batch, shard or worker; equal images draw equally."""
    words = [seed, _word(digest), _word(method), repeat]
    return int(np.random.SeedSequence(words).generate_state(1, np.uint64)[0] >> 1)


def _run(
    method: Method, scene: Scene, repeat: int, terms: Terms, on_rows: OnRows | None
) -> tuple[MapResult, CountedModel]:
    """Again with half as many rows per call as long as memory is short; hosts do not do that themselves."""
    rows, notes = scene.batch_size, dict[str, Any]()
    while True:
        counted = CountedModel(scene.classifier.module, on_rows)
        try:
            found = method.run(_task(method, replace(scene, batch_size=rows), repeat, terms, counted))
            return replace(found, notes={**found.notes, **notes}), counted
        except torch.OutOfMemoryError:
            if rows == 1:
                raise
            rows //= 2
            notes = {"rows per call, after memory was short:": rows}


def _task(method: Method, scene: Scene, repeat: int, terms: Terms, counted: CountedModel) -> Task:
    s = scene
    seed = seed_of(terms.seed, s.digest, method.name, repeat)
    return Task(
        counted, s.x.clone(), s.baseline, s.target, s.labels, terms.budget, s.batch_size, s.layer, seed, terms.hosts,
        s.f_input, s.f_baseline,
    )  # fmt: skip


def _status(found: MapResult, cost: int, budget: int) -> str:
    if found.status != "ok":
        return found.status
    if not np.ptp(found.values) > 0:
        return "degenerate"
    return "ok" if cost <= budget else "over_budget"


def _word(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
