"""Rules of decision compared on groups of images: rates, equal recall, paired differences."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from xai_ext._checks import InputError
from xai_ext._types import BoolArray, FloatArray
from xai_ext.metrics.detection import Auroc, auroc

if TYPE_CHECKING:
    import pandas as pd

Rule = Callable[["pd.DataFrame", float], BoolArray]

SCORE = "score"
EVIDENCE = ("p", "z", "contrast", "repair_area", "n_spots", "largest_spot", "roi_mass", "mass_above")
_LOCAL_AREA, _ROI_SHARE, _CONTRAST = 0.05, 0.5, 0.1
_LEVEL = 0.05


def _score(table: "pd.DataFrame", threshold: float) -> BoolArray:
    return np.asarray(table["s"] > threshold)


def _local(table: "pd.DataFrame", threshold: float) -> BoolArray:
    return np.asarray(_score(table, threshold) & (table["repair_area"] <= _LOCAL_AREA))


def _contrast(table: "pd.DataFrame", threshold: float) -> BoolArray:
    return np.asarray(_score(table, threshold) & (table["contrast"] > _CONTRAST))


def _roi(table: "pd.DataFrame", threshold: float) -> BoolArray:
    return np.asarray(_score(table, threshold) & (table["roi_mass"] >= _ROI_SHARE))


def _right(table: "pd.DataFrame", threshold: float) -> BoolArray:
    return np.asarray(table["verdict"] == "right")


RULES: dict[str, Rule] = {SCORE: _score, "score+local": _local, "score+contrast": _contrast, "score+roi": _roi}
ORACLE_RULES: dict[str, Rule] = {"right_reason": _right}  # of groups with masks
ROWS = {SCORE: 1, "score+local": 9, "score+contrast": 1, "score+roi": 1, "right_reason": 13}


def wilson(hits: float, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Interval of a share; NaN for n = 0.

    References
    ----------
    .. [1] Wilson, "Probable inference, the law of succession, and statistical inference", JASA 22 (1927).
    """
    from scipy.special import ndtri

    if n == 0:
        return float("nan"), float("nan")
    z = ndtri(0.5 + confidence / 2)
    share = hits / n
    middle = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    return float(middle - half), float(middle + half)


def flag_rates(tables: Mapping[str, "pd.DataFrame"], threshold: float, rules: Mapping[str, Rule]) -> "pd.DataFrame":
    """Flag rate of each rule on each group, with its interval and the most rows an image costs."""
    import pandas as pd

    rows = []
    for rule, flags in rules.items():
        for group, table in tables.items():
            if rule in ORACLE_RULES and "verdict" not in table:
                continue
            hits, n = int(flags(table, threshold).sum()), len(table)
            low, high = wilson(hits, n)
            rows.append((rule, group, n, hits, hits / max(1, n), low, high, ROWS.get(rule, 1), rule in ORACLE_RULES))
    names = ["rule", "group", "n", "flagged", "rate", "low", "high", "rows_at_most", "oracle"]
    return pd.DataFrame(rows, columns=names)


def equal_recall_threshold(defect_scores: FloatArray, n_flagged: int) -> float:
    """Where the score alone flags ``n_flagged`` defects (fewer where ties forbid it), rule ``s > threshold``."""
    descending = np.sort(defect_scores)[::-1]
    if not 0 <= n_flagged <= len(descending):
        raise InputError(f"n_flagged must be between 0 and {len(descending)}, got {n_flagged}")
    if n_flagged == len(descending):
        return float(np.nextafter(descending[-1], -np.inf))
    return float(descending[n_flagged])


