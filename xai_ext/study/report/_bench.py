"""The page of a data set."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
from pandas import DataFrame

from xai_ext._checks import InputError
from xai_ext._types import AnyArray, FloatArray
from xai_ext.study._report import DisagreementReport
from xai_ext.study.report._answers import answers, first_measure
from xai_ext.study.report._bench_scores import SETTING, charts, compared, score_tables
from xai_ext.study.report._disagreement_tables import disagreement_tables, listed
from xai_ext.study.report._page import version
from xai_ext.study.report._pictures import heatmap, overlay, photo
from xai_ext.study.report._privacy import file_only, shareable, without_paths
from xai_ext.study.report._tables import Table, of_frame, pairs
from xai_ext.study.report._words import METRICS, head_of, map_text

_SECTIONS = (
    ("answers", "Answers"), ("scores", "Scores"), ("pairs", "Which differ"), ("agreement", "Agreement"),
    ("details", "Details"), ("gallery", "Gallery"), ("failures", "Failures"), ("reading", "How to read this"),
    ("settings", "Settings"),
)  # fmt: skip
_MOST_IMAGES = 24
_MOST_MAPS = 4
_LIMITS = (
    "Intervals are over images of these data sets: other data can order the methods otherwise.",
    "Deletion and insertion show models images they were not trained on; another baseline is another question.",
    "Tests are corrected within a family of one data set, model, baseline and metric, not over families.",
    "Agreement of methods does not make any of them right.",
)
_OF_FAILURES = {
    "image_id": "image", "dataset": "data set", "model": "model", "baseline": "baseline", "method": "method",
    "repeat": "repeat", "where": "what became of it", "note": "why",
}  # fmt: skip
_COUNTERS = ("cost", "metric_rows", "std_error_max", "f_x", "f_baseline")


class Run(Protocol):
    """What a report needs of a run.

    Attributes
    ----------
    manifest : mapping
        ``config``, ``config_hash``, ``versions``, ``created``, whatever the run wrote of itself.
    failures : sequence of mappings
        One per unit that failed or was quarantined: its factors, and why.
    """

    @property
    def manifest(self) -> Mapping[str, Any]: ...
    @property
    def failures(self) -> Sequence[Mapping[str, Any]]: ...
    def table(self) -> DataFrame:
        """Long: dataset, model, baseline, method, seed, image_id, metric, value, n_evals, seconds."""

    def disagreement(self) -> DisagreementReport:
        """Of the run's maps."""


@runtime_checkable
class RunWithMaps(Protocol):
    """A run that kept its maps."""

    def maps(self, image_id: str) -> tuple[AnyArray, Mapping[str, FloatArray]] | None:
        """The pixels (H, W, 3) of an image and a map (H, W) per method; None where they were not kept."""


def context(run: Run) -> dict[str, Any]:
    """Everything the template shows."""
    whole = run.table()
    table = metric_rows(whole)
    if not len(table):
        raise InputError("there is nothing to report: no image is finished by all methods; fix: continue the run")
    found, refused = _disagreement(run)
    names = [m for m in METRICS if (table.metric.str.partition("@")[0] == m).any()]
    methods, images = table.method.nunique(), _n_images(table)
    title = f"{methods} methods on {images} images"
    gallery = _gallery(run, found)
    sections = [s for s in _SECTIONS if s[0] != "gallery" or gallery]
    return {
        "title": title, "sections": sections, "lead": _lead(table, whole, run.manifest),
        "numbers": _numbers(table, run),
        "answers": answers(found) if found else [], "refused": refused,
        "charts": charts(table, found), "scores": score_tables(table), "compared": compared(table),
        **_matrices(found), "details": disagreement_tables(found) if found else [],
        "gallery": gallery, "failures": _failures(run),
        "metrics": [(head_of(m), METRICS[m][2]) for m in names], "limits": _LIMITS,
        "settings": pairs("settings", "What decided the numbers.", _settings(run.manifest)),
        "versions": pairs("versions", "Versions.", _versions(run.manifest)), "version": version("xai-ext"),
    }  # fmt: skip


def metric_rows(table: DataFrame) -> DataFrame:
    """The rows that are metrics of maps, of images that every method has finished."""
    rows = table[table["kind"] == "unit"] if "kind" in table else table
    rows = rows[~rows.metric.isin(_COUNTERS)]
    own = rows[["dataset", "image_id", "model", "baseline", "method"]].drop_duplicates()
    counts = own.groupby(["dataset", "image_id"]).size()
    complete = counts[counts == counts.max()].index if len(counts) else counts.index
    kept = rows.set_index(["dataset", "image_id"]).index.isin(complete)
    return rows[kept].reset_index(drop=True)


