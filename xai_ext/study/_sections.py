"""The sections of a disagreement report, each a table made of the records of images."""

from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from pandas import DataFrame

from xai_ext._types import AnyArray, FloatArray
from xai_ext.metrics import chance
from xai_ext.study._effects import as_rows, effects
from xai_ext.study._inference import holm, wilcoxon
from xai_ext.study._records import Settings
from xai_ext.study.stats import summarize

SETTING = ["dataset", "model", "baseline"]
_REFERENCES = ("random", "rolled", "other_image")
_FACTORS = ("method", "model", "baseline", "seed")
_WITH_CHANCE = (
    "feature_agreement", "rank_agreement", "topq_iou", "pairwise_rank_agreement", "rank_correlation", "spearman",
    "pearson", "kendall",
)  # fmt: skip
_MOST = 10


def of_methods(pairs: DataFrame) -> DataFrame:
    """Agreement of pairs of methods, seeds averaged."""
    rows = pairs[(pairs.relation == "method") & ~pairs.same]
    return _averaged(rows, [*SETTING, "view", "a", "b", "image_id"])


def matrix(pairs: DataFrame, settings: Settings) -> DataFrame:
    """2: mean agreement of each pair of methods, with interval; per measure and setting."""
    long = _long(of_methods(pairs), settings.columns)
    return summaries(long, [*SETTING, "view", "measure", "a", "b"])


def areas(table: DataFrame, settings: Settings) -> DataFrame:
    """2: agreement of the k highest as one number, the mean over k by trapezoids."""
    split = table.measure.str.split("@", expand=True)
    if split.shape[1] < 2 or len(settings.ks) < 2:
        return DataFrame()
    top = table.assign(measure=split[0], k=split[1].astype(float))[split[1].notna()]
    rows = []
    for key, part in top.groupby([*SETTING, "view", "measure", "a", "b"]):
        part = part.sort_values("k")
        span = part.k.iloc[-1] - part.k.iloc[0]
        if len(part) > 1:
            rows.append([*key, float(np.trapezoid(part["mean"], part.k) / span)])
    return DataFrame(rows, columns=[*SETTING, "view", "measure", "a", "b", "area"])


def floors(pairs: DataFrame) -> DataFrame:
    """Agreement of runs of one method that differ by the seed, one row per image."""
    rows = pairs[pairs.relation == "seed"]
    return _averaged(rows.assign(method=rows.a), [*SETTING, "view", "method", "image_id"])


def beyond_noise(pairs: DataFrame, settings: Settings) -> DataFrame:
    """3: how far agreement of two methods falls short of the mean of their noise floors."""
    between, floor = of_methods(pairs), floors(pairs)
    references = _references(pairs, settings)
    rows = []
    for key, part in between.groupby([*SETTING, "view", "a", "b"]):
        setting = dict(zip([*SETTING, "view", "a", "b"], key, strict=True))
        own = [_floor_of(floor, setting, setting[side]) for side in "ab"]
        joined = part.set_index("image_id")
        images = joined.index.intersection(own[0].index).intersection(own[1].index)
        for column in settings.columns:
            agreement, a, b = (t.loc[images, column].to_numpy() for t in (joined, *own))
            level = _chance(column, float(part.n_features.mean()))
            rows.append({**setting, "measure": column, **_excess(agreement, a, b, column), "chance": level,
                         **references.get((setting["a"], setting["b"], column), {})})  # fmt: skip
    if not rows:
        return DataFrame()
    table = DataFrame(rows)
    table["p_holm"] = table.groupby([*SETTING, "view", "measure"])["p"].transform(lambda p: holm(p.to_numpy()))
    table["real"] = table.low > 0
    return table


def _excess(agreement: FloatArray, a: FloatArray, b: FloatArray, measure: str) -> dict[str, Any]:
    excess = (a + b) / 2 - agreement
    found = summarize(excess, np.arange(len(excess)))
    corrected = np.nan
    if measure in ("pearson", "spearman"):
        reliability = float(np.nanmean(a) * np.nanmean(b)) if len(a) else np.nan
        corrected = float(np.nanmean(agreement) / np.sqrt(reliability)) if reliability > 0 else np.nan
    return {
        "agreement": _mean(agreement), "floor_a": _mean(a), "floor_b": _mean(b), "excess": found.mean,
        "low": found.low, "high": found.high, "n": found.n, "p": _signed_rank(excess), "corrected": corrected,
    }  # fmt: skip


def _chance(measure: str, n: float) -> float:
    """Of a random map with n features; NaN where there is no closed form."""
    name, _, k = measure.partition("@")
    if name not in _WITH_CHANCE:
        return np.nan
    count = 0 if not k else int(k) if k.isdigit() else max(1, int(float(k) * n + 0.5))
    return float(chance(name, n=int(n), k=count))


