"""Rules that turn a map into a predicted region.

A rule is a frozen dataclass with ``inclusion(values, mask)``: the probability, mostly 0 or 1, with which each position
is predicted. `label_aware` rules look at the mask.
"""

from dataclasses import dataclass
from typing import ClassVar, Protocol

import numpy as np

from xai_ext._checks import InputError, InputTypeError, check_at_least
from xai_ext._types import BoolArray, FloatArray
from xai_ext.metrics._ranking import inclusion_probability, scaled

__all__ = [
    "Absolute", "FractionOfMax", "MaskArea", "MassFraction", "Mean", "Otsu", "RangeFraction", "Threshold",
    "TopFraction", "TopK",
]  # fmt: skip


class Threshold(Protocol):
    """What every rule offers."""

    label_aware: ClassVar[bool]

    def inclusion(self, values: FloatArray, mask: BoolArray) -> FloatArray:
        """Probability (N,) that each position belongs to the prediction, from values and mask (N,)."""
        ...


@dataclass(frozen=True)
class FractionOfMax:
    """Positive positions with at least ``fraction`` of the maximum; none where nothing is positive."""

    label_aware: ClassVar[bool] = False
    fraction: float

    def __post_init__(self) -> None:
        _check_fraction(self.fraction)

    def inclusion(self, values: FloatArray, mask: BoolArray) -> FloatArray:
        """See `Threshold`."""
        return _as_float((values >= self.fraction * values.max()) & (values > 0))


@dataclass(frozen=True)
class RangeFraction:
    """Positions above the minimum by more than ``fraction`` of the range; none of a constant map.

    IASSA's region is ``RangeFraction(0.3)``. On signed maps the minimum is far below 0 and the region large.
    """

    label_aware: ClassVar[bool] = False
    fraction: float

    def __post_init__(self) -> None:
        _check_fraction(self.fraction)

    def inclusion(self, values: FloatArray, mask: BoolArray) -> FloatArray:
        """See `Threshold`."""
        level, _ = scaled(values)
        low, high = level.min(), level.max()
        return _as_float(level > low + self.fraction * (high - low))


@dataclass(frozen=True)
class Mean:
    """Positions at or above the mean: all of a constant map."""

    label_aware: ClassVar[bool] = False

    def inclusion(self, values: FloatArray, mask: BoolArray) -> FloatArray:
        """See `Threshold`."""
        level, _ = scaled(values)
        return _as_float(level >= min(level.mean(), level.max()))  # a rounded mean can exceed the maximum


@dataclass(frozen=True)
class Otsu:
    """Positions above Otsu's threshold (scikit-image, 256 bins); none of a constant map."""

    label_aware: ClassVar[bool] = False

    def inclusion(self, values: FloatArray, mask: BoolArray) -> FloatArray:
        """See `Threshold`."""
        return _as_float(values > self.level(values))

    def level(self, values: FloatArray) -> float:
        """The threshold: the centre of the last of 256 bins that stay below it."""
        from skimage.filters import threshold_otsu

        level, exponent = scaled(values)
        try:
            return float(np.ldexp(threshold_otsu(level), exponent))
        except ValueError:  # too few numbers lie between such neighbours for 256 bins: from 0 there are enough
            low = values.min()
            return float(low + self.level(values - low))


@dataclass(frozen=True)
class Absolute:
    """Positions at or above ``level``."""

    label_aware: ClassVar[bool] = False
    level: float

    def inclusion(self, values: FloatArray, mask: BoolArray) -> FloatArray:
        """See `Threshold`."""
        return _as_float(values >= self.level)


@dataclass(frozen=True)
class TopFraction:
    """The highest ``fraction`` of the positions, rounded, at least one; ties are shared evenly."""

    label_aware: ClassVar[bool] = False
    fraction: float

    def __post_init__(self) -> None:
        _check_fraction(self.fraction)

    def inclusion(self, values: FloatArray, mask: BoolArray) -> FloatArray:
        """See `Threshold`."""
        return inclusion_probability(values, max(1, int(self.fraction * len(values) + 0.5)))


@dataclass(frozen=True)
class TopK:
    """The ``k`` highest positions; ties are shared evenly."""

    label_aware: ClassVar[bool] = False
    k: int

    def __post_init__(self) -> None:
        check_at_least("k", self.k, 1)

    def inclusion(self, values: FloatArray, mask: BoolArray) -> FloatArray:
        """See `Threshold`."""
        return inclusion_probability(values, self.k)


@dataclass(frozen=True)
class MaskArea:
    """As many of the highest positions as the object has; ties are shared evenly. It looks at the truth."""

    label_aware: ClassVar[bool] = True

    def inclusion(self, values: FloatArray, mask: BoolArray) -> FloatArray:
        """See `Threshold`."""
        return inclusion_probability(values, int(mask.sum()))


def check_threshold(threshold: Threshold) -> Threshold:
    """``threshold`` if it is a rule."""
    if isinstance(threshold, type) or not hasattr(threshold, "inclusion"):
        raise InputTypeError(
            f"threshold must be a rule of xai_ext.metrics.thresholds, such as FractionOfMax(0.5) or Otsu(), got "
            f"{threshold!r}"
        )
    return threshold


@dataclass(frozen=True)
class MassFraction:
    """The fewest highest positions that hold a ``fraction`` of the positive mass, whole groups of ties."""

    label_aware: ClassVar[bool] = False
    fraction: float = 0.8

    def __post_init__(self) -> None:
        if not 0 < self.fraction <= 1:
            raise InputError(f"fraction must lie in (0, 1], got {self.fraction!r}")

    def inclusion(self, values: FloatArray, mask: BoolArray) -> FloatArray:
        """See `Threshold`; nothing where no value is positive."""
        positive = np.maximum(scaled(values)[0], 0.0)
        levels, group = np.unique(positive, return_inverse=True)
        mass = np.cumsum((levels * np.bincount(group))[::-1])
        if mass[-1] == 0:
            return np.zeros(len(values))
        needed = int(np.searchsorted(mass, self.fraction * mass[-1] * (1 - 1e-12)))  # a rounded sum must not miss
        return (group >= len(levels) - 1 - needed).astype(np.float64)


def _check_fraction(fraction: float) -> None:
    if not 0 <= fraction <= 1:
        raise InputError(f"fraction must be between 0 and 1, got {fraction!r}")


def _as_float(predicted: BoolArray) -> FloatArray:
    return predicted.astype(np.float64)