def _disagreement(run: Run) -> tuple[DisagreementReport | None, str]:
    try:
        return run.disagreement(), ""
    except InputError as reason:
        return None, without_paths(str(reason))


def _lead(table: DataFrame, whole: DataFrame, manifest: Mapping[str, Any]) -> str:
    explained = f" Explained: {manifest['explained']}." if "explained" in manifest else ""
    settings, (done, seen) = len(table[SETTING].drop_duplicates()), map(_n_images, (table, whole))
    return (
        f"Every number is over the {done if done == seen else f'{done} of {seen}'} images that all "
        f"{table.method.nunique()} methods finished; intervals are 95 %, over images. "
        f"{'One setting' if settings == 1 else f'{settings} settings'} of data set, model and baseline.{explained}"
    )


def _n_images(table: DataFrame) -> int:
    return len(table[["dataset", "image_id"]].drop_duplicates())


def _numbers(table: DataFrame, run: Run) -> list[tuple[str, str]]:
    columns = {"images": ["dataset", "image_id"], "data sets": ["dataset"], "models": ["model"],
               "baselines": ["baseline"], "methods": ["method"], "seeds": ["seed"]}  # fmt: skip
    counted = [(name, f"{len(table[by].drop_duplicates()):,}") for name, by in columns.items()]
    return [*counted, ("failed units", f"{len(run.failures):,}")]


def _matrices(found: DisagreementReport | None) -> dict[str, Any]:
    """A heat map for each setting, from the table of pairs."""
    if found is None:
        return {"heatmaps": []}
    own, drawn = first_measure(found, found.beyond_noise), []
    for setting, part in own.groupby(SETTING, sort=True) if len(own) else ():
        names = sorted({*part.a, *part.b})
        matrix = DataFrame(np.eye(len(names)), index=names, columns=names)
        floor: dict[str, float] = {}
        for row in part.itertuples():
            matrix.loc[row.a, row.b] = matrix.loc[row.b, row.a] = row.agreement
            floor |= {row.a: row.floor_a, row.b: row.floor_b}
        words = ", ".join(str(s) for s in setting if s) or "all images"
        alt = f"Matrix of the mean agreement of {len(names)} methods on {words}; the numbers are in the table of pairs."
        drawn.append(heatmap(matrix, np.array([floor[n] for n in names]), alt, title=words))
    return {"heatmaps": drawn}


def _gallery(run: Run, found: DisagreementReport | None) -> list[dict[str, Any]]:
    """The images that disagree most and least, where maps were kept."""
    if found is None or not isinstance(run, RunWithMaps) or not len(found.extremes):
        return []
    shown: list[dict[str, Any]] = []
    rows = found.extremes.drop_duplicates(["dataset", "image_id"]).head(_MOST_IMAGES)
    for row in rows.sort_values("disagreement", ascending=False, kind="stable").itertuples():
        kept = run.maps(row.image_id)
        if kept is not None:
            name, (pixels, maps) = file_only(str(row.image_id)), kept
            pictures = [photo(pixels, name, f"The image {name} as the model sees it, before any map is laid over it.")]
            for method, values in list(maps.items())[:_MOST_MAPS]:
                alt = map_text(method, name, values, None, None)
                pictures.append(overlay(pixels, values, title=method, alt=alt))
            shown.append({"name": name, "disagreement": row.disagreement, "pictures": pictures})
    return shown


def _failures(run: Run) -> Table | None:
    if not run.failures:
        return None
    frame = DataFrame([{k: f.get(k) for k in _OF_FAILURES} for f in run.failures])
    frame = frame.sort_values(list(_OF_FAILURES)[:-2], kind="stable")
    caption = "Units that failed or were set aside; the rest of the run went on."
    return of_frame("failures", caption, frame, _OF_FAILURES, clean=without_paths)


def _settings(manifest: Mapping[str, Any]) -> dict[str, str]:
    config = {k: listed(v) for k, v in dict(manifest.get("config", {})).items() if v is not None}
    kept = {k: str(manifest[k]) for k in ("explained", "config_hash", "created") if k in manifest}
    first = _numerics(manifest)
    kept |= {k: str(first[k]) for k in ("device", "threads") if k in first}
    return shareable({**config, **kept})


def _versions(manifest: Mapping[str, Any]) -> dict[str, str]:
    return shareable(dict(manifest.get("versions") or _numerics(manifest).get("versions", {})))


def _numerics(manifest: Mapping[str, Any]) -> Mapping[str, Any]:
    """Of the first start; a run that was continued with other versions lists more."""
    return dict((manifest.get("numerics") or [{}])[0])
