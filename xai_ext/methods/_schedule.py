"""Which windows IASSA hides, and what that costs: known before the model is called."""

from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from xai_ext._checks import InputError, check_at_least, check_choice
from xai_ext.methods._positions import Shape
from xai_ext.methods._windows import Grid, count_windows, strides

_FIRST_SHARE = 0.3  # of the budget, for the coarse map


@dataclass(frozen=True)
class Level:
    """One size of windows.

    Parameters
    ----------
    window : tuple of int
        Extent per axis.
    stride : tuple of int, optional
        None: the densest one that the budget allows.
    """

    window: tuple[int, ...]
    stride: tuple[int, ...] | None = None


class LevelPlan(NamedTuple):
    """A level's cost, at most; the stride is None where it depends on what earlier levels find."""

    window: tuple[int, ...]
    stride: tuple[int, ...] | None
    max_windows: int


@dataclass(frozen=True)
class Schedule:
    """From coarse windows everywhere to fine ones where it matters.

    Parameters
    ----------
    levels : tuple of Level
    region : float in (0, 1]
        Share of positions that the next level looks at ("top"), or of the range of the map ("range").
    region_rule : {"top", "range", "all"}
        The positions of the largest positive values; those above min + region (max - min); all.
    fusion : {"blend", "replace"}
        Mean of the maps, on one scale; or the finer one alone, where it was computed.
    grid : {"occlusion", "overhang"}
        Captum's grid; or one that begins outside of the border, the published one.
    estimator : {"drop", "published"}
        Mean drop of the score over the windows that cover a position; or what the published program computes.
    grows : bool
        May the first window grow when the budget is too small for it? Else that is an error.
    """

    levels: tuple[Level, ...]
    region: float = 0.25
    region_rule: Literal["top", "range", "all"] = "top"
    fusion: Literal["blend", "replace"] = "blend"
    grid: Grid = "occlusion"
    estimator: Literal["drop", "published"] = "drop"
    grows: bool = False

    def __post_init__(self) -> None:
        check_at_least("levels", len(self.levels), 1)
        if not 0 < self.region <= 1:
            raise InputError(f"region must lie in (0, 1], got {self.region}")
        check_choice("region_rule", self.region_rule, ("top", "range", "all"))
        check_choice("fusion", self.fusion, ("blend", "replace"))
        check_choice("grid", self.grid, ("occlusion", "overhang"))
        check_choice("estimator", self.estimator, ("drop", "published"))

    @classmethod
    def geometric(cls, spatial: Shape, start: float = 0.2, shrink: float = 0.7, levels: int = 3) -> "Schedule":
        """Windows of `start` times the shortest side, each level `shrink` times the one before."""
        check_at_least("levels", levels, 1)
        for name, value in (("start", start), ("shrink", shrink)):
            if not 0 < value < 1:
                raise InputError(f"{name} must lie strictly between 0 and 1, got {value}")
        first = max(1, round(start * min(spatial)))
        sizes = (max(1, round(first * shrink**i)) for i in range(levels))
        return cls(tuple(Level((size,) * len(spatial)) for size in sizes), grows=True)

    @classmethod
    def paper(cls, spatial: Shape, iterations: int = 5) -> "Schedule":
        """The published windows, strides, region and fusion [1]_."""
        ratio = min(spatial) / 224
        windows = [45.0, *(45 - 1.5 * n for n in range(1, iterations + 1))]
        steps = [8.0, *(8 - 0.2 * (n - 1) for n in range(1, iterations + 1))]
        levels = []
        for window, step in zip(windows, steps, strict=True):
            w, s = (max(1, int(np.floor(v * ratio + 1e-9))) for v in (window, step))
            levels.append(Level((w,) * len(spatial), (min(s, w),) * len(spatial)))
        return cls(tuple(levels), region=0.3, region_rule="range", fusion="replace", grid="overhang")

    def plan(self, spatial: Shape, budget: int) -> tuple[LevelPlan, ...]:
        """At most this many windows per level, for a budget of model evaluations; no model is called."""
        self.check(spatial)
        left = budget - 2
        level, first = self.first(spatial, self.first_share(left), left)
        plans, left = [LevelPlan(level.window, level.stride, first)], left - first
        for later in self.levels[1:]:
            dense = count_windows(spatial, later.window, later.stride or (1,) * len(spatial), self.grid)
            # what a level in between does not need moves on
            share = left if len(plans) > 1 or later.stride else left // (len(self.levels) - 1)
            plans.append(LevelPlan(later.window, later.stride, min(dense, share)))
        return tuple(plans)

    def cost_bound(self, spatial: Shape) -> int:
        """Windows of all levels, everywhere; of a level without a stride: at stride 1."""
        ones = (1,) * len(spatial)
        return sum(count_windows(spatial, v.window, v.stride or ones, self.grid) for v in self.levels)

    def first_share(self, evaluations: int) -> int:
        """What the first level gets of them."""
        return evaluations if len(self.levels) == 1 else int(_FIRST_SHARE * evaluations)

    def first(self, spatial: Shape, share: int, most: int) -> tuple[Level, int]:
        """The first level with its stride, and its number of windows: within `share` if possible, never over `most`."""
        level = self.levels[0]
        if level.stride is not None:
            needed = count_windows(spatial, level.window, level.stride, self.grid)
            return (level, needed) if needed <= most else self._refuse(needed)
        needed = count_windows(spatial, level.window, level.window, self.grid)
        if needed > most and not self.grows:
            self._refuse(needed)
        return self._grown(level.window, spatial, max(share, needed) if needed <= most else most)

    def check(self, spatial: Shape) -> None:
        """Windows fit into the positions, strides into the windows."""
        for level in self.levels:
            stride = level.stride or level.window
            if len(level.window) != len(spatial) or len(stride) != len(spatial):
                raise InputError(f"windows and strides need one number for each of the axes {spatial}, got {level}")
            for n, w, s in zip(spatial, level.window, stride, strict=True):
                if not 1 <= s <= w <= n:
                    raise InputError(f"1 <= stride <= window <= side must hold, got {s}, {w}, {n} in {level}")

    def _grown(self, window: Shape, spatial: Shape, share: int) -> tuple[Level, int]:
        """The densest stride within the share; the smallest larger window if there is none."""
        for size in range(max(window), max(spatial) + 1):
            larger = tuple(min(n, max(w, size)) for n, w in zip(spatial, window, strict=True))
            if size == max(window):
                larger = window
            for stride in strides(larger):
                n = count_windows(spatial, larger, stride, self.grid)
                if n <= share:
                    return Level(larger, stride), n
        return self._refuse(1)

    def _refuse(self, needed: int) -> tuple[Level, int]:
        raise InputError(
            f"the first level needs {needed} evaluations and two for f(x) and f(baseline); fix: a budget of at least "
            f"{needed + 2}, or larger windows or strides"
        )
