"""A run of IASSA: levels from coarse to fine on the inputs of one model."""

import math
import warnings
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from scipy.stats import spearmanr

from xai_ext._checks import InputError
from xai_ext._types import BoolArray, FloatArray
from xai_ext.explanation import Explanation
from xai_ext.game import MaskedModel
from xai_ext.methods._attention import Attended, Attention, calibrated, similarity
from xai_ext.methods._levels import (
    LevelMap,
    fewest,
    first_windows,
    fused,
    level_map,
    refining_windows,
    region,
    touching,
)
from xai_ext.methods._positions import Shape, position_labels
from xai_ext.methods._schedule import Level, Schedule
from xai_ext.methods._windows import Windows

NOTE = "not Shapley values: they need not sum to f(x) - f(baseline)"
_SATURATED = 0.01


class _Input:
    """One input of a tuple: its map so far."""

    def __init__(self, index: int, shape: Shape, schedule: Schedule) -> None:
        self.index, self.shape, self.schedule = index, shape, schedule
        self.known: dict[bytes, FloatArray] = {}
        self.values = self.std_error = np.zeros((*shape, 0))
        self.coarse = self.values, self.std_error  # of the first level
        self.refined: list[tuple[Level, BoolArray]] = []  # what the levels since have looked at
        self.last: tuple[BoolArray, FloatArray] | None = None
        self.records: list[dict[str, Any]] = []


