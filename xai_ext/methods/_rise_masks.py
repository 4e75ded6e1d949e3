"""RISE's random masks: smooth ones on a grid, hard ones on regions."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from xai_ext._checks import InputError, check_at_least
from xai_ext._types import BoolArray, FloatArray, IntArray
from xai_ext.game import Game, MaskedModel
from xai_ext.methods._cells import Axis, interpolated, pooled, pushed, separate, upsampled
from xai_ext.methods._positions import Shape, has_geometry, position_labels, spatial_shapes
from xai_ext.samplers.antithetic import Antithetic
from xai_ext.samplers.bernoulli import Bernoulli
from xai_ext.samplers.foldover import Foldover

BLOCK = 64  # masks drawn at once, whatever the batch
_DESIGN = 16 * BLOCK  # masks whose pairs are told apart; the first of them do not depend on how many follow
_DEFAULT_CELLS = 49


@dataclass(frozen=True, eq=False)
class Block:
    """Masks of some evaluations.

    Attributes
    ----------
    keep : tuple of Tensor (k, *spatial), one per input
    positions : Tensor (k, n_positions) float32
        What the values belong to, of all inputs.
    features : array (k, n_features)
        Pooled masks, centred at the keep probability.
    """

    keep: tuple[Tensor, ...]
    positions: tuple[Tensor, ...]
    features: FloatArray

    def first(self, size: int) -> "Block":
        keep, positions = (tuple(t[:size] for t in tensors) for tensors in (self.keep, self.positions))
        return Block(keep, positions, self.features[:size])


class Law(Protocol):
    """How masks are drawn, and their moments in closed form.

    Attributes
    ----------
    labels : tuple of int64 arrays, one per input
    keep_probability : float
    n_cells : int
        Independent bits of one mask.
    n_features : int
    relative_variance : array (n_positions,)
        Variance of each position, divided by that of a bit.
    cells : Any
        For the diagnostics.
    are_hard : bool
        Are the positions the bits?
    """

    labels: tuple[IntArray, ...]
    keep_probability: float
    n_cells: int
    n_features: int
    relative_variance: FloatArray
    cells: Any
    are_hard: bool

    def blocks(self, rng: np.random.Generator, *, pairs: bool = False) -> Iterator[Block]:
        """Endless blocks of `BLOCK` masks.

        In pairs, which take a keep probability of 1/2, each mask is followed by its complement, and of smooth masks the
        bits of a pair are nearly orthogonal to those of the pairs before it.
        """
        ...

    def block(self, bits: BoolArray) -> Block:
        """The masks of these bits (k, n_cells); only for hard masks."""
        ...

    def push(self, coefficients: FloatArray) -> FloatArray:
        """Covariance of positions and features, in units of a bit's: (k, n_features) -> (k, n_positions)."""
        ...


def _check_probability(p: float) -> None:
    if not 0 < p < 1:
        raise InputError(f"keep_probability must lie strictly between 0 and 1, got {p}")


@dataclass(frozen=True)
class GridMasks:
    """Random cells, upsampled bilinearly and shifted at random: the published masks of RISE.

    Parameters
    ----------
    cells : int or tuple of int, optional
        Cells per axis. None: about 49 in all (7 x 7 for an image).
    keep_probability : float in (0, 1)
        Of a cell.
    spatial_dims : int, optional
        The last so many dimensions are positions, those between the batch and them are channels. None: all
        from dimension 2 on; the scalars of an input (1, F) are masked independently.
    """

    cells: int | tuple[int, ...] | None = None
    keep_probability: float = 0.5
    spatial_dims: int | None = None

    def __post_init__(self) -> None:
        _check_probability(self.keep_probability)

    def law(self, masked: MaskedModel) -> Law:
        """The masks of these inputs."""
        shapes = spatial_shapes(masked.inputs, self.spatial_dims)
        axes = tuple(
            self._axes(shape) if has_geometry(x, self.spatial_dims) else tuple(separate(n) for n in shape)
            for x, shape in zip(masked.inputs, shapes, strict=True)
        )
        return _GridLaw(axes, shapes, self.keep_probability, tuple(x.device for x in masked.inputs))

    def _axes(self, shape: Shape) -> tuple[Axis, ...]:
        cells: tuple[int, ...]
        if self.cells is None:
            cells = tuple(min(n, round(_DEFAULT_CELLS ** (1 / len(shape)))) for n in shape)
        else:
            cells = (self.cells,) * len(shape) if isinstance(self.cells, int) else tuple(self.cells)
        if len(cells) != len(shape):
            raise InputError(f"cells must hold one number for each of the axes {shape}, got {cells}")
        for c, n in zip(cells, shape, strict=True):
            if check_at_least("cells", c, 1) > n:
                raise InputError(f"cells must be at most the {n} positions of an axis, got {c}")
        return tuple(interpolated(n, c, len(shape)) for n, c in zip(shape, cells, strict=True))


