"""The report of a disagreement study."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from pandas import DataFrame

from xai_ext._checks import InputError
from xai_ext.study import _sections as sections
from xai_ext.study._choice import choose
from xai_ext.study._records import Records, Settings
from xai_ext.study._safe_names import write_csv
from xai_ext.study.stats import RankAgreement, rank_agreement

_PACKAGES = ("xai-ext", "torch", "numpy", "scipy", "captum", "shap")


@dataclass(frozen=True, eq=False)
class DisagreementReport:
    """Answers about a data set; tables are DataFrames, empty where nothing was given to answer from.

    Attributes
    ----------
    setup : dict
        1. Methods, seeds, models, baselines, data sets, images, what was skipped, how maps were read, versions.
    matrix, areas, concordance : DataFrame
        2. Mean agreement of each pair of methods with its interval; over k as one number; Kendall's W.
    beyond_noise : DataFrame
        3. For each pair the noise floors of both methods, by how much agreement falls short of their mean (``excess``,
        with interval), whether that interval lies above 0 (``real``), and what maps that know nothing reach. The floor
        of a method with a single run is what the measure can reach: 1, but for ties that k cuts.
    changes_maps : DataFrame
        4. Disagreement of maps that differ in one factor only, and what of it seeds do not explain.
    changes_levels : DataFrame
        5. Shares of variance (omega squared) of agreement between methods: pair, model, baseline, data set.
    images, extremes : DataFrame
        6. What goes with an image's disagreement; the images that disagree most and least.
    measures, measure_taus : DataFrame
        7. How well each measure tells runs of one method from other methods, and the image from another; tau-b between
        measures.
    scores : DataFrame
        8. Rank correlation, over images, of agreement with scores.
    score_ranks : RankAgreement or None
        8. Whether scores rank the methods alike.
    best_sets, choice : DataFrame
        9. Methods that are not significantly worse than the best, and the recommendation.
    """

    setup: dict[str, Any]
    matrix: DataFrame
    areas: DataFrame
    concordance: DataFrame
    beyond_noise: DataFrame
    changes_maps: DataFrame
    changes_levels: DataFrame
    images: DataFrame
    extremes: DataFrame
    measures: DataFrame
    measure_taus: DataFrame
    scores: DataFrame
    score_ranks: RankAgreement | None
    best_sets: DataFrame
    choice: DataFrame

    def tables(self) -> dict[str, DataFrame]:
        """All tables by name."""
        found = {f.name: getattr(self, f.name) for f in fields(self)}
        named = {name: table for name, table in found.items() if isinstance(table, DataFrame)}
        if self.score_ranks is not None:
            named |= {"score_ranks_between": self.score_ranks.between, "score_ranks_within": self.score_ranks.within}
        return named

    def to_json(self) -> str:
        """Set-up and all tables as records; NaN is null."""
        content = {"setup": self.setup, **{n: _records(t) for n, t in self.tables().items()}}
        return json.dumps(content, ensure_ascii=False, indent=1, default=str)

    def to_csv(self, folder: str | Path) -> list[Path]:
        """One file per table; those that are empty are left out."""
        path = Path(folder)
        path.mkdir(parents=True, exist_ok=True)
        written = []
        for name, table in self.tables().items():
            if len(table):
                written.append(write_csv(table, path / f"{name}.csv"))
        return written

    def summary(self) -> str:
        """The answers in a few lines."""
        return "\n".join([*_said_of_noise(self), *_said_of_factors(self), *_said_of_choice(self)])


def report(records: Records, settings: Settings, rng: np.random.Generator) -> DisagreementReport:
    """From records to answers."""
    pairs, scores = records.table("pairs"), records.table("scores")
    if not len(pairs):
        raise InputError("there is nothing to report: update() has not seen two maps of one image yet")
    table = sections.matrix(pairs, settings)
    images, extremes = sections.which_images(pairs, records.table("images"), settings)
    measures, taus = sections.which_measure(pairs, settings)
    beyond = sections.beyond_noise(pairs, settings)
    best_sets, choice = choose(scores, _floors(pairs, settings), settings.primary, settings.alpha)
    known = scores[scores.metric != "n_evals"] if len(scores) else scores
    return DisagreementReport(
        setup=_setup(records, settings),
        matrix=table,
        areas=sections.areas(table, settings),
        concordance=_concordance(records),
        beyond_noise=beyond,
        changes_maps=sections.what_changes_maps(pairs, records.table("predictions"), settings),
        changes_levels=sections.what_changes_levels(pairs, settings, rng),
        images=images,
        extremes=extremes,
        measures=measures,
        measure_taus=taus,
        scores=sections.link_to_scores(pairs, scores, settings),
        score_ranks=rank_agreement(known) if len(known) else None,
        best_sets=best_sets,
        choice=choice,
    )


def _floors(pairs: DataFrame, settings: Settings) -> Mapping[str, float]:
    floor = sections.floors(pairs)
    whole = floor[floor.view == "pixels"]
    return {str(m): float(v) for m, v in whole.groupby("method")[settings.columns[0]].mean().items()}


def _concordance(records: Records) -> DataFrame:
    table = records.table("concordances")
    if not len(table):
        return table
    long = table.assign(value=table.w)
    by = [*sections.SETTING, "view"]
    return sections.summaries(long, by)


def _setup(records: Records, settings: Settings) -> dict[str, Any]:
    keys, skipped = sorted(records.keys), records.table("skipped")
    counts = skipped.groupby(["method", "reason"]).size() if len(skipped) else []
    return {
        "methods": sorted({k.method for k in keys}),
        "seeds": {m: sorted({k.seed for k in keys if k.method == m}) for m in sorted({k.method for k in keys})},
        "models": sorted({k.model for k in keys}),
        "baselines": sorted({k.baseline for k in keys}),
        "datasets": sorted({k.dataset for k in keys}),
        "n_images": len(records.images),
        "skipped": {f"{m}: {reason}": int(n) for (m, reason), n in dict(counts).items()},
        "measures": list(settings.columns),
        "primary": list(settings.primary),
        "alpha": settings.alpha,
        "reading": dict(settings.reading),
        "ties": "random in both maps, expectation",
        "versions": {name: _version(name) for name in _PACKAGES},
    }


def _said_of_noise(found: DisagreementReport) -> list[str]:
    first = found.setup["measures"][0]
    table = found.beyond_noise
    lines = [f"{found.setup['n_images']} images, {len(found.setup['methods'])} methods; agreement is {first}."]
    if len(table):
        own = table[(table.measure == first) & (table.view == "pixels")]
        real = int(own.real.sum())
        lines.append(
            f"{real} of {len(own)} pairs disagree beyond their seed noise (95 % interval above 0); mean agreement "
            f"{own.agreement.mean():.2f}, mean noise floor {((own.floor_a + own.floor_b) / 2).mean():.2f}."
        )
    return lines


def _said_of_factors(found: DisagreementReport) -> list[str]:
    first, lines = found.setup["measures"][0], []
    maps = found.changes_maps
    if len(maps):
        own = maps[(maps.measure == first) & (maps.view == "pixels")]
        parts = [
            f"{r.factor} {r.disagreement:.2f} (beyond seeds {r.beyond_seed:+.2f}, n {r.n})" for r in own.itertuples()
        ]
        lines.append("Maps differ (1 - agreement) with: " + ", ".join(parts) + ".")
    levels = found.changes_levels
    if len(levels):
        own = levels[(levels.measure == first) & (levels.view == "pixels")]
        parts = [f"{r.factor} {r.omega2:.2f}" for r in own.itertuples()]
        lines.append("Shares of variance of the agreement of methods: " + ", ".join(parts) + ".")
    return lines


def _said_of_choice(found: DisagreementReport) -> list[str]:
    lines = []
    for row in found.choice.itertuples():
        where = ", ".join(str(v) for v in (row.dataset, row.model, row.baseline) if v) or "all images"
        equals = f" (not shown worse: {row.recommended})" if row.recommended else f" (front: {row.front})"
        lines.append(f"{where}: {row.verdict}{equals}.")
    return lines


def _records(table: DataFrame) -> list[dict[str, Any]]:
    return [{str(k): _plain(v) for k, v in row.items()} for row in table.to_dict("records")]


def _plain(value: Any) -> Any:
    value = value.item() if isinstance(value, np.generic) else value
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"
