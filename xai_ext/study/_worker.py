"""What runs in a worker: units and comparisons of maps; it reads and writes no file."""

import contextlib
import hashlib
import io
import os
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from functools import lru_cache
from importlib import metadata
from typing import Any

import numpy as np
import torch
from PIL import Image

from xai_ext._batching import Plan as BatchPlan
from xai_ext._batching import fix_plan, measured_plan
from xai_ext._randomness import preserved_generators
from xai_ext._types import AnyArray, BoolArray, FloatArray, IntArray
from xai_ext.models import Classifier, Preprocess, load
from xai_ext.study import inputs
from xai_ext.study._plan import Unit
from xai_ext.study._records import Key
from xai_ext.study.data import Item, drawn_boxes
from xai_ext.study.methods import choose_methods
from xai_ext.study.unit import Look, Scene, Terms, UnitResult, make_scene, run_unit

PACKAGES = ("torch", "numpy", "scipy", "captum", "shap", "lime", "scikit-image", "scikit-learn", "pillow")
_MODELS, _SCENES = 2, 4  # kept
_MASK_LEFT = 0.1
_NOT_PLAIN = ("method", "values", "curves", "notes", "repeat")


@dataclass(frozen=True)
class Setup:
    """The same for all workers of a run.

    Attributes
    ----------
    weights, batches : mapping
        Model -> digest of its parameters; model -> rows per forward and memory format, measured once.
    """

    methods: str
    look: Look
    terms: Terms
    agreement: tuple[str, ...]
    threads: int
    weights: Mapping[str, str]
    batches: Mapping[str, tuple[int, str]]
    device: str | None = None
    keep_pixels: bool = False


@dataclass(frozen=True, eq=False)
class UnitTask:
    """A unit and the files it needs."""

    unit: Unit
    item: Item
    image: bytes
    mask: bytes | None

    @property
    def id(self) -> str:
        """Of the unit."""
        return self.unit.id


@dataclass(frozen=True, eq=False)
class PairsTask:
    """The maps of an image, and those of another one."""

    id: str
    image: int
    item: Item
    maps: Mapping[Key, FloatArray]
    labels: Mapping[str, IntArray]
    others: Mapping[Key, FloatArray]
    about: Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class Found:
    """What a task found: `meta` is JSON."""

    meta: dict[str, Any]
    values: FloatArray | None = None
    labels: IntArray | None = None
    pixels: AnyArray | None = None


class Worker:
    """Keeps models and scenes between tasks."""

    def __init__(self, setup: Setup, on_rows: Callable[[int], None] | None = None) -> None:
        self.setup, self.on_rows = setup, on_rows
        torch.set_num_threads(setup.threads)
        with _silence():
            self._methods = {m.name: m for m in choose_methods(setup.methods)}
        self._model = lru_cache(_MODELS)(self._load)
        self._scene = lru_cache(_SCENES)(self._make_scene)

    def hello(self) -> dict[str, Any]:
        """Versions and digests of weights: a worker that differs is refused."""
        with _silence():
            weights = {m: weights_digest(self._model(m)) for m in self.setup.weights}
        return {"pid": os.getpid(), "versions": versions(), "weights": weights}

    def run(self, task: UnitTask | PairsTask) -> Found:
        """Do one task."""
        with _silence():
            return self._pairs(task) if isinstance(task, PairsTask) else self._unit(task)

    def _unit(self, task: UnitTask) -> Found:
        unit = task.unit
        self._task = task  # what the scene is made from is no part of its key
        scene = self._scene(task.item, unit.model, unit.baseline)
        found = run_unit(self._methods[unit.method], scene, unit.repeat, self.setup.terms, self.on_rows)
        pixels = scene.pixels if self.setup.keep_pixels else None
        return Found(_meta(found, scene), found.values, scene.labels.astype(np.uint16), pixels)

    def _load(self, name: str) -> Classifier:
        with preserved_generators():
            classifier = load(name).on(self.setup.device)
        batch_size, memory_format = self.setup.batches[name]
        fix_plan(classifier.module, BatchPlan(batch_size, getattr(torch, memory_format)))
        return classifier

    def _make_scene(self, item: Item, model: str, baseline: str) -> Scene:
        classifier = self._model(model)
        photo = inputs.decode_image(self._task.image, item.path)
        target, rank = (item.target, None) if self.setup.look.target == "label" else (self.setup.look.target, item.rank)
        rows = self.setup.batches[model][0]
        look = replace(self.setup.look, target=target, baseline=baseline, batch_size=rows, rank=rank)
        scene = make_scene(photo, classifier, look)
        return replace(scene, truth=_truth(photo, item, self._task.mask, classifier))

    def _pairs(self, task: PairsTask) -> Found:
        from xai_ext.study._pairs import pair_rows

        return Found({"rows": pair_rows(task, self.setup.agreement, self.setup.terms.seed)})