@dataclass(frozen=True, eq=False)
class RegionMasks:
    """Regions that are kept or hidden as a whole, independently.

    Parameters
    ----------
    labels : integer array, or a tuple with one per input
        The region of each element, 0..n-1 without gaps; broadcasts from the right to the input's shape.
    keep_probability : float in (0, 1)
        Of a region.
    """

    labels: Any
    keep_probability: float = 0.5

    def __post_init__(self) -> None:
        _check_probability(self.keep_probability)

    def law(self, masked: MaskedModel) -> Law:
        """The masks of these inputs."""
        return _RegionLaw(Game(masked, self.labels), self.keep_probability)


class _GridLaw:
    def __init__(
        self, axes: tuple[tuple[Axis, ...], ...], shapes: tuple[Shape, ...], p: float, devices: tuple[Any, ...]
    ) -> None:
        self._axes, self._devices, self.keep_probability = axes, devices, p
        self.labels = position_labels(shapes)
        self._cells = [tuple(a.cells for a in of_one) for of_one in axes]
        self._features = [tuple(a.features for a in of_one) for of_one in axes]
        self.n_cells = sum(int(np.prod(c)) for c in self._cells)
        self.n_features = sum(int(np.prod(f)) for f in self._features)
        self.relative_variance = np.concatenate([_outer([a.variance for a in of_one]) for of_one in axes])
        self.cells = self._cells[0] if len(axes) == 1 else tuple(self._cells)
        self.are_hard = all(a.is_separate for of_one in axes for a in of_one)

    def blocks(self, rng: np.random.Generator, *, pairs: bool = False) -> Iterator[Block]:
        rng_bits, rng_offsets = rng.spawn(2)
        sizes = [int(np.prod(c)) for c in self._cells]
        copies = 2 if pairs else 1  # a mask and its complement share their offsets
        for bits in _bits(sizes, self.keep_probability, rng_bits, pairs=pairs, spread=not self.are_hard):
            offsets = [
                np.stack([rng_offsets.integers(a.offsets, size=BLOCK // copies) for a in axes], 1).repeat(copies, 0)
                for axes in self._axes
            ]
            yield self._block(np.split(bits, np.cumsum(sizes)[:-1], 1), offsets)

    def block(self, bits: BoolArray) -> Block:
        parts = torch.split(torch.from_numpy(bits), [int(np.prod(c)) for c in self._cells], 1)
        return self._block(
            [part.numpy() for part in parts], [np.zeros((len(bits), len(c)), np.int64) for c in self._cells]
        )

    def _block(self, bits: list[BoolArray], offsets: list[IntArray]) -> Block:
        keep, features = [], []
        for b, o, axes, cells, device in zip(bits, offsets, self._axes, self._cells, self._devices, strict=True):
            shaped = torch.from_numpy(b).reshape(len(b), *cells)
            keep.append(upsampled(shaped.to(device), axes, o))
            features.append(pooled(shaped, axes, o).flatten(1))
        return Block(tuple(keep), tuple(keep), (torch.cat(features, 1) - self.keep_probability).numpy())

    def push(self, coefficients: FloatArray) -> FloatArray:
        sizes = [int(np.prod(f)) for f in self._features]
        parts = torch.split(torch.from_numpy(coefficients), sizes, 1)
        maps = [
            pushed(c.reshape(-1, *f), axes).flatten(1)
            for c, f, axes in zip(parts, self._features, self._axes, strict=True)
        ]
        return np.asarray(torch.cat(maps, 1).numpy())


class _RegionLaw:
    def __init__(self, game: Game, p: float) -> None:
        self.keep_probability = p
        self.labels, self.cells, self.are_hard = game.labels, "regions", True
        self.n_cells = self.n_features = game.n_players
        self.relative_variance = np.ones(game.n_players)

    def blocks(self, rng: np.random.Generator, *, pairs: bool = False) -> Iterator[Block]:
        rng_bits, _ = rng.spawn(2)
        for bits in _bits([self.n_cells], self.keep_probability, rng_bits, pairs=pairs, spread=False):
            yield self.block(bits)

    def block(self, bits: BoolArray) -> Block:
        positions = torch.from_numpy(bits)
        keep = tuple(positions[:, torch.from_numpy(a)] for a in self.labels)
        return Block(keep, (positions,), bits.astype(np.float64) - self.keep_probability)

    def push(self, coefficients: FloatArray) -> FloatArray:
        return coefficients


def _bits(sizes: list[int], p: float, rng: np.random.Generator, *, pairs: bool, spread: bool) -> Iterator[BoolArray]:
    """The bits of endless blocks, for inputs of these numbers of cells one after the other.

    Pairs of hard masks are not spread: of few regions, orthogonal ones leave less than the standard error says.
    """
    while True:
        if pairs and spread:
            yield from np.split(Foldover().ask(sum(sizes), _DESIGN, rng), _DESIGN // BLOCK)
        elif pairs:
            yield Antithetic().ask(sum(sizes), BLOCK, rng)
        else:
            yield np.concatenate([Bernoulli(p).ask(n, BLOCK, rng) for n in sizes], 1)


def _outer(factors: list[FloatArray]) -> FloatArray:
    result = np.ones(1)
    for factor in factors:
        result = np.multiply.outer(result, factor).ravel()
    return result
