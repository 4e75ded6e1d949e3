"""The published comparison of LIME, RISE and IASSA, run again on photos with object masks."""

import json
import time
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from xai_ext._batching import measured_plan
from xai_ext._checks import InputError, check_at_least
from xai_ext._task import CountedModel, Task
from xai_ext._types import BoolArray, FloatArray
from xai_ext.game import MaskedModel
from xai_ext.methods.iassa import Attention, Schedule, iassa
from xai_ext.metrics import Protocol, RangeFraction, deletion, insertion, iou, pixel_level, pointing_game
from xai_ext.models import Classifier, load
from xai_ext.study import inputs
from xai_ext.study.data import Item, Reading, read_data
from xai_ext.study.methods import choose_methods
from xai_ext.study.threads import fastest_threads
from xai_ext.study.unit import Look, Scene, make_scene, seed_of

if TYPE_CHECKING:
    from pandas import DataFrame

METRICS = ("deletion", "insertion", "F-1", "IoU", "pointing")
REGION = RangeFraction(0.3)
PUBLISHED = {
    "LIME": "lime.Image:segments=quickshift;fill=mean",
    "RISE": "rise:cells=8;keep_probability=0.1;estimator=rise",
}
EQUAL = {"LIME": "lime.Image:segments=quickshift;fill=mean", "RISE": "rise", "IASSA": "iassa"}
_CAPTION = (
    "Published values are no targets: the order of their columns is lost, their protocol is unpublished, and the "
    "published code selects the iteration by the truth. Pixel level: the value divided by the pixels of the map's "
    "region, as we read the published table; it favours small regions and turns deletion round."
)


@dataclass(frozen=True)
class Settings:
    """What is compared, and on what.

    Attributes
    ----------
    images : tuple of str
        One source of `xai_ext.study.data.read_data` whose images all have masks or boxes.
    budget : int
        Evaluations of each method in the second table.
    lime_samples, rise_masks, iterations : int
        Of the first table, as published; IASSA's evaluations follow from its windows.
    metric_steps : int, optional
        Of the curves; None: as RISE was published, as many as the image is wide.
    limit : int, optional
        Images, drawn with the seed.
    """

    images: tuple[str, ...] = ()
    model: str = "efficientnet_lite0"
    target: str = "top1"
    budget: int = 1000
    lime_samples: int = 1000
    rise_masks: int = 6000
    iterations: int = 20
    metric_steps: int | None = None
    limit: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        check_at_least("budget", self.budget, 10)
        check_at_least("iterations", self.iterations, 1)
        if len(self.images) != 1:
            raise InputError("iassa_poster needs photos with masks; fix: xai-ext compare TABLE.csv --preset "
                             "iassa_poster, with the columns path and mask")  # fmt: skip


class Probability(nn.Module):
    """The probability of one class, (k,); float64, because a sure network's drops are 0 in float32."""

    def __init__(self, classifier: Classifier, target: int | None) -> None:
        super().__init__()
        self.module, self._output, self._target = classifier.module, classifier.output, target
        self.eval()

    def forward(self, images: Tensor) -> Tensor:
        """Of images (k, C, H, W)."""
        scores: Tensor = self.module(images).double()
        scores = scores.softmax(1) if self._output == "logits" else scores
        return scores if self._target is None else scores[:, self._target]


