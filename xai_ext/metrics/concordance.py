"""Agreement of several maps at once, and over several k."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Unpack

import numpy as np
import torch
from torch import Tensor

from xai_ext._checks import InputError, check_choice
from xai_ext._forward import on_host
from xai_ext._types import FloatArray
from xai_ext.metrics._adapt import Attributions
from xai_ext.metrics._agreeing import Ranked
from xai_ext.metrics._maps import MapOptions, MapReading
from xai_ext.metrics._metric import Status
from xai_ext.metrics.disagreement import Question, candidates


@dataclass(frozen=True, eq=False)
class Concordance:
    """Kendall's W of B examples: ``value`` float64 (B,), ``status`` int8 (B,), ``n_excluded`` maps int64 (B,)."""

    value: Tensor
    status: Tensor
    n_excluded: Tensor


def kendall_w(
    maps: Mapping[str, Attributions] | Sequence[Attributions],
    ranking: str = "abs",
    *,
    return_details: bool = False,
    **options: Unpack[MapOptions],
) -> Tensor | Concordance:
    """Concordance of m maps of the same inputs: Kendall's W, corrected for ties [1]_.

    Parameters
    ----------
    maps : dict of maps, or a sequence of at least two
        In the forms of `agreement`.
    ranking : {"abs", "signed"}
    return_details : bool
        Return a `Concordance` with the status and the number of maps that were constant and left out.
    feature_mask, map_kind, channel_dim, channel_reduce, layout, output
        As in `agreement`.

    Returns
    -------
    float64 Tensor (B,)
        0..1; 1/m on average for random maps. NaN where fewer than two maps are finite and not constant. Without ties
        the mean Spearman correlation of pairs is (m W - 1) / (m - 1).

    References
    ----------
    .. [1] Kendall, Babington Smith, "The problem of m rankings", Annals of Mathematical Statistics 10 (1939).
    """
    given = list(maps.values()) if isinstance(maps, Mapping) else list(maps)
    if len(given) < 2:
        raise InputError(f"concordance needs at least two maps, got {len(given)}")
    question, reading = Question("spearman", ranking=ranking), MapReading.of("kendall_w", options)
    columns = [candidates(one, reading) for one in given]
    rows = [_concordance([c and c.ranked(question) for c in row]) for row in zip(*columns, strict=True)]
    found = Concordance(
        torch.tensor([value for value, _, _ in rows], dtype=torch.float64),
        torch.tensor([status for _, status, _ in rows], dtype=torch.int8),
        torch.tensor([n for _, _, n in rows]),
    )
    return found if return_details else found.value


def _concordance(maps: list[Ranked | None]) -> tuple[float, Status, int]:
    finite = [m for m in maps if m is not None]
    used = [m for m in finite if not m.is_constant]
    n_excluded = len(maps) - len(used)
    if len(finite) < len(maps):
        return np.nan, Status.NON_FINITE, n_excluded
    if len({len(m.scores) for m in finite}) > 1:
        raise InputError("maps must have the same shapes; fix: resize_map(b, size)")
    if len(used) < 2:
        return np.nan, Status.CONSTANT, n_excluded
    return concordance(used), Status.OK, n_excluded


def concordance(maps: Sequence[Ranked]) -> float:
    """Kendall's W of at least two rankings that are not constant."""
    m, n = len(maps), len(maps[0].scores)
    sums = np.sum([r.ranks for r in maps], axis=0)  # centred
    ties = sum(float((r.size.astype(np.float64) ** 2 - 1).sum()) for r in maps)  # sum over groups of t^3 - t
    return float(12 * (sums @ sums) / (m**2 * (float(n) ** 3 - n) - m * ties))


def area_over_k(values: Tensor | FloatArray, ks: Sequence[float], rule: str = "trapezoid") -> Tensor:
    """The mean of a measure over k.

    Parameters
    ----------
    values : array (..., len(ks))
    ks : sequence
        Ascending, counts or fractions.
    rule : {"trapezoid", "mean"}
        Area divided by the span of k, or the plain mean.

    Returns
    -------
    float64 Tensor (...)
    """
    check_choice("rule", rule, ("trapezoid", "mean"))
    array, at = on_host(values).astype(np.float64), np.asarray(ks, dtype=np.float64)
    if array.shape[-1:] != at.shape or len(at) < 2 or not (np.diff(at) > 0).all():
        raise InputError(f"values must have one entry per k, k ascending, got {array.shape} and {list(ks)}")
    if rule == "mean":
        return torch.from_numpy(np.asarray(array.mean(-1)))
    return torch.from_numpy(np.asarray(np.trapezoid(array, at) / (at[-1] - at[0])))
