"""One level of IASSA on one input: a map from the drops of the score, its error, and its fusion with the map before."""

import warnings
from dataclasses import dataclass

import numpy as np

from xai_ext._types import BoolArray, FloatArray
from xai_ext.methods._positions import Shape
from xai_ext.methods._schedule import Level, Schedule
from xai_ext.methods._windows import Windows, all_windows, box_sums, count_windows, painted, strides


@dataclass(frozen=True, eq=False)
class LevelMap:
    """Values and errors (*spatial, n_outputs) where `covered`, (*spatial)."""

    values: FloatArray
    std_error: FloatArray
    covered: BoolArray
    coverage: FloatArray


def level_map(windows: Windows, drops: FloatArray, full_value: FloatArray, shape: Shape, estimator: str) -> LevelMap:
    """What windows with drops (n, n_outputs) say about each position."""
    n = drops.shape[1]
    sums = painted(windows, np.concatenate([drops, drops**2, np.ones((len(drops), 1))], 1), shape)
    coverage = np.rint(sums[..., -1:])
    covered = coverage > 0
    count = np.where(covered, coverage, 1)
    values = np.where(covered, sums[..., :n] / count, 0.0)
    std_error = _placement_error(values, sums[..., n : 2 * n] / count, coverage)
    if estimator == "published":
        kept = len(windows) - coverage.mean()  # sum of the masks' means
        scores = (full_value - drops).sum(0) - (full_value * coverage - sums[..., :n])
        return LevelMap(scores / kept, std_error * coverage / kept, np.ones(shape, bool), coverage[..., 0])
    return LevelMap(values, std_error, covered[..., 0], coverage[..., 0])


def _placement_error(mean: FloatArray, square: FloatArray, coverage: FloatArray) -> FloatArray:
    """Error of a mean over few places of a window; where only one was seen, the largest of the others."""
    several = coverage > 1
    error = np.sqrt(np.maximum(square - mean**2, 0) / np.where(several, coverage - 1, 1))
    largest = np.max(error, axis=tuple(range(mean.ndim - 1)), where=several, initial=-1.0)
    largest = np.where(largest < 0, np.nan, largest)
    return np.where(several, error, np.broadcast_to(largest, error.shape))


def fused(
    values: FloatArray, std_error: FloatArray, level: LevelMap, schedule: Schedule
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """The new map, its error, and the factor that brings the level onto the old map's scale."""
    where = level.covered[..., None]
    if schedule.fusion == "replace":
        return (
            np.where(where, level.values, values), np.where(where, level.std_error, std_error),
            np.ones(values.shape[-1]),
        )  # fmt: skip
    gain = _gain(values, level, schedule.region)
    blended = (values + gain * level.values) / 2
    error = np.sqrt(std_error**2 + (gain * level.std_error) ** 2) / 2
    return np.where(where, blended, values), np.where(where, error, std_error), gain


def _gain(values: FloatArray, level: LevelMap, share: float) -> FloatArray:
    """Ratio of the means where the old map is largest: over all positions they may cancel; 1 if either is negative."""
    top = (values >= np.quantile(values, 1 - share, axis=tuple(range(values.ndim - 1)))) & level.covered[..., None]
    old, new = (np.where(top, a, 0).reshape(-1, a.shape[-1]).sum(0) for a in (values, level.values))
    usable = (old > 0) & (new > 0)
    return np.where(usable, np.clip(np.divide(old, new, out=np.ones_like(old), where=usable), 0.1, 10), 1.0)


def region(steering: FloatArray, schedule: Schedule) -> BoolArray:
    """Where the next level looks."""
    if schedule.region_rule == "all":
        return np.ones(steering.shape, bool)
    if schedule.region_rule == "range":
        low, high = steering.min(), steering.max()
        return np.asarray(steering > low + schedule.region * (high - low))
    k = int(np.ceil(schedule.region * steering.size))
    threshold = np.partition(steering.ravel(), -k)[-k]
    return np.asarray((steering >= threshold) & (steering > 0))


def refining_windows(
    level: Level, steering: FloatArray, where: BoolArray, share: int, most: int, schedule: Schedule
) -> tuple[Level, Windows] | None:
    """The windows of a level that touch the region; None if a fixed stride needs more than `most`."""
    shape = steering.shape
    if level.stride is not None:
        windows = touching(shape, level.window, level.stride, where, schedule)
        return (level, windows) if len(windows) <= most else None
    for stride in strides(level.window):
        windows = touching(shape, level.window, stride, where, schedule)
        if len(windows) <= share:
            return Level(level.window, stride), windows
    weight = box_sums(np.where(where, np.maximum(steering, 0), 0), windows)
    best = np.sort(np.argsort(-weight, kind="stable")[:share])
    return Level(level.window, level.window), windows.chosen(best)


def touching(shape: Shape, window: Shape, stride: Shape, where: BoolArray, schedule: Schedule) -> Windows:
    """The windows of a grid that hide something of the region."""
    windows = all_windows(shape, window, stride, schedule.grid)
    if where.all():
        return windows
    return windows.chosen(box_sums(where.astype(np.float64), windows) > 0.5)


def first_windows(schedule: Schedule, shape: Shape, share: int, most: int) -> tuple[Level, Windows]:
    """The windows of the first level, everywhere."""
    level, _ = schedule.first(shape, share, most)
    if level.window != schedule.levels[0].window:
        warnings.warn(
            f"the budget is too small for windows of {schedule.levels[0].window} positions: {level.window} are used",
            stacklevel=6,
        )
    return level, all_windows(shape, level.window, level.stride or level.window, schedule.grid)


def fewest(schedule: Schedule, shape: Shape) -> int:
    """Windows of the first level that cover every position."""
    level = schedule.levels[0]
    return count_windows(shape, level.window, level.stride or level.window, schedule.grid)
