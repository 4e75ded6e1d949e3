"""Agreement of every pair of several maps, the noise floor of one method, and maps that know nothing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Unpack

import numpy as np
import torch
from torch import Tensor

from xai_ext._checks import InputError, check_choice
from xai_ext._types import FloatArray
from xai_ext.metrics._adapt import Attributions
from xai_ext.metrics._maps import MapOptions, MapReading
from xai_ext.metrics.disagreement import Candidate, Question, agreement, candidates, compared

DEFAULT = (
    "feature_agreement",
    "rank_agreement",
    "sign_agreement",
    "signed_rank_agreement",
    "rank_correlation",
    "pairwise_rank_agreement",
    "spearman",
    "pearson",
)
_KINDS = ("random", "shuffled", "rolled", "center", "other_image")


@dataclass(frozen=True, eq=False)
class AgreementMatrix:
    """Agreement of every pair of m maps on B examples.

    Attributes
    ----------
    names : tuple of str
    values : dict of float64 Tensors
        Metric -> (B, m, m), or (B, m, m, len(k)) for measures of the k highest; symmetric.
    status : int8 Tensor (B, m, m)
        The highest `Status` over the metrics.
    k : tuple
    """

    names: tuple[str, ...]
    values: dict[str, Tensor]
    status: Tensor
    k: tuple[float, ...]

    def mean(self, metric: str) -> FloatArray:
        """(m, m) or (m, m, len(k)): over the examples where the pair is defined; NaN where there is none."""
        values = self.values[check_choice("metric", metric, self.values)].numpy()
        counts = np.isfinite(values).sum(0)
        return np.asarray(np.where(counts, np.nansum(values, 0) / np.maximum(counts, 1), np.nan))


def agreement_matrix(
    maps: Mapping[str, Attributions],
    metrics: Sequence[str] = DEFAULT,
    k: Sequence[float] = (0.01, 0.05, 0.10, 0.25),
    *,
    ranking: str | None = None,
    **options: Unpack[MapOptions],
) -> AgreementMatrix:
    """Agreement of every pair of maps; ranks are computed once per map.

    Parameters
    ----------
    maps : dict of maps
        In the forms of `agreement`.
    metrics : sequence of str
        Names that `agreement` knows.
    k : sequence
        Of the measures of the k highest.
    ranking : {"signed", "abs"}, optional
        None: what each measure does by itself.
    feature_mask, map_kind, channel_dim, channel_reduce, layout, output
        As in `agreement`.

    Returns
    -------
    AgreementMatrix
    """
    if not maps:
        raise InputError("maps must name at least one map, got an empty mapping")
    reading = MapReading.of("agreement_matrix", options)
    questions = [Question(name, tuple(k), ranking) for name in metrics]
    columns = [candidates(one, reading) for one in maps.values()]
    if len({len(c) for c in columns}) > 1:
        raise InputError(f"maps must hold as many examples, got {[len(c) for c in columns]}")
    rows = [_pairs(list(row), questions) for row in zip(*columns, strict=True)]
    values = {q.measure: _tensor([r[0][q.measure] for r in rows], q) for q in questions}
    return AgreementMatrix(tuple(maps), values, torch.from_numpy(np.stack([r[1] for r in rows])), tuple(k))


def _tensor(arrays: list[FloatArray], question: Question) -> Tensor:
    stacked = torch.from_numpy(np.stack(arrays))
    return stacked if question.has_k_axis else stacked[..., 0]


def _pairs(row: list[Candidate | None], questions: Sequence[Question]) -> tuple[dict[str, FloatArray], Any]:
    """Of one example: metric -> (m, m, n_k), and the status (m, m)."""
    m = len(row)
    values = {q.measure: np.empty((m, m, len(q.ks))) for q in questions}
    status = np.zeros((m, m), np.int8)
    for i in range(m):
        for j in range(i, m):
            for q in questions:
                found, state, _ = compared(row[i], row[j], q)
                values[q.measure][i, j] = values[q.measure][j, i] = found
                status[i, j] = status[j, i] = max(status[i, j], state)
    return values, status


def noise_floor(
    runs: Sequence[Attributions],
    metric: str = "spearman",
    *,
    k: float = 0.1,
    ranking: str | None = None,
    **options: Unpack[MapOptions],
) -> Tensor:
    """Agreement of runs of one method that differ by their seed alone: what noise costs.

    Parameters
    ----------
    runs : sequence of at least two maps
        In the forms of `agreement`.
    metric, k, ranking, feature_mask, map_kind, channel_dim, channel_reduce, layout, output
        As in `agreement`.

    Returns
    -------
    float64 Tensor (B,)
        Mean over all pairs of runs; a method without randomness has 1 where the measure can reach it.
    """
    if len(runs) < 2:
        raise InputError(f"a noise floor needs at least two runs, got {len(runs)}")
    pairs = [agreement(a, b, metric, k=k, ranking=ranking, **options) for a, b in combinations(runs, 2)]
    return torch.stack([p for p in pairs if isinstance(p, Tensor)]).mean(0)


def reference_maps(maps: Tensor, kind: str, rng: np.random.Generator) -> Tensor:
    """Maps that know nothing about the example: what agreement is worth.

    Parameters
    ----------
    maps : Tensor (B, *spatial)
    kind : {"random", "shuffled", "rolled", "center", "other_image"}
        Independent uniform values; the map's own values in random order; the map shifted around by a random offset,
        which keeps its smoothness; a Gaussian at the centre, a quarter of each side wide; the map of the next
        example, which shows what the photographer's habit of centring explains alone.
    rng : numpy Generator

    Returns
    -------
    float64 Tensor (B, *spatial)
    """
    check_choice("kind", kind, _KINDS)
    values = maps.detach().cpu().double().numpy()
    if values.ndim < 2 or not values.size:
        raise InputError(f"maps must be (B, *spatial) and not empty, got {values.shape}")
    if kind == "other_image":
        if len(values) < 2:
            raise InputError("the map of another example needs at least two examples")
        return torch.from_numpy(np.roll(values, 1, axis=0))
    return torch.from_numpy(np.stack([_reference(v, kind, rng) for v in values]))


def _reference(values: FloatArray, kind: str, rng: np.random.Generator) -> FloatArray:
    if kind == "random":
        return rng.random(values.shape)
    if kind == "shuffled":
        return rng.permutation(values.ravel()).reshape(values.shape)
    if kind == "rolled":
        shifts = [int(rng.integers(side)) for side in values.shape]
        return np.roll(values, shifts, axis=tuple(range(values.ndim)))
    axes = np.meshgrid(*(((np.arange(s) - (s - 1) / 2) / (s / 4)) ** 2 for s in values.shape), indexing="ij")
    return np.asarray(np.exp(-np.sum(axes, axis=0) / 2))
