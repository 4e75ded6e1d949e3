"""Numbers behind the statistics: clusters of rows, intervals, signed-rank tests."""

import numpy as np

from xai_ext._checks import InputError
from xai_ext._types import AnyArray, FloatArray
from xai_ext.metrics import Status

_RESAMPLES = 4999


def holm(p: FloatArray) -> FloatArray:
    """Holm's step-down correction; NaN stays and counts for nothing.

    References
    ----------
    .. [1] Holm, "A simple sequentially rejective multiple test procedure", Scandinavian J. of Statistics 6 (1979).
    """
    p = np.asarray(p, dtype=np.float64)
    corrected = np.full(p.shape, np.nan)
    known = np.flatnonzero(np.isfinite(p))
    order = known[np.argsort(p[known], kind="stable")]
    steps = p[order] * np.arange(len(order), 0, -1)
    corrected[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return corrected


def aligned(values: AnyArray, image_ids: AnyArray) -> tuple[FloatArray, AnyArray]:
    x, ids = np.asarray(values, dtype=np.float64), np.asarray(image_ids)
    if x.ndim != 1 or ids.shape != x.shape:
        raise InputError(f"there must be one image id per value, got {ids.shape} for values {x.shape}")
    return x, ids


def clusters(x: FloatArray, ids: AnyArray) -> tuple[FloatArray, FloatArray]:
    """Sum and number of the values of each image."""
    _, group = np.unique(ids, return_inverse=True)
    if not len(x):
        return np.zeros(0), np.zeros(0)
    return np.bincount(group, weights=x).astype(np.float64), np.bincount(group).astype(np.float64)


def cluster_se(sums: FloatArray, counts: FloatArray) -> float:
    n = len(sums)
    if n < 2:
        return np.nan
    errors = (sums - sums.sum() / counts.sum() * counts) / counts.mean()
    return float(np.sqrt((errors @ errors) / (n * (n - 1))))


def interval(
    ci: str,
    sums: FloatArray,
    counts: FloatArray,
    mean: float,
    se: float,
    confidence: float,
    rng: np.random.Generator | None,
) -> tuple[float, float]:
    if ci == "wilson":
        return wilson(sums, counts, confidence)
    if len(sums) < 2:
        return np.nan, np.nan
    if ci == "cluster_t":
        from scipy.stats import t

        half = float(t.ppf((1 + confidence) / 2, len(sums) - 1)) * se
        return mean - half, mean + half
    from scipy.stats import bootstrap

    found = bootstrap(
        (sums, counts),
        lambda s, m, axis: s.sum(axis) / m.sum(axis),
        n_resamples=_RESAMPLES,
        paired=True,
        confidence_level=confidence,
        method="BCa",
        rng=np.random.default_rng(0) if rng is None else rng,
    ).confidence_interval
    return float(found.low), float(found.high)


def wilson(sums: FloatArray, counts: FloatArray, confidence: float) -> tuple[float, float]:
    if (counts != 1).any() or not np.isin(sums, (0, 1)).all():
        raise InputError('ci="wilson" needs values 0 and 1, one per image; fix: ci="cluster_t"')
    if not len(sums):
        return np.nan, np.nan
    from scipy.stats import binomtest

    found = binomtest(int(sums.sum()), len(sums)).proportion_ci(confidence, method="wilson")
    return float(found.low), float(found.high)


def reasons(finite: AnyArray, status: AnyArray | None) -> dict[str, int]:
    if finite.all():
        return {}
    if status is None:
        return {"UNKNOWN": int((~finite).sum())}
    codes, counts = np.unique(np.asarray(status)[~finite], return_counts=True)
    return {Status(int(code)).name: int(n) for code, n in zip(codes, counts, strict=True)}


def mean(values: FloatArray) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else np.nan


def wilcoxon(differences: FloatArray) -> float:
    if len(differences) < 2:
        return np.nan
    if not differences.any():
        return 1.0
    from scipy.stats import wilcoxon

    return float(wilcoxon(differences).pvalue)


def paired_t(differences: FloatArray) -> float:
    if len(differences) < 2:
        return np.nan
    if np.ptp(differences) == 0:
        return 1.0 if differences[0] == 0 else 0.0
    from scipy.stats import ttest_1samp

    return float(ttest_1samp(differences, 0.0).pvalue)


def rank_biserial(better: FloatArray) -> float:
    from scipy.stats import rankdata

    moved = better[better != 0]
    if not len(moved):
        return 0.0 if len(better) else np.nan
    ranks = rankdata(np.abs(moved))
    return float((ranks * np.sign(moved)).sum() / ranks.sum())
