"""Tables of a study as figures: curves, means with intervals, cost against quality, progress of one run."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from xai_ext._checks import InputError, check_choice
from xai_ext._plot_maps import axes
from xai_ext._plot_series import column, line_style, marker_style
from xai_ext._types import AnyArray, FloatArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from pandas import DataFrame

_SETTING = ("dataset", "model", "baseline")
_HOLLOW = marker_style(1) | {"marker": "D", "mfc": "white"}
_GRID = np.linspace(0, 1, 101)


def curves(results: Mapping[str, Any], kind: str = "deletion", *, ax: "Axes | None" = None) -> "Axes":
    """Score against the share of positions removed or inserted, one line per method.

    Parameters
    ----------
    results : mapping
        Method -> `CurveResult`, `DeletionInsertion`, or (fractions, scores), each (P,) or (B, P); several examples are
        averaged at equal shares.
    kind : {"deletion", "insertion"}
    ax : matplotlib Axes, optional
    """
    check_choice("kind", kind, ("deletion", "insertion"))
    ax = axes(ax)
    for i, (name, result) in enumerate(results.items()):
        fractions, scores = _curve(result, kind)
        ax.plot(fractions, scores, label=name, linewidth=1.5, **line_style(i))
    ax.set_xlabel(f"share of positions {'removed' if kind == 'deletion' else 'inserted'}")
    ax.set_ylabel("score")
    ax.set_title(f"{kind}: {'lower' if kind == 'deletion' else 'higher'} is better", fontsize=10)
    return _legend(ax)


def _curve(result: Any, kind: str) -> tuple[FloatArray, FloatArray]:
    result = getattr(result, f"{kind}_curve", result)
    pair = result if isinstance(result, tuple) else (result.fractions, result.curve)
    fractions, scores = (np.atleast_2d(np.asarray(a, dtype=np.float64)) for a in pair)
    if fractions.shape != scores.shape or fractions.ndim > 2:
        raise InputError(f"a curve needs a score at each share, got shares {fractions.shape} and scores {scores.shape}")
    if len(fractions) == 1:
        return fractions[0], scores[0]
    return _GRID, np.mean([np.interp(_GRID, x, y) for x, y in zip(fractions, scores, strict=True)], axis=0)


def metric_intervals(table: "DataFrame", metric: str, *, ax: "Axes | None" = None) -> "Axes":
    """Mean of a metric over images with its 95 % interval, clustered by image, one line per method.

    Parameters
    ----------
    table : DataFrame
        Columns method, image_id, metric, value; settings (dataset, model, baseline) are drawn beside each other.
    metric : str
    ax : matplotlib Axes, optional
    """
    rows = _rows(table, metric)
    names = _by_mean(rows)
    ax = axes(ax)
    groups = _groups(rows)
    for i, (label, part) in enumerate(groups.items()):
        for y, name in enumerate(names):
            mean, low, high = _interval(part[part.method == name])
            where = y + 0.6 * ((i + 0.5) / len(groups) - 0.5)
            _bar(ax, (mean, low, high), where, label if y == 0 else "_", marker_style(i))
    ax.set_yticks(range(len(names)), names)
    ax.set_xlabel(f"{metric}, mean over images and 95 % interval")
    ax.grid(axis="x", alpha=0.3)
    return _legend(ax) if len(groups) > 1 else ax


def cost_vs_quality(table: "DataFrame", metric: str, *, ax: "Axes | None" = None) -> "Axes":
    """Mean of a metric, with its interval, against the mean number of evaluations of each method.

    Parameters are those of `metric_intervals`; the table also needs the column n_evals.
    """
    rows = _rows(table, metric)
    cost = rows.assign(n_evals=column(rows, "n_evals").astype(float)).groupby("method")["n_evals"].mean()
    ax = axes(ax)
    for i, name in enumerate(_by_mean(rows)[::-1]):
        _bar(ax, _interval(rows[rows.method == name]), float(cost[name]), name, marker_style(i), upright=True)
    ax.set_xscale("symlog", linthresh=1)
    ax.set_xlim(left=-0.2)
    ax.xaxis.set_major_formatter("{x:,.0f}")
    ax.set_xlabel("evaluations per map (forward rows and twice the backward rows)")
    ax.set_ylabel(f"{metric}, mean and 95 % interval")
    ax.grid(alpha=0.3)
    return _legend(ax)


def iterations(table: "DataFrame", metric: str, *, ax: "Axes | None" = None) -> "Axes":
    """A metric against the iteration of a method that goes on refining its map.

    Parameters
    ----------
    table : DataFrame
        Columns iteration, image_id, metric, value, and method where there are several. The band is the 95 % interval
        over images.
    metric : str
    ax : matplotlib Axes, optional
    """
    rows = _rows(table if "method" in table else table.assign(method=metric), metric)
    column(rows, "iteration")
    ax = axes(ax)
    for i, (name, part) in enumerate(rows.groupby("method", sort=True)):
        steps = np.sort(part.iteration.unique())
        found = np.array([_interval(part[part.iteration == k]) for k in steps])
        _band(ax, steps, found, str(name), line_style(i))
    ax.set_xlabel("iteration")
    ax.set_ylabel(metric)
    return _legend(ax)


def convergence(
    n_evals: AnyArray, values: FloatArray, std_error: FloatArray | None = None, *, ax: "Axes | None" = None
) -> "Axes":
    """Values after more and more evaluations, with bands of two standard errors.

    Parameters
    ----------
    n_evals : array (k,)
    values : array (k,) or (k, players)
    std_error : array like `values`, optional
    ax : matplotlib Axes, optional
    """
    steps, given = np.asarray(n_evals), np.asarray(values, dtype=np.float64)
    errors = np.zeros_like(given) if std_error is None else np.asarray(std_error, dtype=np.float64)
    if steps.ndim != 1 or given.shape[:1] != steps.shape or errors.shape != given.shape:
        raise InputError(
            f"values and std_error must be (k,) or (k, players) for the k = {len(steps)} entries of n_evals, got "
            f"{given.shape} and {errors.shape}"
        )
    lines, half = given.reshape(len(steps), -1), 2 * errors.reshape(len(steps), -1)
    ax = axes(ax)
    for i, (line, band) in enumerate(zip(lines.T, half.T, strict=True)):
        with np.errstate(invalid="ignore"):  # infinite values have no band
            ends = np.stack([line, line - band, line + band], 1)
        _band(ax, steps, ends, f"player {i}", line_style(i))
    ax.set_xlabel("evaluations")
    ax.set_ylabel("value" if std_error is None else "value ± 2 standard errors")
    return _legend(ax) if 1 < lines.shape[1] <= 8 else ax


def what_changes(report: Any, *, ax: "Axes | None" = None) -> "Axes":
    """What changes an explanation most: 1 - agreement of maps that differ in one factor only.

    Parameters
    ----------
    report : DisagreementReport
        Its first measure, over pixels; the hollow diamond is what seeds do not explain.
    ax : matplotlib Axes, optional
    """
    table = report.changes_maps
    ax = axes(ax)
    if len(table):
        own = table[(table.measure == report.setup["measures"][0]) & (table["view"] == "pixels")]
        own = own.sort_values("disagreement", kind="stable")
        for y, row in enumerate(own.itertuples()):
            _bar(ax, (row.disagreement, row.low, row.high), y, "_" if y else "in all", marker_style(0))
            if row.factor != "seed":
                _bar(ax, (row.beyond_seed, row.beyond_low, row.beyond_high), y - 0.22, "beyond seeds", _HOLLOW)
        ax.set_yticks(range(len(own)), list(own.factor))
        ax.axvline(0, color="0.6", linewidth=0.8)
    ax.set_xlabel(f"1 - {report.setup['measures'][0]}, mean over images and 95 % interval")
    return _legend(ax) if len(table) else ax


def _rows(table: "DataFrame", metric: str) -> "DataFrame":
    for name in ("method", "image_id", "value"):
        column(table, name)
    rows = table[column(table, "metric") == metric]
    if not len(rows):
        raise InputError(f"the table has no rows of {metric!r}; it has {sorted(map(str, set(table['metric'])))}")
    return rows


def _groups(rows: "DataFrame") -> dict[str, "DataFrame"]:
    """The rows of each setting, by what is not the same in all."""
    differing = [c for c in _SETTING if c in rows and rows[c].nunique() > 1]
    if not differing:
        return {"": rows}
    return {", ".join(map(str, key)): part for key, part in rows.groupby(differing, sort=True)}


def _by_mean(rows: "DataFrame") -> list[str]:
    """Methods, the lowest mean first."""
    means = rows.groupby("method")["value"].mean().sort_values(kind="stable", na_position="first")
    return [str(name) for name in means.index]


def _interval(rows: "DataFrame") -> tuple[float, float, float]:
    from xai_ext.study._summary import summarize

    found = summarize(rows["value"].to_numpy(), rows["image_id"].astype(str).to_numpy())
    return found.mean, found.low, found.high


def _bar(
    ax: "Axes",
    found: tuple[float, float, float],
    where: float,
    label: str,
    style: dict[str, Any],
    *,
    upright: bool = False,
) -> None:
    """A point and its interval; one image has no interval."""
    mean, low, high = found
    if not np.isfinite(mean):
        return
    half = np.nan_to_num([[mean - low], [high - mean]])
    spread: dict[str, Any] = {"yerr": half} if upright else {"xerr": half}
    x, y = (where, mean) if upright else (mean, where)
    ax.errorbar([x], [y], **spread, label=label, linestyle="none", capsize=2.5, markersize=5, linewidth=1.2, **style)


def _band(ax: "Axes", steps: AnyArray, found: FloatArray, label: str, style: dict[str, Any]) -> None:
    ax.plot(steps, found[:, 0], label=label, linewidth=1.5, **style)
    if np.isfinite(found[:, 1:]).any():
        ax.fill_between(steps, found[:, 1], found[:, 2], color=style["color"], alpha=0.15, linewidth=0)


def _legend(ax: "Axes") -> "Axes":
    """Beside the axes, where it hides nothing; in two columns when long."""
    found = dict(zip(*ax.get_legend_handles_labels()[::-1], strict=True))
    handles, labels = list(found.values()), list(found)
    if handles:
        ax.legend(
            handles,
            labels,
            loc="upper left",
            bbox_to_anchor=(1.01, 1.0),
            fontsize=8,
            frameon=False,
            ncols=1 + len(labels) // 24,
        )
    return ax
