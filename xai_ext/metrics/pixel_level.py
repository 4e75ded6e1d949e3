"""Scores per pixel of a map's region: a published row of tables, for reproduction only."""

import numpy as np
import torch
from torch import Tensor

from xai_ext._checks import InputError, check_choice
from xai_ext.metrics._adapt import Attributions
from xai_ext.metrics._maps import MapReading, vectors
from xai_ext.metrics.thresholds import RangeFraction, Threshold, check_threshold

_REGION = RangeFraction(0.3)


def pixel_level(
    values: Tensor, attributions: Attributions, region: Threshold = _REGION, unit: str = "per_pixel"
) -> Tensor:
    """Values of a metric divided by the size of each map's region.

    It rewards small regions and turns deletion around, for which higher is then better. The published row [1]_ has no
    published definition: this reading is inferred from the ratio of two rows of its table. Reproduction only.

    Parameters
    ----------
    values : Tensor (B,)
        Of any metric at the level of images.
    attributions : Tensor, array, shap.Explanation or Explanation(s)
        The B maps.
    region : Threshold
        What makes a map a region.
    unit : {"per_pixel", "per_fraction"}
        Divide by the number of pixels, or by their share of the image.

    Returns
    -------
    float64 Tensor (B,)
        NaN for an empty region and for a map that is not finite.

    References
    ----------
    .. [1] Vasu, Long, "Iterative and adaptive sampling with spatial attention for black-box model explanations",
       WACV 2020, table 1.
    """
    check_choice("unit", unit, ("per_pixel", "per_fraction"))
    maps = vectors(attributions, MapReading())
    if len(maps) != len(values):
        raise InputError(f"there must be one map per value ({len(values)}), got {len(maps)}")
    rule = check_threshold(region)
    sizes = []
    for a in maps:
        size = np.nan if a is None else float(rule.inclusion(a, np.zeros(len(a), np.bool_)).sum()) or np.nan
        sizes.append(size / len(a) if unit == "per_fraction" and a is not None else size)
    return values.detach().cpu().double() / torch.tensor(sizes, dtype=torch.float64)