def equal_recall(
    tables: Mapping[str, "pd.DataFrame"], defects: Sequence[str], threshold: float, rules: Mapping[str, Rule]
) -> "pd.DataFrame":
    """Each rule against the score alone at the same recall: paired differences of false alarms per group.

    Intervals are those of Agresti and Min [1]_; p-values are exact sign tests on the images where the two differ,
    adjusted over groups by Holm [2]_. The threshold of equal recall is taken as given.

    References
    ----------
    .. [1] Agresti, Min, "Simple improved confidence intervals for comparing matched proportions", Statistics in
       Medicine 24 (2005).
    .. [2] Holm, "A simple sequentially rejective multiple test procedure", Scandinavian J. of Statistics 6 (1979).
    """
    import pandas as pd

    defect_scores = np.concatenate([tables[d]["s"].to_numpy() for d in defects]) if defects else np.zeros(0)
    parts = []
    for rule, flags in rules.items():
        if rule == SCORE or rule in ORACLE_RULES or not len(defect_scores):
            continue
        n_flagged = int(sum(flags(tables[d], threshold).sum() for d in defects))
        moved = equal_recall_threshold(defect_scores, n_flagged)
        kept = int((defect_scores > moved).sum())
        rows = []
        for group, table in tables.items():
            if group in defects:
                continue
            rule_flags, score_flags = flags(table, threshold), _score(table, moved)
            rows.append((rule, group, len(table), n_flagged / len(defect_scores), kept / len(defect_scores), moved,
                         float(rule_flags.mean()), float(score_flags.mean()),
                         *_paired(rule_flags, score_flags)))  # fmt: skip
        part = pd.DataFrame(rows, columns=[
            "rule", "group", "n", "recall", "recall_of_score", "threshold_of_score", "rate", "rate_of_score",
            "difference", "low", "high", "p",
        ])  # fmt: skip
        part["p_holm"] = holm(part["p"].to_numpy())
        part["says"] = [_says(d, p) for d, p in zip(part["difference"], part["p_holm"], strict=True)]
        parts.append(part)
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def holm(p: FloatArray) -> FloatArray:
    """Adjusted p-values."""
    order = np.argsort(p, kind="stable")
    adjusted = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    found = np.empty(len(p))
    found[order] = np.minimum(1.0, adjusted)
    return found


def predictors(tables: Mapping[str, "pd.DataFrame"], threshold: float) -> "pd.DataFrame":
    """With which AUROC does each column of evidence tell "wrong" among the detected defects?"""
    import pandas as pd

    detected = [t[t["s"] > threshold] for t in tables.values() if "verdict" in t]
    together = pd.concat(detected) if detected else pd.DataFrame({"verdict": []})
    rows = []
    for name in EVIDENCE:
        known = together[together[name].notna()] if name in together else together[:0]
        values, wrong = np.clip(known[name].to_numpy() if name in known else [], None, 1e6), known["verdict"] == "wrong"
        found = auroc(values, wrong.to_numpy(), interval="delong")
        assert isinstance(found, Auroc)
        rows.append((name, len(known), int(wrong.sum()), found.value, found.low, found.high))
    return pd.DataFrame(rows, columns=["evidence", "n", "n_wrong", "auroc", "low", "high"])


def reasons(tables: Mapping[str, "pd.DataFrame"], threshold: float) -> "pd.DataFrame":
    """Of the detected defects of each group, the shares of each verdict."""
    import pandas as pd

    rows = []
    for group, table in tables.items():
        if "verdict" in table:
            detected = table[table["s"] > threshold]
            for verdict in ("right", "partly", "wrong", "undecided"):
                hits, n = int((detected["verdict"] == verdict).sum()), len(detected)
                rows.append((group, n, verdict, hits, hits / max(1, n), *wilson(hits, n)))
    return pd.DataFrame(rows, columns=["group", "n_detected", "verdict", "count", "share", "low", "high"])


def _paired(first: BoolArray, second: BoolArray) -> tuple[float, float, float, float]:
    """Difference of two paired rates, its interval, and the p-value of no difference."""
    from scipy.special import ndtri
    from scipy.stats import binomtest

    n, b, c = len(first), int((first & ~second).sum()), int((second & ~first).sum())
    if n == 0:
        return float("nan"), float("nan"), float("nan"), 1.0
    z, more, fewer, size = ndtri(0.975), b + 0.5, c + 0.5, n + 2
    middle = (more - fewer) / size
    half = z * np.sqrt((more + fewer) - (more - fewer) ** 2 / size) / size
    p = 1.0 if b + c == 0 else float(binomtest(b, b + c).pvalue)
    return (b - c) / n, float(middle - half), float(middle + half), p


def _says(difference: float, p: float) -> str:
    if not p < _LEVEL:
        return "undecided"
    return "lowers" if difference < 0 else "raises"
