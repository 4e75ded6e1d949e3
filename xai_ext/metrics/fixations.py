"""Maps against the places where people looked."""

from collections.abc import Callable
from typing import Any, Unpack

import numpy as np
import torch
from torch import Tensor

from xai_ext._checks import InputError, check_choice
from xai_ext._types import BoolArray, FloatArray
from xai_ext.metrics._adapt import Attributions
from xai_ext.metrics._maps import MapOptions, MapReading, read_maps
from xai_ext.metrics._ranking import scaled
from xai_ext.metrics._scenes import as_masks


def nss(attributions: Attributions, fixations: Any, *, ddof: int = 1, **options: Unpack[MapOptions]) -> Tensor:
    """Mean z-score of a map at fixated positions, (B,).

    Parameters
    ----------
    attributions
        Forms of maps are those of `agreement`.
    fixations : bool or 0/1 array (B, *spatial)
    ddof : {0, 1}
        Of the standard deviation.

    Returns
    -------
    float64 Tensor (B,)
        Higher is better. NaN for a constant map and without a fixation.
    """
    check_choice("ddof", str(ddof), ("0", "1"))

    def mean_score(values: FloatArray, fixated: BoolArray) -> float:
        if values.min() == values.max():
            return np.nan
        values, _ = scaled(values)
        return float((values[fixated].mean() - values.mean()) / values.std(ddof=ddof))

    return _fixated("nss", attributions, fixations, options, mean_score)


def auc_judd(attributions: Attributions, fixations: Any, **options: Unpack[MapOptions]) -> Tensor:
    """Area under the curve of fixated against other positions, thresholds at fixated values only, (B,).

    Parameters are those of `nss`. No noise is added; tied positions count together: .5 for a constant map.

    Returns
    -------
    float64 Tensor (B,)
        0..1, higher is better; NaN without a fixation, and where every position is fixated.
    """

    def area(values: FloatArray, fixated: BoolArray) -> float:
        n_fixated = int(fixated.sum())
        if n_fixated == len(values):
            return np.nan
        ascending = np.sort(values[fixated])
        levels = ascending[::-1]
        above, hit = (len(v) - np.searchsorted(v, levels, side="left") for v in (np.sort(values), ascending))
        false = (above - hit) / (len(values) - n_fixated)
        hits = np.concatenate([[0.0], hit / n_fixated, [1.0]])
        return float(np.trapezoid(hits, np.concatenate([[0.0], false, [1.0]])))

    return _fixated("auc_judd", attributions, fixations, options, area)


def _fixated(
    function: str,
    attributions: Attributions,
    fixations: Any,
    options: MapOptions,
    measure: Callable[[FloatArray, BoolArray], float],
) -> Tensor:
    maps, marks = read_maps(attributions, MapReading.of(function, options)), as_masks("fixations", fixations)
    if options.get("feature_mask") is not None:
        raise InputError(f"{function} reads maps at fixated positions, not at regions; fix: leave out feature_mask")
    if len(maps) != len(marks) or any(m is not None and m.shapes != (marks.shape[1:],) for m in maps):
        raise InputError(f"fixations must have the shape of the maps, got {marks.shape}; fix: resize_map")
    found = [
        np.nan if m is None or not marked.any() else measure(m.values, marked.ravel())
        for m, marked in zip(maps, marks, strict=True)
    ]
    return torch.tensor(found, dtype=torch.float64)
