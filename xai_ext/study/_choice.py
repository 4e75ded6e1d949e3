"""Which method to choose: those that no other is shown to beat, on every primary score."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from pandas import DataFrame

from xai_ext.study.stats import FAMILY, compare_all, direction

NO_WINNER = "no method dominates"
BLIND = ("random", "random_segments", "center")  # methods that do not look at the model


def choose(
    scores: DataFrame, floors: Mapping[str, float], primary: tuple[str, ...], alpha: float
) -> tuple[DataFrame, DataFrame]:
    """Best sets per primary score, and the recommendation per setting."""
    used = scores[scores.metric.isin(primary)] if len(scores) else scores
    if not len(used):
        return DataFrame(), DataFrame()
    compared = compare_all(used)
    sets, verdicts = [], []
    for setting, part in used.groupby(FAMILY[:-1]):
        labels = dict(zip(FAMILY[:-1], setting, strict=True))
        means = part.pivot_table(index="method", columns="metric", values="value", aggfunc="mean")
        best = {name: _best_set(means[name], _family(compared, {**labels, "metric": name}), alpha) for name in means}
        sets += [
            {**labels, "metric": name, "method": m, "mean": float(means.loc[m, name]), "in_best_set": m in chosen}
            for name, chosen in best.items() for m in means.index
        ]  # fmt: skip
        cost = _costs(scores, labels)
        verdicts.append({**labels, **_verdict(means, best, floors, cost)})
    return DataFrame(sets), DataFrame(verdicts)


def _family(compared: DataFrame, labels: Mapping[str, Any]) -> DataFrame:
    if not len(compared):
        return compared
    return compared[np.logical_and.reduce([compared[name] == value for name, value in labels.items()])]


def _best_set(means: Any, compared: DataFrame, alpha: float) -> set[str]:
    """The best method, and those that are not significantly worse."""
    known = means.dropna()
    best = str((known if direction(str(means.name)) else -known).idxmax())
    chosen = {best}
    for method in known.index:
        pair = compared[
            ((compared.a == best) & (compared.b == method)) | ((compared.b == best) & (compared.a == method))
        ]
        if method != best and not bool((pair.p_holm < alpha).any()):
            chosen.add(str(method))
    return chosen


def _verdict(
    means: DataFrame, best: Mapping[str, set[str]], floors: Mapping[str, float], cost: Mapping[str, float]
) -> dict[str, Any]:
    common = set.intersection(*best.values())
    ordered = sorted(common, key=lambda m: (-floors.get(m, -np.inf), cost.get(m, np.inf), m))
    if ordered:
        unbeaten = [m for m in ordered if m in BLIND]
        verdict = f"no method is shown to beat {' or '.join(unbeaten)}" if unbeaten else f"choose {ordered[0]}"
        return {"recommended": ", ".join(ordered), "verdict": verdict, "front": ", ".join(ordered)}
    front = _front(means)
    return {"recommended": "", "verdict": NO_WINNER, "front": ", ".join(front)}


def _front(means: DataFrame) -> list[str]:
    """Methods that no other equals or beats on every score."""
    signs = np.array([1.0 if direction(str(name)) else -1.0 for name in means])
    values = means.to_numpy() * signs
    kept = []
    for i, method in enumerate(means.index):
        beaten = (values >= values[i]).all(1) & (values > values[i]).any(1)
        if not beaten.any():
            kept.append(str(method))
    return kept


def _costs(scores: DataFrame, labels: Mapping[str, Any]) -> dict[str, float]:
    rows = scores[scores.metric == "n_evals"]
    rows = rows[np.logical_and.reduce([rows[name] == value for name, value in labels.items()])]
    return {str(m): float(v) for m, v in rows.groupby("method")["value"].mean().items()}
