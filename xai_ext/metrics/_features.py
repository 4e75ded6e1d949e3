"""What is removed as one: single positions, or the regions of a feature mask."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from xai_ext._checks import InputError
from xai_ext._types import BoolArray, FloatArray, IntArray
from xai_ext.metrics._adapt import Grid
from xai_ext.metrics._ranking import Order, removal_order
from xai_ext.segmentation import relabelled


@dataclass(frozen=True, eq=False)
class Regions:
    """A partition of N positions: ``labels`` (N,) holds the region, 0..n-1, of each."""

    labels: IntArray

    @cached_property
    def sizes(self) -> IntArray:
        """Positions of each region."""
        return np.bincount(self.labels)

    def means(self, positions: FloatArray) -> FloatArray:
        """Mean of each region: exactly its value where it is constant, so that equal regions stay tied."""
        member = np.zeros(len(self.sizes), np.int64)
        member[self.labels] = np.arange(len(self.labels))
        level = positions[member]
        with np.errstate(over="ignore", invalid="ignore"):  # a sum that is too large is no number
            excess = np.bincount(self.labels, weights=positions - level[self.labels])
            return np.asarray(level + excess / self.sizes)


@dataclass(frozen=True, eq=False)
class Features:
    """What one example's curve removes as one: the positions of its inputs, or regions of them."""

    grids: tuple[Grid, ...]
    regions: Regions | None = None

    def values(self, positions: FloatArray, *, is_density: bool, per_position: bool) -> FloatArray:
        """One value per feature: the sum over its positions, or their mean when the map is no density.

        ``per_position`` divides it by the number of positions.
        """
        if self.regions is None:
            return positions
        means = self.regions.means(positions)
        if is_density == per_position:
            return means
        with np.errstate(over="ignore"):
            return means * self.regions.sizes if is_density else means / self.regions.sizes

    def order(
        self, values: FloatArray, ties: str, *, per_position: bool, rng: np.random.Generator | None = None
    ) -> Order:
        """The order of removal; it counts positions, or else features."""
        sizes = self.regions.sizes if self.regions is not None and per_position else None
        return removal_order(values, ties, sizes, rng)

    def keep(self, features: BoolArray, devices: list[torch.device]) -> tuple[Tensor, ...]:
        """Masks of rows of features (k, n), one bool tensor (k, ...) per input that broadcasts to its channels."""
        flat = features if self.regions is None else features[:, self.regions.labels]
        shapes = [grid.mask_shape for grid in self.grids]
        parts = np.split(flat, np.cumsum([np.prod(shape, dtype=int) for shape in shapes])[:-1], axis=1)
        return tuple(
            torch.from_numpy(np.ascontiguousarray(p)).reshape(len(flat), *s).to(d)
            for p, s, d in zip(parts, shapes, devices, strict=True)
        )

    def players(self, steps: IntArray, devices: list[torch.device]) -> tuple[Tensor, ...]:
        """The step at which each position moves, from that of its feature: one tensor per input."""
        flat = steps if self.regions is None else steps[self.regions.labels]
        parts = np.split(flat, np.cumsum([np.prod(grid.shape, dtype=int) for grid in self.grids])[:-1])
        # without its axis of size 1 a leading channel costs nothing
        shapes = [grid.shape if grid.channel_axis == 0 else grid.mask_shape for grid in self.grids]
        return tuple(torch.from_numpy(p.reshape(s)).to(d) for p, s, d in zip(parts, shapes, devices, strict=True))


def features_of(labels: tuple[Tensor, ...] | None, grids: tuple[Grid, ...]) -> Features:
    """The features of one example; equal ids in two inputs are one feature."""
    if labels is None:
        return Features(grids)
    flat = [_on_positions(a[0].cpu(), grid) for a, grid in zip(labels, grids, strict=True)]
    return Features(grids, Regions(relabelled(np.concatenate(flat))))


def _on_positions(labels: Tensor, grid: Grid) -> IntArray:
    axis = grid.channel_axis
    if axis is not None:
        if bool((labels != labels.narrow(axis, 0, 1)).any()):
            raise InputError(
                "feature_mask must be the same for all channels, which are removed together; fix: "
                "feature_mask[:, :1], or Protocol(channel_dim=None) to remove single elements"
            )
        labels = labels.select(axis, 0)
    return np.asarray(labels.expand(grid.shape).reshape(-1).numpy())
