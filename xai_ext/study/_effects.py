"""What changes the level of a response: balanced analysis of variance with images as blocks."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from xai_ext._types import AnyArray, FloatArray
from xai_ext.study._inference import holm

_CHUNK = 2_000_000  # numbers permuted at once


@dataclass(frozen=True)
class Effect:
    """Of one factor: sum of squares, degrees of freedom, share of variance, p by permutation (NaN: not tested)."""

    factor: str
    ss: float
    df: int
    omega2: float
    p: float
    p_holm: float = np.nan


def effects(
    response: FloatArray,
    factors: tuple[str, ...],
    datasets: AnyArray,
    *,
    n_permutations: int,
    rng: np.random.Generator,
) -> list[Effect]:
    """Effects of within-image factors, their interactions with the first, and of the data set.

    Parameters
    ----------
    response : array (images, levels of factor 1, levels of factor 2, ...)
        Complete: no NaN.
    factors : tuple of str
        Names of the axes behind the first.
    datasets : array (images,)
        The data set of each image.
    """
    n_images, cells = len(response), int(np.prod(response.shape[1:]))
    mean = response.mean()
    total = float(((response - mean) ** 2).sum())
    of_images = response.reshape(n_images, -1).mean(1)
    blocks = cells * float(((of_images - mean) ** 2).sum())
    terms = [_term(response, (axis,)) for axis in range(1, response.ndim)]
    crossed = [_term(response, (1, axis)) for axis in range(2, response.ndim)]
    interactions = [
        (s - terms[0][0] - terms[a][0], terms[0][1] * terms[a][1]) for a, (s, _) in enumerate(crossed, start=1)
    ]
    ss_error = total - blocks - sum(s for s, _ in [*terms, *interactions])
    df_error = response.size - n_images - sum(d for _, d in [*terms, *interactions])
    ms_error = max(0.0, ss_error) / df_error if df_error > 0 else np.nan
    found = []
    for axis, (name, (ss, df)) in enumerate(zip(factors, terms, strict=True), start=1):
        if df:
            p = _within(response, axis, n_permutations, rng)
            found.append(Effect(name, ss, df, _omega2(ss, df, ms_error, total), p))
    names = np.unique(datasets)
    if len(names) > 1:
        found.append(_between(of_images, datasets, cells, total, n_permutations, rng))
    corrected = holm(np.array([e.p for e in found]))
    tested = [Effect(e.factor, e.ss, e.df, e.omega2, e.p, float(q)) for e, q in zip(found, corrected, strict=True)]
    listed = [
        Effect(f"{factors[0]} x {name}", ss, df, _omega2(ss, df, ms_error, total), np.nan)
        for name, (ss, df) in zip(factors[1:], interactions, strict=True)
        if df
    ]
    return [*tested, *listed]


def _term(response: FloatArray, axes: tuple[int, ...]) -> tuple[float, int]:
    """Sum of squares of the cell means over these axes, and the degrees of freedom of the first of them."""
    others = tuple(a for a in range(response.ndim) if a not in axes)
    means = response.mean(others)
    weight = response.size / means.size
    return weight * float(((means - response.mean()) ** 2).sum()), response.shape[axes[0]] - 1


def _omega2(ss: float, df: int, ms_error: float, total: float) -> float:
    return max(0.0, (ss - df * ms_error) / (total + ms_error)) if total + ms_error > 0 else 0.0


def _within(response: FloatArray, axis: int, n_permutations: int, rng: np.random.Generator) -> float:
    """Levels are exchanged within each image."""
    others = tuple(a for a in range(1, response.ndim) if a != axis)
    means = response.mean(others)  # (images, levels)
    observed = _spread(means.mean(0))
    size, exceeding = max(1, _CHUNK // means.size), 0
    for start in range(0, n_permutations, size):
        k = min(size, n_permutations - start)
        drawn = rng.permuted(np.broadcast_to(means, (k, *means.shape)), axis=2)
        exceeding += int((_spread(drawn.mean(1)) >= observed * (1 - 1e-12)).sum())
    return (exceeding + 1) / (n_permutations + 1)


def _spread(means: AnyArray) -> Any:
    return ((means - means.mean(-1, keepdims=True)) ** 2).sum(-1)


def _between(
    of_images: FloatArray,
    datasets: AnyArray,
    cells: int,
    total: float,
    n_permutations: int,
    rng: np.random.Generator,
) -> Effect:
    """The data set, against the spread of images within data sets."""
    _, group = np.unique(datasets, return_inverse=True)
    sizes = np.bincount(group)
    ss = cells * _between_groups(of_images, group, sizes)
    around = cells * float(((of_images - of_images.mean()) ** 2).sum())
    df, df_error = len(sizes) - 1, len(of_images) - len(sizes)
    ms_error = (around - ss) / df_error if df_error > 0 else np.nan
    exceeding = 0
    for _ in range(n_permutations):
        exceeding += cells * _between_groups(rng.permutation(of_images), group, sizes) >= ss * (1 - 1e-12)
    return Effect("dataset", ss, df, _omega2(ss, df, ms_error, total), (exceeding + 1) / (n_permutations + 1))


def _between_groups(values: FloatArray, group: AnyArray, sizes: AnyArray) -> float:
    means = np.bincount(group, weights=values) / sizes
    return float((sizes * (means - values.mean()) ** 2).sum())


def as_rows(found: list[Effect], **labels: Any) -> list[Mapping[str, Any]]:
    """For a table."""
    return [{**labels, **vars(e)} for e in found]