def _references(pairs: DataFrame, settings: Settings) -> dict[tuple[str, str, str], dict[str, float]]:
    """For each pair of methods the mean agreement of its two maps with maps that know nothing."""
    known = pairs[pairs.relation.isin(_REFERENCES)]
    means = known.groupby(["relation", "a"])[list(settings.columns)].mean() if len(known) else None
    found: dict[tuple[str, str, str], dict[str, float]] = {}
    if means is None:
        return found
    methods = sorted(set(known.a))
    for a, b in combinations(methods, 2):
        for column in settings.columns:
            found[a, b, column] = {
                kind: _mean(np.array([means[column].get((kind, m), np.nan) for m in (a, b)])) for kind in _REFERENCES
            }
    return found


def what_changes_maps(pairs: DataFrame, predictions: DataFrame, settings: Settings) -> DataFrame:
    """4: mean of 1 - agreement over maps that differ in one factor only, and what of it is not seed noise."""
    same_class = _images_of_one_class(predictions)
    rows = []
    noise = _disagreement(pairs[pairs.relation == "seed"], settings)
    for factor in _FACTORS:
        part = pairs[pairs.relation == factor]
        if factor == "model" and same_class is not None:
            part = part[[(d, i) in same_class for d, i in zip(part.dataset, part.image_id, strict=True)]]
        if not len(part):
            continue
        own = _disagreement(part, settings)
        for view in own.index.get_level_values("view").unique():
            for column in settings.columns:
                values = own.xs(view, level="view")[column]
                beyond = (values - noise.xs(view, level="view")[column].reindex(values.index)).to_numpy()
                level, excess = (summarize(v, np.arange(len(v))) for v in (values.to_numpy(), beyond))
                rows.append({
                    "factor": factor, "view": view, "measure": column, "disagreement": level.mean, "low": level.low,
                    "high": level.high, "beyond_seed": excess.mean, "beyond_low": excess.low,
                    "beyond_high": excess.high, "n": level.n,
                })  # fmt: skip
    return DataFrame(rows)


def _disagreement(part: DataFrame, settings: Settings) -> DataFrame:
    return 1 - part.groupby(["dataset", "image_id", "view"])[list(settings.columns)].mean()


def _images_of_one_class(predictions: DataFrame) -> set[tuple[Any, Any]] | None:
    if not len(predictions) or predictions.model.nunique() < 2:
        return None
    counts = predictions.groupby(["dataset", "image_id"])["prediction"].nunique()
    return set(counts[counts == 1].index)


def what_changes_levels(pairs: DataFrame, settings: Settings, rng: np.random.Generator) -> DataFrame:
    """5: shares of variance of the agreement of pairs of methods."""
    between = of_methods(pairs)
    rows = []
    for view in between.view.unique():
        for column in settings.columns:
            part = between[between.view == view].assign(pair=lambda t: t.a + " - " + t.b)
            cells = part.pivot_table(
                index=["dataset", "image_id"], columns=["pair", "model", "baseline"], values=column
            )
            complete = cells.dropna()
            levels = [cells.columns.get_level_values(i).unique() for i in range(3)]
            if len(complete) < 3 or cells.shape[1] != np.prod([len(x) for x in levels]):
                continue
            ordered = complete[pd.MultiIndex.from_product(levels)].to_numpy()
            response = ordered.reshape(len(complete), *(len(x) for x in levels))
            found = effects(
                response, ("pair", "model", "baseline"), complete.index.get_level_values("dataset").to_numpy(),
                n_permutations=settings.n_permutations, rng=rng,
            )  # fmt: skip
            rows += as_rows(found, view=view, measure=column, n_images=len(complete),
                            n_dropped=len(cells) - len(complete))  # fmt: skip
    return DataFrame(rows)


def which_images(pairs: DataFrame, images: DataFrame, settings: Settings) -> tuple[DataFrame, DataFrame]:
    """6: rank correlation of an image's disagreement with what is known about it; the extreme images."""
    own = of_methods(pairs)
    level = 1 - own[own.view == "pixels"].groupby(["dataset", "image_id"])[settings.columns[0]].mean()
    about = images.set_index(["dataset", "image_id"]).reindex(level.index)
    rows = [{"covariate": name, **_rank_correlation(level.to_numpy(), about[name].to_numpy(float))} for name in about]
    table = DataFrame(rows)
    if len(table):
        table["p_holm"] = holm(table["p"].to_numpy())
    ordered = level.dropna().sort_values(kind="stable")
    extremes = {"most": ordered[::-1][:_MOST], "least": ordered[:_MOST]}
    found = [
        {"which": which, "dataset": dataset, "image_id": image, "disagreement": value}
        for which, part in extremes.items() for (dataset, image), value in part.items()
    ]  # fmt: skip
    return table, DataFrame(found)


