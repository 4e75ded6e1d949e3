"""How concentrated is a map? No truth and no model is asked."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Unpack

import numpy as np
import torch
from torch import Tensor

from xai_ext._checks import InputError
from xai_ext._types import FloatArray
from xai_ext.metrics._adapt import Attributions, named, unnamed
from xai_ext.metrics._maps import MapOptions, MapReading, vectors
from xai_ext.metrics._metric import Status, metric


@dataclass(frozen=True, eq=False)
class Complexity:
    """Of B maps: ``value`` float64 (B,), NaN where undefined, and ``status`` int8 (B,)."""

    value: Tensor
    status: Tensor


Values = Tensor | Complexity | dict[str, Tensor | Complexity]


@metric(higher_is_better=True, range=(0.0, 1.0), needs=[])
def gini(attributions: Attributions, *, return_details: bool = False, **options: Unpack[MapOptions]) -> Values:
    """Gini coefficient of abs(a): 0 when all are equal, (n - 1)/n when one has everything.

    Parameters
    ----------
    attributions : Tensor, array, shap.Explanation, Explanation(s), tuple or dict
        Maps (B, F), (B, *spatial) or (B, C, *spatial), as in `agreement`; a dict of names gives a dict of results.
    return_details : bool
        Return a `Complexity` with the status instead of the values alone.
    feature_mask, map_kind, channel_dim, channel_reduce, layout, output
        As in `agreement`.

    Returns
    -------
    float64 Tensor (B,)
        NaN for a zero map.

    References
    ----------
    .. [1] Chalasani et al., "Concise explanations of neural networks using adversarial training", ICML 2020.
    """
    return _each("gini", _gini, attributions, options, return_details)


@metric(higher_is_better=False, range=(0.0, np.inf), needs=[])
def entropy(attributions: Attributions, *, return_details: bool = False, **options: Unpack[MapOptions]) -> Values:
    """Entropy of abs(a) / sum abs(a), nats: 0 when one has everything, ln n when all are equal.

    Parameters are those of `gini`.

    Returns
    -------
    float64 Tensor (B,)
        NaN for a zero map.

    References
    ----------
    .. [1] Bhatt, Weller, Moura, "Evaluating and aggregating feature-based model explanations", IJCAI 2020.
    """
    return _each("entropy", _entropy, attributions, options, return_details)


@metric(higher_is_better=False, range=(0.0, np.inf), needs=[])
def effective_complexity(
    attributions: Attributions,
    *,
    eps: float = 1e-5,
    relative: bool = True,
    return_details: bool = False,
    **options: Unpack[MapOptions],
) -> Values:
    """How many values are larger than ``eps`` times the largest, in magnitude.

    Parameters are those of `gini`, and:

    Parameters
    ----------
    eps : float
    relative : bool
        False: larger than `eps` itself.

    Returns
    -------
    float64 Tensor (B,)
        0 for a zero map.
    """
    if not 0 <= eps < np.inf:
        raise InputError(f"eps must be at least 0 and finite, got {eps!r}")

    def count(a: FloatArray) -> float:
        return float((a > (eps * a.max() if relative else eps)).sum())

    return _each("effective_complexity", count, attributions, options, return_details)


@metric(higher_is_better=True, range=(0.0, 1.0), needs=[])
def hoyer(attributions: Attributions, *, return_details: bool = False, **options: Unpack[MapOptions]) -> Values:
    """Sparseness (sqrt(n) - |a|_1 / |a|_2) / (sqrt(n) - 1): 0 when all are equal, 1 when one has everything.

    Parameters are those of `gini`.

    Returns
    -------
    float64 Tensor (B,)
        NaN for a zero map and for a single feature.

    References
    ----------
    .. [1] Hoyer, "Non-negative matrix factorization with sparseness constraints", JMLR 5 (2004), sec. 3.1.
    """
    return _each("hoyer", _hoyer, attributions, options, return_details)


def _gini(a: FloatArray) -> float:
    if not a.any():
        return np.nan
    n, ascending = len(a), np.sort(a / a.max())
    return float((2 * np.arange(1, n + 1) - n - 1) @ ascending / (n * ascending.sum()))


def _entropy(a: FloatArray) -> float:
    if not a.any():
        return np.nan
    from scipy.special import entr

    shares = a / a.max()
    return float(entr(shares / shares.sum()).sum())


def _hoyer(a: FloatArray) -> float:
    if not a.any() or len(a) == 1:
        return np.nan
    root, scaled = np.sqrt(len(a)), a / a.max()
    ratio = scaled.sum() / np.sqrt(scaled @ scaled)
    return float(np.clip((root - ratio) / (root - 1), 0.0, 1.0))


def _each(
    function: str,
    measure: Callable[[FloatArray], float],
    attributions: Attributions,
    options: MapOptions,
    return_details: bool,
) -> Values:
    reading = MapReading.of(function, options)
    found = {}
    for name, one in named(attributions).items():
        maps = vectors(one, reading)
        result = Complexity(
            torch.tensor([np.nan if a is None else measure(np.abs(a)) for a in maps], dtype=torch.float64),
            torch.tensor([_status(a) for a in maps], dtype=torch.int8),
        )
        found[name] = result if return_details else result.value
    return unnamed(attributions, found)


def _status(a: FloatArray | None) -> Status:
    if a is None:
        return Status.NON_FINITE
    if a.min() == a.max():
        return Status.CONSTANT if len(a) > 1 or not a.any() else Status.TOO_FEW
    return Status.OK
