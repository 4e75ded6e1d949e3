"""What users of a host say about IASSA's windows and attention."""

from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from xai_ext._checks import InputError, check_at_least, check_choice
from xai_ext.methods._positions import Shape, has_geometry, spatial_shapes
from xai_ext.methods.iassa import Attention, Level, Schedule

_LEVELS, _SHRINK = 3, 0.7


@dataclass(frozen=True)
class WindowArguments:
    """Windows and strides in Captum's form, the arguments of one call; None is a default."""

    sliding_window_shapes: Any = None
    strides: Any = None
    levels: int | None = None
    shrink: float | None = None
    region: float | None = None
    spatial_dims: int | None = None

    def schedules(self, inputs: tuple[Tensor, ...], preset: str | None) -> tuple[tuple[Schedule, ...], int]:
        """One per input, and with a preset the evaluations that they need at most, else 0."""
        shapes = spatial_shapes(inputs, self.spatial_dims)
        if preset is not None:
            self._refuse_with_preset()
            made = tuple(Schedule.paper(shape) for shape in shapes)
            # one more where the activations are computed apart from f(x)
            return made, 3 + sum(s.cost_bound(shape) for s, shape in zip(made, shapes, strict=True))
        given = _per_input("sliding_window_shapes", self.sliding_window_shapes, len(inputs))
        steps = _per_input("strides", self.strides, len(inputs))
        return tuple(self._schedule(*v) for v in zip(inputs, shapes, given, steps, strict=True)), 0

    def _schedule(self, x: Tensor, shape: Shape, window: Any, stride: Any) -> Schedule:
        if not has_geometry(x, self.spatial_dims):
            return Schedule((Level((1,) * len(shape)),))  # each scalar is hidden once, whatever is said here
        shrink = _SHRINK if self.shrink is None else self.shrink
        n_levels = _LEVELS if self.levels is None else check_at_least("levels", self.levels, 1)
        schedule = Schedule.geometric(shape, shrink=shrink, levels=n_levels)
        if self.region is not None:
            schedule = replace(schedule, region=self.region)
        first = schedule.levels[0].window if window is None else _spatial("sliding_window_shapes", window, x, shape)
        step = None if stride is None else _stride(stride, x, shape)
        if window is None and step is None:
            return schedule
        finer = (Level(tuple(max(1, round(w * shrink**i)) for w in first)) for i in range(1, n_levels))
        return replace(schedule, levels=(Level(first, step), *finer), grows=False)

    def _refuse_with_preset(self) -> None:
        given = [n for n, v in vars(self).items() if v is not None and n != "spatial_dims"]
        if given:
            raise InputError(f"preset fixes windows, levels and region, got {', '.join(given)} too; fix: leave one out")


def named_attention(attention: Any, preset: str | None) -> Attention | None:
    """The attention that a host's user asks for: nothing, a source, or all of its settings."""
    if preset is not None:
        check_choice("preset", preset, ("paper",))
        attention = "features" if attention is None else attention
    return attention if attention is None or isinstance(attention, Attention) else Attention(attention)


def _per_input(name: str, given: Any, n: int) -> tuple[Any, ...]:
    """Captum's rule: a tuple of numbers is for a single input, else one entry per input."""
    nested = isinstance(given, tuple) and (n > 1 or any(isinstance(g, tuple) for g in given))
    entries = given if nested else (given,) * n
    if len(entries) != n:
        raise InputError(f"{name} must hold one entry per input ({n}), got {len(entries)}")
    return entries


def _spatial(name: str, given: Any, x: Tensor, shape: Shape) -> Shape:
    """The spatial part of extents (C, *spatial)."""
    extents = tuple(given) if isinstance(given, tuple) else (given,)
    channels = tuple(x.shape[1 : x.dim() - len(shape)])
    if len(extents) != len(channels) + len(shape):
        raise InputError(f"{name} must hold one number for each of the dimensions {tuple(x.shape[1:])}, got {given}")
    if name == "sliding_window_shapes" and extents[: len(channels)] != channels:
        raise InputError(f"IASSA hides all channels of a position: {name} must begin with {channels}, got {given}")
    return extents[len(channels) :]


def _stride(given: Any, x: Tensor, shape: Shape) -> Shape:
    return (given,) * len(shape) if isinstance(given, int) else _spatial("strides", given, x, shape)
