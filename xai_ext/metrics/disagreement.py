"""How far do two maps agree?"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from xai_ext._checks import InputError, check_choice
from xai_ext._types import FloatArray
from xai_ext.metrics._adapt import SIGNS, Attributions, Reading, View, named, read, unnamed, views
from xai_ext.metrics._metric import Status, metric


@dataclass(frozen=True, eq=False)
class Agreement:
    """Agreement of B pairs of maps: ``value`` float64 (B,), NaN where undefined, and ``status`` int8 (B,)."""

    value: Tensor
    status: Tensor


@metric(higher_is_better=True, range=(-1.0, 1.0), needs=["map"])
def agreement(
    a: Attributions,
    b: Attributions,
    metric: str = "spearman",
    *,
    ranking: str = "signed",
    channel_dim: int | None = 1,
    channel_reduce: str = "sum",
    layout: str = "channels_first",
    output: int | str | None = None,
    return_details: bool = False,
) -> Tensor | Agreement | dict[str, Tensor | Agreement]:
    """Correlation of two maps over their positions.

    Parameters
    ----------
    a, b : Tensor, array, shap.Explanation, Explanation(s), tuple or dict
        Maps of the same inputs: (B, F), (B, H, W) or, with channels, (B, C, H, W). A tuple holds one map per input,
        compared together; a tuple or list of `Explanation` one per example. `a` may be a dict of names, which gives
        a dict of results.
    metric : {"spearman", "pearson"}
        Spearman correlates average ranks, so that equal values get equal ranks.
    ranking : {"signed", "abs"}
        Compare the values or their magnitudes.
    channel_dim : int or None
        Where maps of four dimensions and more have their channels.
    channel_reduce : {"sum", "mean", "abs_sum", "max", "max_abs"}
        The value of a position with several channels.
    layout : {"channels_first", "channels_last"}
        Of maps that are arrays or tensors and have channels.
    output : int or str, optional
        Which output of an explanation that has several.
    return_details : bool
        Return an `Agreement` with the status instead of the values alone.

    Returns
    -------
    float64 Tensor (B,)
        -1..1. NaN when either map is constant or not finite, in both argument orders.

    Raises
    ------
    InputError, InputTypeError
        Maps whose shapes differ (see `resize_map`).

    Examples
    --------
    >>> import torch
    >>> from xai_ext.metrics import agreement
    >>> agreement(torch.tensor([[1.0, 2.0, 3.0]]), torch.tensor([[1.0, 4.0, 9.0]]))
    tensor([1.], dtype=torch.float64)
    """
    correlate = _CORRELATIONS[check_choice("metric", metric, _CORRELATIONS)]
    reading = Reading(channel_dim, channel_reduce, check_choice("ranking", ranking, ("signed", "abs")), layout, output)
    found = {name: _agreement(one, b, reading, correlate) for name, one in named(a).items()}
    return unnamed(a, {name: f if return_details else f.value for name, f in found.items()})


Correlation = Callable[[FloatArray, FloatArray], float]


def pearson(a: FloatArray, b: FloatArray) -> float:
    """Product-moment correlation of two vectors that are not constant."""
    a, b = a - a.mean(), b - b.mean()
    a, b = a / np.abs(a).max(), b / np.abs(b).max()  # no overflow or underflow of squares
    return float(np.clip(a @ b / np.sqrt((a @ a) * (b @ b)), -1.0, 1.0))


def spearman(a: FloatArray, b: FloatArray) -> float:
    """Pearson correlation of average ranks."""
    from scipy.stats import rankdata

    return pearson(rankdata(a), rankdata(b))


_CORRELATIONS: dict[str, Correlation] = {"spearman": spearman, "pearson": pearson}


def _agreement(a: Attributions, b: Attributions, reading: Reading, correlate: Correlation) -> Agreement:
    first, second = views(a, None, reading), views(b, None, reading)
    if len(first) != len(second):
        raise InputError(f"both arguments must hold as many examples, got {len(first)} and {len(second)}")
    found = [_compared(_maps(x, reading), _maps(y, reading), correlate) for x, y in zip(first, second, strict=True)]
    return Agreement(
        torch.tensor([value for value, _ in found], dtype=torch.float64),
        torch.tensor([status for _, status in found], dtype=torch.int8),
    )


def _maps(given: tuple[View, ...], reading: Reading) -> list[FloatArray] | None:
    maps = [read(view, None, reading) for view in given]
    finite = [SIGNS[reading.sign](m) for m in maps if m is not None]
    return finite if len(finite) == len(maps) else None


def _compared(
    first: list[FloatArray] | None, second: list[FloatArray] | None, correlate: Correlation
) -> tuple[float, Status]:
    if first is None or second is None:
        return np.nan, Status.NON_FINITE
    shapes = [m.shape for m in first], [m.shape for m in second]
    if shapes[0] != shapes[1]:
        raise InputError(f"maps must have the same shapes, got {shapes[0]} and {shapes[1]}; fix: resize_map(b, size)")
    a, b = (np.concatenate([m.ravel() for m in maps]) for maps in (first, second))
    if a.min() == a.max() or b.min() == b.max():
        return np.nan, Status.CONSTANT
    return correlate(a, b), Status.OK