class Run:
    """One call of `iassa`."""

    def __init__(
        self,
        masked: MaskedModel,
        shapes: tuple[Shape, ...],
        schedules: list[Schedule | None],
        budget: int,
        attention: Attention | None,
    ) -> None:
        self.masked, self.shapes, self.attention = masked, shapes, attention
        self.inputs = [_Input(i, s, p) for i, (s, p) in enumerate(zip(shapes, schedules, strict=True)) if p is not None]
        if attention is not None and len(self.inputs) != 1:
            raise InputError(f"attention needs one input, got {len(self.inputs)}; fix: attention=None")
        self.attended: Attended | None = None
        self.saturated = False
        # the activations cost an evaluation of their own when f(x) is known already
        extra = attention is not None and attention.source == "features" and "full_value" in vars(masked)
        self._features = self._similarity_before() if attention is not None else None
        self.full, self.base = masked.full_value, masked.base_value
        self.left = budget - 2 - extra
        self.planned = tuple(v.schedule.plan(v.shape, budget) for v in self.inputs) if len(self.inputs) == 1 else ()
        self.n_levels = max(len(v.schedule.levels) for v in self.inputs)

    def explained(self, tol: float | None) -> Explanation:
        """The map once every level is done, or one of the reasons to stop earlier holds."""
        return self._explanation(self._levels(self._limit(tol)))

    def _levels(self, limit: FloatArray | None) -> str:
        self._first()
        self.saturated = self._is_saturated()
        if self.saturated:
            warnings.warn(
                "hiding one window hardly changes f: explain log-odds or logits, or use larger windows", stacklevel=5
            )
        for level in range(1, self.n_levels):
            if self._within(limit):
                return "tol"
            stop = self._refine(level)
            if stop:
                return stop
        return "levels"

    def _limit(self, tol: float | None) -> FloatArray | None:
        if tol is None:
            return None
        scale = np.abs(self.full - self.base)
        if scale.all():
            return np.asarray(tol * scale)
        warnings.warn("f(x) equals f(baseline): tol has no scale and is ignored", stacklevel=5)
        return None

    def _within(self, limit: FloatArray | None) -> bool:
        return limit is not None and all((v.std_error <= limit).all() for v in self.inputs)

    def _first(self) -> None:
        share = max(v.schedule.first_share(self.left) for v in self.inputs if len(v.schedule.levels) == self.n_levels)
        for v, n in zip(self.inputs, self._shares(share), strict=True):
            level, windows = first_windows(v.schedule, v.shape, *n)
            drops = self._drops(v, windows)
            found = level_map(windows, drops, self.full, v.shape, v.schedule.estimator)
            v.values, v.std_error = v.coarse = found.values, found.std_error
            self._record(v, level, windows, found, np.zeros_like(found.values), np.ones(len(self.full)))
            self._attend(v, windows, drops)

    def _shares(self, share: int) -> list[tuple[int, int]]:
        """Windows of the first level that each input should and may have."""
        total = sum(math.prod(v.shape) for v in self.inputs)
        needs = [fewest(v.schedule, v.shape) for v in self.inputs]
        fair = [share * math.prod(v.shape) // total for v in self.inputs]
        if len(needs) == 1:
            return [(share, self.left)]
        if sum(needs) <= self.left:
            spare = max(0, share - sum(needs)) / max(1, sum(max(0, f - n) for f, n in zip(fair, needs, strict=True)))
            extra = (int(min(1.0, spare) * max(0, f - n)) for f, n in zip(fair, needs, strict=True))
            return [(n + e, n + e) for n, e in zip(needs, extra, strict=True)]
        most = [max(1, self.left * n // sum(needs)) for n in needs]
        if sum(most) > self.left:
            raise InputError(f"the first levels need {sum(needs)} evaluations and two more, got {self.left} and two")
        return [(m, m) for m in most]

    def _refine(self, level: int) -> str:
        """Run one level on all inputs; why there can be no more, or nothing."""
        active = [v for v in self.inputs if level < len(v.schedule.levels)]
        share = self.left // (self.n_levels - level)
        if share == 0:
            return "budget"
        steering = [(v, self.steering(v)) for v in active]
        regions = [(v, s, region(s, v.schedule)) for v, s in steering if np.ptp(s) or v.schedule.region_rule == "all"]
        regions = [r for r in regions if r[2].any()]
        if not regions:
            return "flat"
        total = sum(math.prod(v.shape) for v, _, _ in regions)
        for v, steer, where in regions:
            n = share * math.prod(v.shape) // total
            spent = self._complete(v, where, self._spare(v, level, where, n))
            before = v.values
            most = self.left if len(regions) == 1 else n - spent
            chosen = refining_windows(v.schedule.levels[level], steer, where, n - spent, most, v.schedule)
            if chosen is None:
                return "budget"
            if len(chosen[1]):
                found, gain = self._fuse(v, *chosen)
                v.refined.append((chosen[0], where))
                self._record(v, *chosen, found, before, gain, where)
        return ""

    def _fuse(self, v: _Input, level: Level, windows: Windows) -> tuple[LevelMap, FloatArray]:
        found = level_map(windows, self._drops(v, windows), self.full, v.shape, v.schedule.estimator)
        v.values, v.std_error, gain = fused(v.values, v.std_error, found, v.schedule)
        return found, gain

    def _spare(self, v: _Input, level: int, where: BoolArray, share: int) -> int:
        """What the levels before may take of a level's share: half of it, or what its fixed windows leave."""
        window, stride = v.schedule.levels[level].window, v.schedule.levels[level].stride
        return share // 2 if stride is None else share - len(touching(v.shape, window, stride, where, v.schedule))

    def _complete(self, v: _Input, where: BoolArray, most: int) -> int:
        """The levels before look at the region too, so that inside it all of them are blended; what that cost."""
        wider = [(level, seen | where) for level, seen in v.refined]
        windows = [touching(v.shape, e.window, e.stride or e.window, seen, v.schedule) for e, seen in wider]
        cost = sum(key not in v.known for w in windows for key in w.keys())
        if v.schedule.fusion == "replace" or not 0 < cost <= most:
            return 0
        (v.values, v.std_error), v.refined = v.coarse, wider
        for (level, _), w in zip(wider, windows, strict=True):
            self._fuse(v, level, w)
        return cost

    def _drops(self, v: _Input, windows: Windows) -> FloatArray:
        """f(x) minus the scores without the windows, (n, n_outputs); each extent is evaluated once."""
        keys = windows.keys()
        new = {key: i for i, key in reversed(list(enumerate(keys))) if key not in v.known}
        fresh = windows.chosen(np.sort(np.fromiter(new.values(), np.int64, len(new))))

        def keep(rows: slice) -> tuple[torch.Tensor, ...]:
            hidden = fresh.keep(rows, v.shape, self.masked.inputs[v.index].device)
            whole = torch.ones(len(hidden), dtype=torch.bool)
            return tuple(hidden if i == v.index else whole for i in range(len(self.masked.inputs)))

        scores = self.masked.evaluate(len(fresh), keep)
        self.left -= len(fresh)
        v.known.update(zip(fresh.keys(), self.full - scores, strict=True))
        return np.stack([v.known[key] for key in keys])

    def steering(self, v: _Input) -> FloatArray:
        """What the next region is found in."""
        if v.values.shape[-1] == 1:
            steer = v.values[..., 0]
        else:
            scale = np.abs(self.full - self.base)
            relative = np.maximum(v.values[..., scale > 0], 0) / scale[scale > 0]
            steer = relative.max(-1, initial=0.0)
        return self._mixed(steer)

    def _mixed(self, image: FloatArray) -> FloatArray:
        if self.attended is None or self.attention is None or self.attention.weight == 1:
            return image
        return self.attention.weight * image + (1 - self.attention.weight) * self.attended(image)

    def _similarity_before(self) -> FloatArray | None:
        """Features are seen while f(x) is computed."""
        nothing = Windows(np.zeros((0, 1), np.int64), np.zeros((0, 1), np.int64)), np.zeros((0, 1))
        if self.attention is None or self.attention.source != "features":
            return None
        return similarity(self.attention, self.masked, self.inputs[0].shape, nothing)

    def _attend(self, v: _Input, windows: Windows, drops: FloatArray) -> None:
        if self.attention is not None:
            found = self._features
            if found is None:
                found = similarity(self.attention, self.masked, v.shape, (windows, drops))
            self.attended = calibrated(found, self.attention.grid(v.shape), self.attention.neighbours)

    def _is_saturated(self) -> bool:
        largest = np.max([np.abs(v.values).max(tuple(range(len(v.shape)))) for v in self.inputs], 0)
        return bool((largest < _SATURATED * np.abs(self.full - self.base)).any())

    def _record(
        self, v: _Input, level: Level, windows: Windows, found: LevelMap, before: FloatArray, gain: FloatArray,
        where: BoolArray | None = None,
    ) -> None:  # fmt: skip
        where = np.ones(v.shape, bool) if where is None else where
        record = {
            "input": v.index, "window": level.window, "stride": level.stride, "n_windows": len(windows),
            "n_evals": self.masked.n_evals, "region": where, "region_fraction": float(where.mean()), "gain": gain,
            "coverage": (int(found.coverage.min()), int(found.coverage.max())),
            "before": before.astype(np.float32), "after": v.values.astype(np.float32),
            "spearman": float("nan"), "region_iou": float("nan"),
        }  # fmt: skip
        if v.last is not None and np.ptp(v.last[1]) and np.ptp(v.values):
            record["spearman"] = float(spearmanr(v.last[1].ravel(), v.values.ravel()).statistic)
            record["region_iou"] = float((v.last[0] & where).sum() / (v.last[0] | where).sum())
        v.last = (where, v.values)
        v.records.append(record)

    def _explanation(self, stop: str) -> Explanation:
        outputs = self.masked.output_shape
        smooth = self.attention is not None and self.attention.smooth_output
        maps = [np.stack([self._mixed(c) for c in np.moveaxis(v.values, -1, 0)], -1) if smooth else v.values
                for v in self.inputs]  # fmt: skip
        values, errors = (
            np.concatenate([a.reshape(-1, len(self.full)) for a in arrays]).reshape(-1, *outputs)
            for arrays in (maps, [v.std_error for v in self.inputs])
        )
        return Explanation(
            values, errors, position_labels(self.shapes), self.base.reshape(outputs), self.full.reshape(outputs),
            self.masked.n_evals, f"IASSA ({NOTE})", MappingProxyType(self._diagnostics(stop)),
        )  # fmt: skip

    def _diagnostics(self, stop: str) -> dict[str, Any]:
        return {
            "levels": tuple(MappingProxyType(r) for v in self.inputs for r in v.records),
            "stop": stop,
            "planned": self.planned,
            "n_effective": self.attended.n_effective if self.attended else None,
            "temperature": self.attended.temperature if self.attended else None,
            "saturated": self.saturated,
            "note": NOTE,
        }