def _truth(photo: Image.Image, item: Item, mask: bytes | None, classifier: Classifier) -> BoolArray | None:
    """None where less than a tenth of the object is left by the crop: nothing could be said about it."""
    if mask is None and not item.boxes:
        return None
    whole = drawn_boxes(item.boxes, photo.size) if mask is None else inputs.decode_mask(mask, item.mask, photo.size)
    cropped = inputs.crop_mask(whole, classifier)
    if cropped is None or not isinstance(classifier.preprocess, Preprocess):
        return cropped
    scale = classifier.preprocess.resize / min(photo.size)
    return cropped if cropped.sum() >= _MASK_LEFT * whole.sum() * scale**2 else None


def _meta(found: UnitResult, scene: Scene) -> dict[str, Any]:
    plain = {f.name: getattr(found, f.name) for f in fields(found) if f.name not in _NOT_PLAIN}
    about = {
        "class_id": scene.target,
        "f_x": scene.f_input,
        "f_baseline": scene.f_baseline,
        "object_area": None if scene.truth is None else float(scene.truth.mean()),
        **_confidence(scene),
    }
    return {**plain, "host": found.method.host, "features": found.method.features, **about}


def _confidence(scene: Scene) -> dict[str, Any]:
    """The predicted class; its probability and the entropy where the scores allow that."""
    scores = scene.outputs
    if len(scores) < 2:
        return {"prediction": None}
    found: dict[str, Any] = {"prediction": int(scores.argmax())}
    if scene.classifier.output in ("logits", "probabilities"):
        p = scores if scene.classifier.output == "probabilities" else np.exp(scores - scores.max())
        p = np.clip(p / p.sum(), 1e-300, None)
        found |= {"probability": float(p.max()), "entropy": float(-(p * np.log(p)).sum())}
    return found


def versions() -> dict[str, str]:
    """Of what decides bits."""
    return {name: metadata.version(name) for name in PACKAGES}


def weights_digest(classifier: Classifier) -> str:
    """SHA-256 of name, type, shape and bytes of all parameters and buffers."""
    digest = hashlib.sha256()
    for name, tensor in sorted(classifier.module.state_dict().items()):
        value = tensor.detach().cpu().contiguous()
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(_raw(value))
    return digest.hexdigest()


def _raw(value: torch.Tensor) -> bytes:
    array: AnyArray = value.reshape(-1).view(torch.uint8).numpy() if value.numel() else np.zeros(0, np.uint8)
    return array.tobytes()


def measured_batches(classifier: Classifier) -> tuple[int, str]:
    """Rows per forward and memory format, fastest on this machine now."""
    plan = measured_plan(classifier.module, (classifier.input_of(Image.new("RGB", (64, 64))),))
    return plan.batch_size, str(plan.memory_format).removeprefix("torch.")


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Loaders and hosts print and warn."""
    with (
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")
        yield