def which_measure(pairs: DataFrame, settings: Settings) -> tuple[DataFrame, DataFrame]:
    """7: how well each measure tells runs of one method from methods, and an image from another."""
    whole = pairs[pairs.view == "pixels"]
    runs = whole[(whole.relation == "seed") & ~whole.same]
    methods, others = whole[whole.relation == "method"], whole[whole.relation == "other_image"]
    separated = DataFrame([
        {"measure": c, "seed_from_method": _auroc(runs[c], methods[c]),
         "same_from_other_image": _auroc(runs[c], others[c])}
        for c in settings.columns
    ])  # fmt: skip
    from scipy.stats import kendalltau

    rows = []
    for a, b in combinations(settings.columns, 2):
        both = methods[[a, b]].dropna().to_numpy()
        tau = float(kendalltau(*both.T).statistic) if len(both) > 1 else np.nan
        rows.append({"a": a, "b": b, "tau": tau, "n": len(both)})
    return separated, DataFrame(rows)


def link_to_scores(pairs: DataFrame, scores: DataFrame, settings: Settings) -> DataFrame:
    """8: over images, rank correlation of agreement with the mean score of the methods."""
    if not len(scores):
        return DataFrame()
    own = of_methods(pairs)
    level = own[own.view == "pixels"].groupby(["dataset", "image_id"])[settings.columns[0]].mean()
    means = scores.groupby(["metric", "dataset", "image_id"])["value"].mean()
    rows = [
        {"metric": name, **_rank_correlation(level.to_numpy(), means[name].reindex(level.index).to_numpy())}
        for name in means.index.get_level_values(0).unique() if name != "n_evals"
    ]  # fmt: skip
    table = DataFrame(rows)
    if len(table):
        table["p_holm"] = holm(table["p"].to_numpy())
    return table


def _rank_correlation(x: FloatArray, y: FloatArray) -> dict[str, float]:
    """Spearman's, with Fisher's interval widened for ranks (Bonett and Wright 2000)."""
    from scipy.stats import norm, spearmanr

    both = np.isfinite(x) & np.isfinite(y)
    x, y, n = x[both], y[both], int(both.sum())
    if n < 4 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return {"rho": np.nan, "low": np.nan, "high": np.nan, "p": np.nan, "n": n}
    found = spearmanr(x, y)
    rho = float(np.clip(found.statistic, -1 + 1e-12, 1 - 1e-12))
    half = float(norm.ppf(0.975)) * np.sqrt((1 + rho**2 / 2) / (n - 3))
    low, high = np.tanh(np.arctanh(rho) + half * np.array([-1, 1]))
    return {"rho": rho, "low": float(low), "high": float(high), "p": float(found.pvalue), "n": n}


def _auroc(higher: AnyArray, lower: AnyArray) -> float:
    """How often a value of the first kind exceeds one of the second; ties count one half."""
    from scipy.stats import rankdata

    a, b = (np.asarray(v, dtype=np.float64) for v in (higher, lower))
    a, b = a[np.isfinite(a)], b[np.isfinite(b)]
    if not len(a) or not len(b):
        return np.nan
    ranks = rankdata(np.concatenate([a, b]))[: len(a)].sum()
    return float((ranks - len(a) * (len(a) + 1) / 2) / (len(a) * len(b)))


def _signed_rank(excess: FloatArray) -> float:
    return wilcoxon(excess[np.isfinite(excess)])


def _averaged(rows: DataFrame, by: list[str]) -> DataFrame:
    labels = {*by, *SETTING, "relation", "same", "seed", "seed_b", "a", "b", "method", "view"}
    values = [c for c in rows.columns if c not in labels]
    return rows.groupby(by, as_index=False, sort=True)[values].mean()


def _long(table: DataFrame, columns: tuple[str, ...]) -> DataFrame:
    labels = [c for c in table.columns if c not in columns]
    return table.melt(id_vars=labels, value_vars=list(columns), var_name="measure", value_name="value")


def summaries(long: DataFrame, by: list[str]) -> DataFrame:
    """Mean, standard error and interval over images of each group."""
    rows = []
    for key, part in long.groupby(by, sort=False):
        found = summarize(part["value"].to_numpy(), part["image_id"].to_numpy())
        rows.append([*key, found.mean, found.se, found.low, found.high, found.n])
    return DataFrame(rows, columns=[*by, "mean", "se", "low", "high", "n"])


def _floor_of(floor: DataFrame, setting: dict[str, Any], method: str) -> DataFrame:
    wanted = {**{name: setting[name] for name in (*SETTING, "view")}, "method": method}
    rows = np.logical_and.reduce([floor[name] == value for name, value in wanted.items()])
    return floor[rows].set_index("image_id")


def _mean(values: AnyArray) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else np.nan
