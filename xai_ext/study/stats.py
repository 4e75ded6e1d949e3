"""From values per image to statements about a data set: intervals and paired comparisons."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np

from xai_ext import metrics
from xai_ext._checks import InputError
from xai_ext._types import AnyArray
from xai_ext.study._inference import (
    aligned,
    clusters,
    holm,
    paired_t,
    rank_biserial,
    wilcoxon,
)
from xai_ext.study._summary import Summary, summarize

if TYPE_CHECKING:
    from pandas import DataFrame

__all__ = [
    "FAMILY", "Comparison", "RankAgreement", "Summary", "compare", "compare_all", "direction", "rank_agreement",
    "summarize",
]  # fmt: skip

FAMILY = ["dataset", "model", "baseline", "metric"]


@dataclass(frozen=True)
class Comparison:
    """Method a against method b on the images that both have.

    Attributes
    ----------
    n_images : int
    difference, se, low, high : float
        Mean of a - b, its standard error and 95 % interval, clustered by image.
    p : float
        Wilcoxon's signed-rank test on the means per image, two-sided, exact where there are no ties.
    p_t : float
        Paired t-test on the same.
    win_rate : float
        Share of images where a is better; ties count one half.
    rank_biserial : float
        -1..1; 1 when every difference favours a.
    """

    n_images: int
    difference: float
    se: float
    low: float
    high: float
    p: float
    p_t: float
    win_rate: float
    rank_biserial: float


def compare(a: AnyArray, b: AnyArray, image_ids: AnyArray, higher_is_better: bool = True) -> Comparison:
    """Paired comparison of two methods.

    Parameters
    ----------
    a, b : array (n,)
        Values of the same rows; rows where either is not finite are left out.
    image_ids : array (n,)
    higher_is_better : bool

    Returns
    -------
    Comparison
        Its tests are NaN for fewer than two images.
    """
    first, ids = aligned(a, image_ids)
    second, _ = aligned(b, image_ids)
    both = np.isfinite(first) & np.isfinite(second)
    d = first[both] - second[both]
    total = summarize(d, ids[both])
    sums, counts = clusters(d, ids[both])
    means = sums / counts
    better = means if higher_is_better else -means
    return Comparison(
        n_images=len(means),
        difference=total.mean,
        se=total.se,
        low=total.low,
        high=total.high,
        p=wilcoxon(means),
        p_t=paired_t(means),
        win_rate=float(((better > 0) + (better == 0) / 2).mean()) if len(means) else np.nan,
        rank_biserial=rank_biserial(better),
    )


def compare_all(table: "DataFrame", higher_is_better: Mapping[str, bool] | None = None) -> "DataFrame":
    """Every pair of methods in every family of dataset, model, baseline and metric.

    Parameters
    ----------
    table : DataFrame
        Columns dataset, model, baseline, method, image_id, metric, value; class_id too, where images have several rows.
        Seeds are averaged.
    higher_is_better : mapping, optional
        Metric -> bool, for metrics that are not of this package.

    Returns
    -------
    DataFrame
        One row per pair: the fields of `Comparison`, and ``p_holm``, corrected within its family.
    """
    import pandas as pd

    rows = []
    for family, part in _families(table, FAMILY):
        wide = _wide(part)
        better = direction(family["metric"], higher_is_better)
        images = wide.index.get_level_values("image_id").to_numpy()
        found = [
            {**family, "a": a, "b": b, **asdict(compare(wide[a].to_numpy(), wide[b].to_numpy(), images, better))}
            for a, b in combinations(wide.columns, 2)
        ]
        corrected = holm(np.array([f["p"] for f in found]))
        rows += [{**f, "p_holm": float(p)} for f, p in zip(found, corrected, strict=True)]
    return pd.DataFrame(rows)


@dataclass(frozen=True, eq=False)
class RankAgreement:
    """Do metrics agree on which method is best?

    Attributes
    ----------
    between : DataFrame
        One row per pair of metrics: mean Kendall's tau-b of the rankings of methods over images, with interval and
        number of images, and tau-b of the rankings by data-set means.
    within : DataFrame
        One row per metric: Kendall's W with images as raters, with the number of images and of methods.
    """

    between: "DataFrame"
    within: "DataFrame"


def rank_agreement(table: "DataFrame", higher_is_better: Mapping[str, bool] | None = None) -> RankAgreement:
    """Agreement of metrics on the ranking of methods.

    Parameters are those of `compare_all`; metrics are turned so that more is better.

    Returns
    -------
    RankAgreement
    """
    import pandas as pd

    between, within = [], []
    for family, part in _families(table, FAMILY[:-1]):
        wide = {str(name): _oriented(rows, str(name), higher_is_better) for name, rows in part.groupby("metric")}
        within += [{**family, "metric": name, **_consistency(w)} for name, w in wide.items()]
        between += [{**family, "a": a, "b": b, **_agreeing(wide[a], wide[b])} for a, b in combinations(wide, 2)]
    return RankAgreement(pd.DataFrame(between), pd.DataFrame(within))


def _families(table: "DataFrame", columns: list[str]) -> list[tuple[dict[str, Any], "DataFrame"]]:
    missing = {"method", "image_id", "metric", "value", *columns} - set(table.columns)
    if missing:
        raise InputError(f"the table lacks the columns {sorted(missing)}")
    return [(dict(zip(columns, key, strict=True)), part) for key, part in table.groupby(columns, sort=True)]


def _wide(part: "DataFrame") -> "DataFrame":
    """One row per image (and class), one column per method, seeds averaged."""
    rows = ["image_id", *[c for c in ("class_id",) if c in part.columns]]
    return part.pivot_table(index=rows, columns="method", values="value", aggfunc="mean", dropna=False)


def direction(name: str, known: Mapping[str, bool] | None = None) -> bool:
    """Is a higher value of this metric better? What stands behind an @ says how it was taken."""
    if known is not None and name in known:
        return known[name]
    found = getattr(metrics, name.partition("@")[0], None)
    if found is None or not hasattr(found, "higher_is_better"):
        raise InputError(f"is a higher {name!r} better? fix: higher_is_better={{{name!r}: True}}")
    return bool(found.higher_is_better)


def _oriented(part: "DataFrame", name: str, known: Mapping[str, bool] | None) -> "DataFrame":
    wide = _wide(part).groupby("image_id").mean()
    return wide if direction(name, known) else -wide


def _agreeing(a: "DataFrame", b: "DataFrame") -> dict[str, Any]:
    from scipy.stats import kendalltau

    methods = [m for m in a.columns if m in b.columns]
    images = a.index.intersection(b.index)
    taus = []
    for image in images:
        x, y = a.loc[image, methods].to_numpy(float), b.loc[image, methods].to_numpy(float)
        both = np.isfinite(x) & np.isfinite(y)
        varied = both.sum() > 1 and np.ptp(x[both]) > 0 and np.ptp(y[both]) > 0
        taus.append(float(kendalltau(x[both], y[both]).statistic) if varied else np.nan)
    found = summarize(np.array(taus), np.arange(len(taus)))
    means = a[methods].mean().to_numpy(), b[methods].mean().to_numpy()
    of_means = float(kendalltau(*means).statistic) if len(methods) > 1 else np.nan
    return {"tau": found.mean, "low": found.low, "high": found.high, "n_images": found.n, "tau_of_means": of_means}


def _consistency(wide: "DataFrame") -> dict[str, Any]:
    from xai_ext.metrics import kendall_w

    rows = wide.dropna().to_numpy(float)
    w = np.nan
    if len(rows) > 1 and rows.shape[1] > 1:
        w = float(kendall_w([row[None] for row in rows], "signed"))  # type: ignore[arg-type]
    return {"w": w, "n_images": len(rows), "n_methods": wide.shape[1]}
