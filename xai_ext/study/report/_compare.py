"""The page of one comparison."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from xai_ext._html import visible
from xai_ext.study._score import Score
from xai_ext.study.compare import CompareResult
from xai_ext.study.report._page import version
from xai_ext.study.report._pictures import Picture, curve_chart, heatmap, overlay, photo, sampled
from xai_ext.study.report._privacy import shareable, without_paths
from xai_ext.study.report._tables import Cell, Table, bar, digits_for, number, pairs, signed
from xai_ext.study.report._words import METRICS, head_of, map_text

_PACKAGES = ("xai-ext", "torch", "numpy", "scipy", "captum", "shap", "lime", "scikit-image")
_SHARES = (0.0, 0.1, 0.25, 0.5, 0.75, 1.0)
_SECTIONS = (
    ("answer", "Answer"), ("scores", "Scores"), ("maps", "Maps"), ("curves", "Curves"), ("agreement", "Agreement"),
    ("costs", "Methods"), ("reading", "How to read this"), ("settings", "Settings"),
)  # fmt: skip
_READING = (
    "± is the standard error over runs with other seeds; methods without it draw nothing. An evaluation is a forward "
    "row, a backward row counts as two. random, random_segments and center do not look at the model: what they reach "
    "is what a number is worth."
)
_LIMITS = (
    "One image says little about which method is better on others: xai-ext bench measures data sets.",
    "Deletion and insertion show the model images it was not trained on; another baseline can order the methods "
    "otherwise.",
    "Localisation scores ask whether a map covers the object. A model that is right for a wrong reason has honest maps "
    "that score badly.",
    "Agreement of two methods does not make either right.",
)


def context(result: CompareResult) -> dict[str, Any]:
    """Everything the template shows."""
    every = (result, *result.further)
    targets = [target_context(r, "" if i == 0 else f"-{i + 1}") for i, r in enumerate(every)]
    ranked = _ranked(result)
    names = _metrics([s for r in every for s in r.scores])
    return {
        "title": f"Comparison of {len(ranked)} explanations", "sections": _sections(every, targets),
        "question": _question(result), "lead": _lead(result), "numbers": _numbers(result), "targets": targets,
        "warnings": [without_paths(w) for w in _warnings(result)], "truth": result.scene.truth is not None,
        "reading": _READING, "costs": _costs(ranked), "notes": _notes(ranked),
        "metrics": [(head_of(m), METRICS[m.partition("@")[0]][2]) for m in names if "@" not in m], "limits": _LIMITS,
        "settings": pairs("settings", "The options of this comparison.", shareable(_config(result))),
        "versions": pairs("versions", "Versions.", {p: version(p) for p in _PACKAGES}), "version": version("xai-ext"),
    }  # fmt: skip


def target_context(result: CompareResult, suffix: str) -> dict[str, Any]:
    """What is shown for each explained output."""
    ranked, scene = _ranked(result), result.scene
    shown = [s for s in ranked if s.name in result.maps]
    maps = [_map(result, s) for s in shown]
    return {
        "suffix": suffix, "name": scene.target_name,
        "photo": photo(scene.pixels, "What the model sees", _photo_text(result)),
        "verdict": [without_paths(sentence) for sentence in result.verdict], "scores": _scores(shown, suffix),
        "maps": maps, "without_map": [(s.name, s.status, without_paths(s.note)) for s in ranked if s not in shown],
        **_curves(result, shown, suffix), **_agreement(result, suffix),
    }  # fmt: skip


def _ranked(result: CompareResult) -> list[Score]:
    return sorted(result.scores, key=lambda s: -_finite(s.metrics.get("srg")))


def _metrics(scores: Sequence[Score]) -> list[str]:
    """Those that are shown: all that are known, and of probabilities SRG."""
    present = {m for s in scores for m in s.metrics}
    return [m for name in METRICS for m in (name, f"{name}@prob") if m in present and ("@" not in m or name == "srg")]


def _sections(every: Sequence[CompareResult], targets: Sequence[dict[str, Any]]) -> list[tuple[str, str]]:
    own = [s for s in _SECTIONS if s[0] != "curves" or targets[0]["curves"]]
    further = [(f"answer{t['suffix']}", f"Why {t['name']}?") for t in targets[1:]]
    return [*own[:5], *further, *own[5:]]


def _warnings(result: CompareResult) -> list[str]:
    stopped = result.interrupted
    return [*result.warnings, *([f"{stopped.name} ended this early: what was finished is shown"] if stopped else [])]


def _question(result: CompareResult) -> dict[str, str]:
    if result.further:
        return {"before": "Why “", "name": result.scene.target_name, "after": f"” and {len(result.further)} more?"}
    if result.scene.target is None:
        return {"before": "Why this ", "name": "score", "after": "?"}
    return {"before": "Why “", "name": result.scene.target_name, "after": "”?"}


def _lead(result: CompareResult) -> str:
    weights = " with random weights" if result.config.model.endswith("@none") else ""
    return (
        f"{len(result.scores)} methods explain one output of {result.config.model}{weights}, each with at most "
        f"{result.config.budget:,} evaluations of the model. Their maps, how well they hold, and where they contradict "
        "each other."
    )


def _numbers(result: CompareResult) -> list[tuple[str, str]]:
    s = result.scene
    unit = {"logits": "logit", "probabilities": "probability"}.get(s.classifier.output, "score")
    return [
        (f"{unit} of the image", f"{s.f_input:.3g}"), (f"{unit} of the baseline", f"{s.f_baseline:.3g}"),
        ("shared regions", f"{int(s.labels.max()) + 1}"), ("budget", f"{result.config.budget:,}"),
        ("seed", f"{result.config.seed}"), ("time", _duration(result.seconds)),
    ]  # fmt: skip


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"


def _photo_text(result: CompareResult) -> str:
    height, width = result.scene.pixels.shape[:2]
    return f"The image as the model sees it, {width} by {height} pixels, explained for {result.scene.target_name}."


def _map(result: CompareResult, score: Score) -> Picture:
    values, scene = result.maps[score.name], result.scene
    deletion, insertion = score.metrics.get("deletion"), score.metrics.get("insertion")
    return overlay(
        scene.pixels, values, scene.truth, title=score.name,
        alt=map_text(score.name, scene.target_name, values, deletion, insertion),
        below=f"SRG {signed(score.metrics['srg'])}" if "srg" in score.metrics else "",
        chip="" if score.status == "ok" else score.status.replace("_", " "),
    )  # fmt: skip


def _scores(shown: Sequence[Score], suffix: str) -> Table:
    names = _metrics(shown)
    columns = [[s.metrics.get(m, math.nan) for s in shown] for m in names]
    rows = []
    for i, score in enumerate(shown):
        cells = [
            number(values[i], digits_for(values), after=_error(score, m, digits_for(values)),
                   bar=bar(values[i], values) if m == "srg" else None)
            for m, values in zip(names, columns, strict=True)
        ]  # fmt: skip
        rows.append((Cell(score.name), *cells, number(score.runs, 0), Cell(score.status.replace("_", " "))))
    hints = (METRICS[m.partition("@")[0]][2] for m in names)
    head = (("method", ""), *zip(map(head_of, names), hints, strict=True), ("runs", ""), ("status", ""))
    caption = "Every method at an equal budget, best SRG first; arrows point to the better side."
    return Table(f"scores{suffix}", caption, head, tuple(rows))


def _error(score: Score, metric: str, digits: int) -> str:
    error = score.std_errors.get(metric)
    return "" if error is None or score.runs < 2 else f" ±{error:.{digits}f}"


def _curves(result: CompareResult, shown: Sequence[Score], suffix: str) -> dict[str, Any]:
    curves = {s.name: result.curves[s.name] for s in shown if s.name in result.curves}
    if not curves:
        return {"curves": [], "curve_tables": [], "curves_text": ""}
    best = next(iter(curves))
    charts = [
        curve_chart(
            curves,
            kind,
            f"Curves of {kind} of {len(curves)} methods. {_half(curves[best][kind], best, kind)} The numbers are in "
            "the table below.",
        )
        for kind in ("deletion", "insertion")
    ]
    text = (
        "The score while pixels are removed, or put into the baseline, in the order of each map. The six methods with "
        f"the highest SRG are in colour. {_half(curves[best]['deletion'], best, 'deletion')}"
    )
    tables = [(kind, _curve_table(kind, curves, suffix)) for kind in ("deletion", "insertion")]
    return {"curves": charts, "curve_tables": tables, "curves_text": text}


def _half(curve: Any, name: str, kind: str) -> str:
    start, end = float(curve[1][0]), float(curve[1][-1])
    (there,) = sampled(curve, [0.1])
    verb = "removed" if kind == "deletion" else "put in"
    return f"With the first tenth of the pixels of {name} {verb}, the score goes from {start:.3g} to {there:.3g} " \
           f"(at the end {end:.3g})."  # fmt: skip


def _curve_table(kind: str, curves: Any, suffix: str) -> Table:
    values = {name: sampled(c[kind], _SHARES) for name, c in curves.items()}
    digits = digits_for(np.concatenate(list(values.values())).tolist())
    rows = tuple((Cell(name), *(number(v, digits) for v in row)) for name, row in values.items())
    head = (("method", ""), *((f"{share:.0%}", "") for share in _SHARES))
    verb = "removed" if kind == "deletion" else "inserted"
    return Table(kind + suffix, f"The score after a share of the positions is {verb}.", head, rows)


def _agreement(result: CompareResult, suffix: str) -> dict[str, Any]:
    from pandas import DataFrame

    found = result.agreement
    text = (
        "Rank correlation (Spearman) of the mean values of the shared regions, mean over runs. The diagonal is the "
        "seed floor: how far runs of one method agree. Two methods disagree beyond noise where they agree less than "
        "the mean of their two floors."
    )
    if len(found.names) < 2:
        return {"agreement_text": "There is no pair of maps to compare.", "heatmap": None, "agreement": None}
    matrix = DataFrame(found.matrix, index=[visible(name) for name in found.names])
    alt = f"Matrix of the agreement of {len(found.names)} methods. {_extremes(found.names, found.matrix)}"
    return {"agreement_text": f"{text} {_extremes(found.names, found.matrix)}",
            "heatmap": heatmap(matrix, found.floor, alt), "agreement": _agreement_table(found, suffix)}  # fmt: skip


def _extremes(names: Sequence[str], matrix: Any) -> str:
    upper = np.triu_indices(len(names), 1)
    values = np.asarray(matrix)[upper]
    if not np.isfinite(values).any():
        return "No pair could be compared."
    most, least = int(np.nanargmax(values)), int(np.nanargmin(values))
    pairs = [(names[upper[0][k]], names[upper[1][k]], values[k]) for k in (most, least)]
    (a, b, high), (c, d, low) = pairs
    return f"{a} and {b} agree most ({signed(high)}), {c} and {d} least ({signed(low)})."


def _agreement_table(found: Any, suffix: str) -> Table:
    head = (("method", ""), ("seed floor", "agreement of runs of one method"), *((str(n), "") for n in found.names))
    rows = tuple(
        (Cell(name), number(floor), *(number(v) for v in row))
        for name, floor, row in zip(found.names, found.floor, found.matrix, strict=True)
    )
    return Table(f"agreement{suffix}", "Agreement of every pair of methods.", head, rows)


def _costs(ranked: Sequence[Score]) -> Table:
    head = (("method", ""), ("library", ""), ("values of", ""), ("evaluations", ""), ("forward rows", ""),
            ("backward rows", ""), ("seconds in the model", ""), ("seconds outside", ""),
            ("largest standard error", ""), ("gap in completeness", ""), ("status", ""))  # fmt: skip
    rows = tuple(
        (Cell(s.name), Cell(s.host), Cell(s.features), number(s.cost, 0), number(s.n_forward, 0),
         number(s.n_backward, 0), number(s.model_seconds, 1), number(s.other_seconds), number(s.std_error_max, 3),
         number(s.completeness_gap, 3), Cell(s.status.replace("_", " ")))
        for s in ranked
    )  # fmt: skip
    return Table("costs", "Evaluations and seconds of the first run of each method.", head, rows)


def _notes(ranked: Sequence[Score]) -> Table:
    said = ((s.name, "; ".join(filter(None, (s.same_as and f"the same map as {s.same_as}", s.note)))) for s in ranked)
    rows = tuple((Cell(name), Cell(without_paths(note))) for name, note in said if note)
    return Table("notes", "What methods say of their first run.", (("method", ""), ("note", "")), rows)


def _config(result: CompareResult) -> dict[str, Any]:
    shown = {k: v for k, v in result.config.recorded().items() if v not in (None, {})}
    return shown | {"image (SHA-256)": result.image_sha256[:16], "batch size": result.scene.batch_size,
                    "threads": result.threads, "layer found": result.scene.layer or "none"}  # fmt: skip


def _finite(value: float | None) -> float:
    return value if value is not None and math.isfinite(value) else -math.inf
