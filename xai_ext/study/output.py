"""A comparison as a table, as JSON, as maps and as a picture."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from xai_ext._checks import InputError
from xai_ext.study._score import Score
from xai_ext.study.compare import CompareResult

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SCHEMA = 2
_PACKAGES = ("xai-ext", "torch", "numpy", "captum", "shap", "lime", "scikit-image")
_COLUMNS = {
    "deletion": "deletion ↓",
    "insertion": "insertion ↑",
    "srg": "SRG ↑",
    "iou": "IoU ↑",
    "pointing_game": "pointing ↑",
    "mass_accuracy": "mass ↑",
    "roc_auc": "AUC ↑",
    "gini": "Gini",
}


def table(result: CompareResult) -> str:
    """One line per method, sorted by insertion minus deletion (SRG), best first."""
    found = {name for score in result.scores for name in score.metrics}
    metrics = [name for name in _COLUMNS if name in found]
    head = ["method", "evals", "model s", "other s", *(_COLUMNS[name] for name in metrics), "status"]
    ranked = sorted(result.scores, key=lambda s: -s.metrics.get("srg", -math.inf))
    rows = [[s.name, f"{s.cost}", f"{s.model_seconds:.1f}", f"{s.other_seconds:.2f}",
             *(_cell(s, name) for name in metrics), s.status] for s in ranked]  # fmt: skip
    lines = _aligned([head, *rows], right=set(range(1, len(head) - 1)))
    notes = [f"{s.name}: {s.note}" for s in ranked if s.status != "ok" and s.note]
    rule = "-" * max(map(len, lines))
    return "\n".join([lines[0], rule, *lines[1:], "", _reading(result), "", agreement_table(result), *notes])


def agreement_table(result: CompareResult) -> str:
    """The noise floor of each method beside its agreement with the others."""
    found = result.agreement
    head = ["agreement", "seed floor", *(str(i + 1) for i in range(len(found.names)))]
    rows = [
        [f"{i + 1:2} {name}", _number(floor), *(_number(v) for v in row)]
        for i, (name, floor, row) in enumerate(zip(found.names, found.floor, found.matrix, strict=True))
    ]
    lines = _aligned([head, *rows], right=set(range(1, len(head))))
    return "\n".join([lines[0], "-" * max(map(len, lines)), *lines[1:], "", _AGREEMENT])


_AGREEMENT = (
    "Agreement is Spearman's correlation of the mean densities of the shared regions, mean over runs. Seed floor: the "
    "same between runs of one method, 1 where nothing is drawn. Two methods disagree beyond noise where they agree "
    "less than the mean of their floors; one photo shows it for this photo only."
)


def as_json(result: CompareResult) -> dict[str, Any]:
    """Everything but the maps; NaN is null."""
    scene = result.scene
    return {
        "schema": SCHEMA,
        "config": asdict(result.config),
        "versions": {name: _version(name) for name in _PACKAGES},
        "image": {"sha256_of_pixels": result.image_sha256, "seen": list(scene.x.shape[2:])},
        "model": {"name": result.config.model, "output": scene.classifier.output, "batch_size": scene.batch_size},
        "target": {"index": scene.target, "name": scene.target_name, "f_x": scene.f_input,
                   "f_baseline": scene.f_baseline},
        "regions": int(scene.labels.max()) + 1,
        "layer": scene.layer,
        "threads": result.threads,
        "seconds": result.seconds,
        "methods": [_nullified(asdict(score)) for score in result.scores],
        "agreement": result.agreement.as_json(),
    }  # fmt: skip


def save(result: CompareResult, folder: Path) -> list[Path]:
    """Write figure.png, disagreement.png, results.json and maps.npz."""
    from xai_ext.plots import attribution_grid

    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / name for name in ("results.json", "maps.npz", "figure.png", "disagreement.png")]
    paths[0].write_text(json.dumps(as_json(result), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    scene = result.scene
    arrays: dict[str, Any] = {"image": scene.pixels, "labels": scene.labels, **result.maps}
    if scene.truth is not None:
        arrays["truth"] = scene.truth
    np.savez_compressed(paths[1], **arrays)
    figure = attribution_grid(
        scene.pixels, _captioned(result), truth=scene.truth, labels=scene.labels, title=_headline(result)
    )
    figure.savefig(paths[2], dpi=120)
    _disagreement(result).savefig(paths[3], dpi=120)
    return paths


def _disagreement(result: CompareResult) -> "Figure":
    from matplotlib.figure import Figure
    from pandas import DataFrame

    from xai_ext.plots import agreement_heatmap

    found = result.agreement
    side = 0.5 * len(found.names) + 2.5
    fig = Figure(figsize=(side, side), layout="constrained")
    matrix = DataFrame(found.matrix, index=list(found.names))
    title = f"{_headline(result)}\nSpearman's correlation of mean densities of regions; diagonal: seed floor"
    agreement_heatmap(matrix, found.floor, ax=fig.subplots()).set_title(title, fontsize=8)
    return fig


def check_folder(folder: Path) -> None:
    """Refuse a folder that holds something else than an earlier comparison."""
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} exists and is not a folder")
    if folder.exists() and any(folder.iterdir()) and not (folder / "results.json").is_file():
        raise InputError(f"the folder {folder} holds something else; fix: another --out")


def _headline(result: CompareResult) -> str:
    s = result.scene
    name = result.config.model + ("" if s.target is None else f", {s.target_name}")
    return f"{name}: f(x) = {s.f_input:.3g}, f(baseline) = {s.f_baseline:.3g}, budget {result.config.budget}"


def _captioned(result: CompareResult) -> dict[str, Any]:
    scores = {score.name: score for score in result.scores}
    return {
        f"{name}\ndel {scores[name].metrics['deletion']:.2f}  ins {scores[name].metrics['insertion']:.2f}": values
        for name, values in result.maps.items()
    }


def _reading(result: CompareResult) -> str:
    unit = {"logits": "logits", "probabilities": "probabilities"}.get(
        result.scene.classifier.output, "the model's score"
    )
    return (
        f"{_headline(result)}.\n"
        f"Deletion and insertion are areas under curves of {unit}; SRG = insertion - deletion. An evaluation is a "
        "forward row, a backward row counts as two. IoU is that of as many pixels as the object has, mass the share of "
        "positive values on it, AUC that of the ROC. ± is the standard error over runs with other seeds, 0 where "
        "nothing is drawn. random, random_segments and center need no model: what a number is worth. One image says "
        "little about which method is better on others."
    )


def _cell(score: Score, name: str) -> str:
    if name not in score.metrics:
        return ""
    if not math.isfinite(score.metrics[name]):
        return "-"
    error = f" ±{score.std_errors[name]:.2f}" if name in score.std_errors else ""
    return f"{score.metrics[name]:.2f}{error}"


def _number(value: float) -> str:
    return f"{value:.2f}" if math.isfinite(value) else "-"


def _aligned(rows: Sequence[Sequence[str]], right: set[int]) -> list[str]:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return [
        "  ".join(
            c.rjust(w) if i in right else c.ljust(w) for i, (c, w) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def _nullified(values: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: _nullified(value) if isinstance(value, dict)
        else None if isinstance(value, float) and not math.isfinite(value)
        else value
        for key, value in values.items()
    }  # fmt: skip


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "unknown"