def iteration_maps(
    masked: MaskedModel, iterations: int, attention: Attention | None = None
) -> dict[int, tuple[FloatArray, int]]:
    """K -> map (H, W) after iteration k of the published schedule and evaluations so far, of one run.

    A run whose region is empty stops before the last iteration.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of a score that hardly reacts, told in the diagnostics
        schedule = Schedule.paper(masked.inputs[0].shape[2:], iterations)
        found = iassa(masked, schedule, budget=10**6, attention=attention)
    levels = found.diagnostics["levels"]
    return {k: (level["after"][..., 0].astype(float), int(level["n_evals"])) for k, level in enumerate(levels)}


def published_scores(
    forward: nn.Module, x: Tensor, maps: Mapping[str, FloatArray], truth: BoolArray, protocol: Protocol,
    batch_size: int | None = None,
) -> dict[str, dict[str, float]]:  # fmt: skip
    """Map -> the five published metrics, and each divided by the pixels of the map's region (``@pixel``).

    A protocol without baselines deletes to 0 and inserts into a blurred image.
    """
    tensors = {name: torch.from_numpy(np.ascontiguousarray(m))[None] for name, m in maps.items()}
    object_ = torch.from_numpy(truth)[None]
    common: dict[str, Any] = {"protocol": protocol, "max_examples_per_batch": batch_size}
    fill, blurred = (0.0, _blurred(x)) if protocol.insertion_baseline is None else (None, None)
    overlap: Any = iou(tensors, object_, threshold=REGION)
    measured: dict[str, Any] = {
        "deletion": deletion(forward, x, tensors, fill, **common),
        "insertion": insertion(forward, x, tensors, blurred, **common),
        "F-1": {name: 2 * v / (1 + v) for name, v in overlap.items()},
        "IoU": overlap,
        "pointing": pointing_game(tensors, object_),
    }
    found: dict[str, dict[str, float]] = {}
    for name, values in tensors.items():
        own: dict[str, Tensor] = {metric: measured[metric][name] for metric in METRICS}
        found[name] = {metric: float(v) for metric, v in own.items()}
        found[name] |= {f"{metric}@pixel": float(pixel_level(v, values, REGION)) for metric, v in own.items()}
    return found


def run(settings: Settings) -> "DataFrame":
    """One row per image, table, method, iteration and metric.

    Columns: dataset, image_id, table ("published", "equal", "iterations"), method, iteration, n_evals, metric, value,
    seconds.
    """
    from pandas import DataFrame

    items = read_data(settings.images, Reading(limit=settings.limit, seed=settings.seed))
    without = [i.image_id for i in items if not (i.mask or i.boxes)]
    if without:
        raise InputError(f"iassa_poster needs a mask or boxes for every image; {without[0]!r} has none")
    classifier = load(settings.model)
    x = classifier.input_of(inputs.decode_image(items[0].encoded(), items[0].path))
    with fastest_threads(classifier.module, x):
        return DataFrame([row for item in items for row in _rows(item, classifier, settings)])


def _rows(item: Item, classifier: Classifier, settings: Settings) -> Iterator[dict[str, Any]]:
    start, scene = time.perf_counter(), _scene(item, classifier, settings)
    forward = Probability(classifier, scene.target)
    maps, evaluations = dict[tuple[str, str, int], FloatArray](), dict[tuple[str, str, int], int]()
    for key, values, n_evals in _maps(forward, scene, settings):
        maps[key], evaluations[key] = values, n_evals
    named = {"/".join(map(str, key)): values for key, values in maps.items()}
    protocol = Protocol.rise() if settings.metric_steps is None else replace(
        Protocol.rise(), step_size=None, n_steps=settings.metric_steps
    )  # fmt: skip
    assert scene.truth is not None  # every image has a mask
    scores = published_scores(forward, scene.x, named, scene.truth, protocol, scene.batch_size)
    seconds = time.perf_counter() - start
    for (table, method, iteration), name in zip(maps, named, strict=True):
        for metric, value in scores[name].items():
            yield {
                "dataset": item.dataset, "image_id": item.image_id, "table": table, "method": method,
                "iteration": iteration, "n_evals": evaluations[table, method, iteration], "metric": metric,
                "value": value, "seconds": seconds,
            }  # fmt: skip


def _maps(
    forward: Probability, scene: Scene, settings: Settings
) -> Iterator[tuple[tuple[str, str, int], FloatArray, int]]:
    """(table, method, iteration), map, evaluations."""
    budgets = {"LIME": settings.lime_samples, "RISE": settings.rise_masks + 2}
    for name, method in PUBLISHED.items():
        yield ("published", name, 0), *_explained(method, forward, scene, budgets[name], settings.seed)
    for name, method in EQUAL.items():
        yield ("equal", name, 0), *_explained(method, forward, scene, settings.budget, settings.seed)
    found = iteration_maps(MaskedModel(forward, scene.x, scene.baseline), settings.iterations)
    for k, (values, n_evals) in found.items():
        yield ("iterations", "IASSA", k), values, n_evals
    yield ("published", "IASSA", 0), *found[max(found)]


def _explained(method: str, forward: Probability, scene: Scene, budget: int, seed: int) -> tuple[FloatArray, int]:
    (chosen,) = choose_methods(method)
    counted = CountedModel(forward)
    drawn = seed_of(seed, scene.digest, chosen.name, 0)
    size = measured_plan(forward, (scene.x,)).batch_size
    task = Task(counted, scene.x.clone(), scene.baseline, None, scene.labels, budget, size, None, drawn)
    return chosen.run(task).values, counted.cost


def _scene(item: Item, classifier: Classifier, settings: Settings) -> Scene:
    photo, mask = inputs.decode_image(item.encoded(), item.path), item.encoded_mask()
    truth = (
        inputs.read_truth(None, item.boxes, item.path, photo.size) if mask is None
        else inputs.decode_mask(mask, item.mask, photo.size)
    )  # fmt: skip
    return make_scene(photo, classifier, Look(settings.target, segments="grid:7x7"), mask=truth)


def _blurred(x: Tensor) -> Tensor:
    from xai_ext.baselines import blur

    return blur(x, sigma=5 * min(x.shape[2:]) / 224)


def cells(found: "DataFrame") -> "DataFrame":
    """Table, method, level and metric: mean and 95 % interval over images."""
    from pandas import DataFrame

    from xai_ext.study.stats import summarize

    rows = []
    kept = found[found.table != "iterations"]
    for (table, method, metric), part in kept.groupby(["table", "method", "metric"], sort=False):
        s = summarize(part.value.to_numpy(), part.image_id.to_numpy())
        name, _, level = str(metric).partition("@")
        rows.append({"table": table, "method": method, "level": level or "image", "metric": name, "mean": s.mean,
                     "low": s.low, "high": s.high, "n_images": s.n_images,
                     "n_evals": float(part.n_evals.mean())})  # fmt: skip
    return DataFrame(rows)


def table(found: "DataFrame") -> str:
    """Both tables at both levels, for people."""
    means, lines = cells(found), []
    for (name, level), part in means.groupby(["table", "level"], sort=False):
        unit = 1e5 if level == "pixel" else 1.0
        lines += [f"{name}, {level} level{', times 1e5' if level == 'pixel' else ''}, {part.n_images.max()} photos",
                  f"{'':8}" + "".join(f"{m:>22}" for m in METRICS) + f"{'evaluations':>14}"]  # fmt: skip
        for method, row in part.groupby("method", sort=False):
            by = row.set_index("metric")
            values = "".join(
                f"{unit * by['mean'][m]:8.3f} [{unit * by.low[m]:.3f}, {unit * by.high[m]:.3f}]".rjust(22)
                for m in METRICS
            )  # fmt: skip
            lines.append(f"{method:8}{values}{by.n_evals.iloc[0]:14.0f}")
        lines.append("")
    return "\n".join([*lines, _CAPTION])


def save(found: "DataFrame", settings: Settings, folder: Path) -> list[Path]:
    """Write result.json, values.csv and iterations.png: five panels, metric against iteration."""
    from matplotlib.figure import Figure

    from xai_ext.plots import iterations
    from xai_ext.study._safe_names import write_csv

    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / name for name in ("result.json", "values.csv", "iterations.png")]
    means = json.loads(cells(found).to_json(orient="records"))  # NaN is null
    content = {"preset": "iassa_poster", "settings": asdict(settings), "cells": means, "caption": _CAPTION}
    paths[0].write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    write_csv(found, paths[1])
    fig = Figure(figsize=(17, 3.4), layout="constrained")
    for ax, metric in zip(fig.subplots(1, len(METRICS)), METRICS, strict=True):
        iterations(found[(found.table == "iterations") & (found.metric == metric)], metric, ax=ax)
    fig.savefig(paths[2], dpi=110)
    return paths
