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
from xai_ext.study._safe_names import file_name, path_below
from xai_ext.study._score import Score
from xai_ext.study._worker import weights_digest
from xai_ext.study.compare import CompareResult
from xai_ext.study.report._privacy import without_folders
from xai_ext.study.unit import Scene

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SCHEMA = 3
RESULT = "result.json"
_PACKAGES = ("xai-ext", "torch", "numpy", "captum", "shap", "lime", "scikit-image")
_COLUMNS = {
    "deletion": "deletion ↓",
    "insertion": "insertion ↑",
    "srg": "SRG ↑",
    "srg@prob": "SRG prob ↑",
    "iou": "IoU ↑",
    "pointing_game": "pointing ↑",
    "mass_accuracy": "mass ↑",
    "roc_auc": "AUC ↑",
    "gini": "Gini",
}


def table(result: CompareResult, sort: str = "srg") -> str:
    """One line per method, best first, what may be said of it, and how to read it; target after target."""
    return "\n\n".join(_table(r, sort) for r in (result, *result.further))


def sort_names() -> list[str]:
    """What a table can be sorted by."""
    return ["name", "cost", *_COLUMNS]


def _table(result: CompareResult, sort: str) -> str:
    ranked = _ranked(result, sort)
    found = {name for score in ranked for name in score.metrics}
    metrics = [name for name in _COLUMNS if name in found]
    head = ["method", "evals", "model s", "other s", *(_COLUMNS[name] for name in metrics), "status"]
    rows = [[s.name, f"{s.cost}", f"{s.model_seconds:.1f}", f"{s.other_seconds:.2f}",
             *(_cell(s, name) for name in metrics), s.status] for s in ranked]  # fmt: skip
    lines = _aligned([head, *rows], right=set(range(1, len(head) - 1)))
    notes = [f"{s.name}: {s.note}" for s in ranked if s.status != "ok" and s.note]
    rule = "-" * max(map(len, lines))
    said = [*(f"Warning: {w}." for w in result.warnings), *result.verdict]
    return "\n".join([lines[0], rule, *lines[1:], "", *said, "", _reading(result), "", agreement_table(result), *notes])


def _ranked(result: CompareResult, sort: str) -> list[Score]:
    """Best first; NaN and what has no map last."""
    if sort == "name":
        return sorted(result.scores, key=lambda s: s.name)
    if sort == "cost":
        return sorted(result.scores, key=lambda s: s.cost)
    sign = 1 if sort == "deletion" else -1

    def place(score: Score) -> float:
        value = score.metrics.get(sort, math.nan)
        return sign * value if math.isfinite(value) else math.inf

    return sorted(result.scores, key=place)


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
    """Everything but the maps; NaN is null, and no folder is named."""
    scene, weights = result.scene, weights_digest(result.scene.classifier)
    every = (result, *result.further)
    rows = sum(s.cost * s.runs for r in every for s in r.scores)
    content = {
        "schema": SCHEMA,
        "config": result.config.recorded(),
        "config_hash": result.config.digest(weights),
        "versions": {name: _version(name) for name in _PACKAGES},
        "seed": result.config.seed,
        "image": {"sha256_of_pixels": result.image_sha256, "seen": list(scene.x.shape[2:])},
        "model": {"name": result.config.model, "weights_sha256": weights, "output": scene.classifier.output,
                  "batch_size": scene.batch_size, "top": [list(pair) for pair in result.top]},
        "targets": [_target(r.scene) for r in every],
        "regions": int(scene.labels.max()) + 1,
        "layer": scene.layer,
        "threads": result.threads,
        "warnings": result.warnings,
        "methods": [_row(r, score) for r in every for score in r.scores],
        "agreement": [r.agreement.as_json() | {"target": r.scene.target} for r in every],
        "verdict": [{"target": r.scene.target, "sentences": r.verdict} for r in every],
        "interrupted": None if result.interrupted is None else result.interrupted.name,
        "totals": {"rows": rows, "metric_rows": sum(s.metric_rows for r in every for s in r.scores),
                   "seconds": result.seconds, "eta_first": result.eta_first,
                   "seconds_per_row": result.seconds_per_row},
    }  # fmt: skip
    told: dict[str, Any] = without_folders(content)
    return told


def _target(scene: Scene) -> dict[str, Any]:
    return {"index": scene.target, "name": scene.target_name, "f_x": scene.f_input, "f_baseline": scene.f_baseline}


def _row(result: CompareResult, s: Score) -> dict[str, Any]:
    seconds, bare = s.model_seconds + s.other_seconds, s.cost * result.seconds_per_row
    plain = {k: v for k, v in asdict(s).items() if k not in ("metrics", "std_errors", "values", "model_seconds",
                                                              "other_seconds", "error")}  # fmt: skip
    metrics = {name: _metric(result, s, name) for name in s.metrics}
    return _nullified(
        {**plain, "target": result.scene.target, "seconds": seconds, "model_seconds": s.model_seconds,
         "overhead": seconds / bare if bare else None, "metrics": metrics}
    )  # fmt: skip


def _metric(result: CompareResult, s: Score, name: str) -> dict[str, Any]:
    values, curve = s.values[name], name.partition("@")[0] in ("deletion", "insertion", "srg")
    return {
        "mean": s.metrics[name],
        "sd": float(np.std(values, ddof=1)) if len(values) > 1 else None,
        "std_error": s.std_errors.get(name),
        "n": len(values),
        "values": [v if math.isfinite(v) else None for v in values],
        "score": ("prob" if name.endswith("@prob") else "as_returned") if curve else None,
        "baseline": (result.config.metric_baseline or result.config.baseline) if curve else None,
        "chance": _chance(result.scene, name),
    }  # fmt: skip


def _chance(scene: Scene, name: str) -> float | None:
    """What a map that knows nothing scores on average, where that is known."""
    share = None if scene.truth is None else float(scene.truth.mean())
    return {"pointing_game": share, "mass_accuracy": share, "roc_auc": 0.5 if share is not None else None}.get(name)


def save(result: CompareResult, folder: Path, *, report: bool = True) -> list[Path]:
    """Write result.json, tables, maps.npz, pictures and report.html; further targets in folders of their own too."""
    from xai_ext.plots import attribution_grid
    from xai_ext.study.export import write_tables
    from xai_ext.study.report import write_compare_report

    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / name for name in (RESULT, "maps.npz", "figure.png", "disagreement.png")]
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
    paths += write_tables(result, folder)
    if report:
        paths.append(write_compare_report(result, folder / "report.html"))
    for other in result.further:
        paths += save(other, path_below(folder, file_name(other.scene.target_name)), report=report)
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


def check_folder(folder: Path, *, force: bool = False) -> None:
    """Refuse a folder that holds something else than an earlier comparison."""
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} exists and is not a folder")
    if force or not folder.exists() or not any(folder.iterdir()):
        return
    if not any((folder / name).is_file() for name in (RESULT, "results.json")):
        raise InputError(f"the folder {folder} holds something else; fix: another --out, or --force")


def _headline(result: CompareResult) -> str:
    s = result.scene
    random = " (random weights)" if result.config.model.endswith("@none") else ""
    name = result.config.model + random + ("" if s.target is None else f", {s.target_name}")
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
        "nothing is drawn: seed noise on one image, not how a method does on others. random, random_segments and "
        "center need no model: what a number is worth."
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
