"""Scores of methods over a data set: means with intervals, paired comparisons, and their figures."""

from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from pandas import DataFrame

from xai_ext.study._report import DisagreementReport
from xai_ext.study.report._pictures import Picture, bare, chart
from xai_ext.study.report._pictures import drawn as drawn_name
from xai_ext.study.report._tables import Table, of_frame
from xai_ext.study.report._words import METRICS, head_of
from xai_ext.study.stats import FAMILY, compare_all, summarize

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SETTING = ["dataset", "model", "baseline"]
_PRIMARY = "srg"
_SUMMARY = {"mean": "mean", "low": "from", "high": "to", "sd": "sd", "n_images": "images", "skipped": "undefined"}


def score_tables(table: DataFrame) -> list[Table]:
    """Mean, interval and number of images of each metric and method, seeds and images clustered."""
    found: list[Table] = []
    for metric, part in _by_metric(table):
        rows = [
            {**dict(zip(SETTING, setting, strict=True)), "method": method, **_summary(own)}
            for (*setting, method), own in part.groupby([*SETTING, "method"], sort=True)
        ]  # fmt: skip
        frame = DataFrame(rows).sort_values([*SETTING, "mean"], ascending=[True] * 3 + [not _rising(metric)])
        heads = {"method": "method"} | {c: c for c in _varied(table)} | _SUMMARY
        caption = f"{head_of(metric)}: mean over images and 95 % interval."
        found.append(of_frame(f"score-{len(found)}", caption, frame, heads))
    return found


def _by_metric(table: DataFrame) -> list[tuple[str, DataFrame]]:
    """The best known metrics first."""
    order = {name: i for i, name in enumerate(METRICS)}
    names = sorted(table.metric.unique(), key=lambda m: (order.get(m.partition("@")[0], len(order)), m))
    return [(str(name), table[table.metric == name]) for name in names]


def _summary(rows: DataFrame) -> dict[str, Any]:
    total = summarize(rows["value"].to_numpy(float), rows["image_id"].astype(str).to_numpy())
    kept = {k: v for k, v in asdict(total).items() if k in ("mean", "low", "high", "sd", "n_images")}
    return kept | {"skipped": len(rows) - total.n}


def _rising(metric: str) -> bool:
    return METRICS.get(metric.partition("@")[0], ("", None, ""))[1] is not False


def _varied(table: DataFrame) -> list[str]:
    return [c for c in SETTING if table[c].nunique() > 1]


def charts(table: DataFrame, found: DisagreementReport | None) -> list[Picture]:
    """Intervals, cost against quality, and what changes an explanation."""
    from xai_ext import plots

    metric = _PRIMARY if (table.metric == _PRIMARY).any() else str(table.metric.iloc[0])
    n, best, shown = table.method.nunique(), _highest(table, metric), _drawable(table)
    of_means = f"Mean {metric} of {n} methods with 95 % intervals; {best} is highest."
    of_costs = f"Mean {metric} of {n} methods against their evaluations of the model."
    means = _chart(
        f"{head_of(metric)} of each method", of_means, lambda ax: plots.metric_intervals(shown, metric, ax=ax),
        0.32 * n + 1.3,
    )  # fmt: skip
    costs = _chart(
        f"Cost against {head_of(metric)}", of_costs, lambda ax: plots.cost_vs_quality(shown, metric, ax=ax), 4.6
    )
    drawn = [means, costs]
    if found is not None and len(found.changes_maps):
        alt = "How far maps differ that differ in the method, the model, the baseline or the seed alone."
        drawn.append(_chart("What changes an explanation most", alt, lambda ax: plots.what_changes(found, ax=ax), 3.0))
    return drawn


def _chart(title: str, alt: str, draw: "Callable[[Axes], Axes]", height: float) -> Picture:
    figure = bare(7.6, height)
    draw(figure.subplots())
    return chart(figure, title, f"{alt} The numbers are in the tables below.", least=36)


def _highest(table: DataFrame, metric: str) -> str:
    return str(table[table.metric == metric].groupby("method")["value"].mean().idxmax())


def _drawable(table: DataFrame) -> DataFrame:
    """Names as figures write them."""
    return table.assign(**{c: table[c].astype(str).map(drawn_name) for c in ("method", *SETTING)})


def compared(table: DataFrame) -> list[Table]:
    known = {m: _rising(m) for m in table.metric.unique()}
    frame = compare_all(table, known)
    heads = {"a": "method a", "b": "method b"} | {c: c for c in _varied(table)} | {
        "difference": "a - b", "low": "from", "high": "to", "win_rate": "a is better on", "rank_biserial":
        "rank-biserial", "p": "p (Wilcoxon)", "p_holm": "p (Holm)", "n_images": "images"}  # fmt: skip
    found: list[Table] = []
    for metric, part in _by_metric(frame) if len(frame) else ():
        part = part.sort_values([*FAMILY[:-1], "p_holm"], kind="stable")
        caption = f"{head_of(metric)}: every pair of methods on the images that both have, the clearest first."
        found.append(of_frame(f"pairs-{len(found)}", caption, part, heads))
    return found
