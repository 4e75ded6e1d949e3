"""Distances and common mass of two maps."""

from collections.abc import Callable
from typing import Unpack

import numpy as np
import torch
from torch import Tensor

from xai_ext._checks import InputError, check_choice
from xai_ext._types import FloatArray
from xai_ext.metrics._adapt import Attributions
from xai_ext.metrics._maps import MapOptions, MapReading, ReadMap, read_maps
from xai_ext.metrics._ranking import scaled

_MOST_FOR_EMD = 1024


def l2(a: Attributions, b: Attributions, **options: Unpack[MapOptions]) -> Tensor:
    """Euclidean distance of two maps, (B,); forms of maps are those of `agreement`."""

    def distance(x: ReadMap, y: ReadMap) -> float:
        with np.errstate(over="ignore"):  # infinite, then
            return float(np.linalg.norm(x.values - y.values))

    return _compared("l2", a, b, options, distance)


def js_distance(a: Attributions, b: Attributions, **options: Unpack[MapOptions]) -> Tensor:
    """Jensen-Shannon distance (root of the divergence, base 2) of two maps scaled to sum 1: 0..1, (B,).

    Maps must not be negative; NaN for a zero map. Forms of maps are those of `agreement`.
    """
    from scipy.spatial.distance import jensenshannon

    return _shares_compared("js_distance", a, b, options, lambda p, q: float(jensenshannon(p, q, base=2)))


def kl(a: Attributions, b: Attributions, **options: Unpack[MapOptions]) -> Tensor:
    """Kullback-Leibler divergence KL(b || a) of map b from map a, both scaled to sum 1: nats, (B,).

    Infinite where b has mass and a has none. Maps must not be negative; NaN for a zero map.
    """
    from scipy.stats import entropy

    return _shares_compared("kl", a, b, options, lambda p, q: float(entropy(q, p)))


def sim(a: Attributions, b: Attributions, *, normalize: str = "none", **options: Unpack[MapOptions]) -> Tensor:
    """Common mass of two maps scaled to sum 1: 0..1, (B,).

    Parameters
    ----------
    a, b
        Forms of maps are those of `agreement`; not negative unless shifted.
    normalize : {"none", "minmax"}
        "minmax" first brings each map to 0..1, as the MIT saliency benchmark's code does [1]_.

    References
    ----------
    .. [1] Bylinskii et al., "What do different evaluation metrics tell us about saliency models?", TPAMI 41 (2019).
    """
    shift = check_choice("normalize", normalize, ("none", "minmax")) == "minmax"
    return _shares_compared("sim", a, b, options, lambda p, q: float(np.minimum(p, q).sum()), shift=shift)


def emd(a: Attributions, b: Attributions, **options: Unpack[MapOptions]) -> Tensor:
    """Earth mover's distance of two images scaled to sum 1: pixels, exact, (B,).

    Raises
    ------
    InputError
        More than 1024 pixels, several inputs, or a feature mask; fix for large maps: `resize_map`.
    """
    from scipy.stats import wasserstein_distance_nd

    def distance(x: ReadMap, y: ReadMap) -> float:
        if not (x.is_image and y.is_image) or len(x.values) > _MOST_FOR_EMD:
            raise InputError(
                f"emd compares images of at most {_MOST_FOR_EMD} pixels, maps (B, H, W) without feature_mask, got "
                f"{x.shapes}; fix: resize_map"
            )
        shares = [_shares(m.values, shift=False) for m in (x, y)]
        if any(s is None for s in shares):
            return np.nan
        places = np.indices(x.shapes[0]).reshape(2, -1).T
        return float(wasserstein_distance_nd(places, places, *shares))

    return _compared("emd", a, b, options, distance)


def _compared(
    function: str,
    a: Attributions,
    b: Attributions,
    options: MapOptions,
    measure: Callable[[ReadMap, ReadMap], float],
) -> Tensor:
    reading = MapReading.of(function, options)
    first, second = read_maps(a, reading), read_maps(b, reading)
    if len(first) != len(second):
        raise InputError(f"both arguments must hold as many examples, got {len(first)} and {len(second)}")
    found = []
    for x, y in zip(first, second, strict=True):
        if x is None or y is None:
            found.append(np.nan)
            continue
        if x.shapes != y.shapes:
            raise InputError(f"maps must have the same shapes, got {x.shapes} and {y.shapes}; fix: resize_map(b, size)")
        found.append(measure(x, y))
    return torch.tensor(found, dtype=torch.float64)


def _shares_compared(
    function: str,
    a: Attributions,
    b: Attributions,
    options: MapOptions,
    measure: Callable[[FloatArray, FloatArray], float],
    *,
    shift: bool = False,
) -> Tensor:
    def both(x: ReadMap, y: ReadMap) -> float:
        p, q = _shares(x.values, shift=shift), _shares(y.values, shift=shift)
        return np.nan if p is None or q is None else measure(p, q)

    return _compared(function, a, b, options, both)


def _shares(values: FloatArray, *, shift: bool) -> FloatArray | None:
    """Scaled to sum 1; None for a map without mass."""
    values, _ = scaled(values)
    if shift:
        values = values - values.min()
    if values.min() < 0:
        raise InputError("maps with negative values are no distributions; fix: maps.clamp(min=0) or maps.abs()")
    top = values.max()
    return None if top == 0 else np.asarray((values / top) / (values / top).sum())
