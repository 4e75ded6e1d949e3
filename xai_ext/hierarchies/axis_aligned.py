"""Nested rectangles: a tree that ignores the image."""

from typing import Any, NamedTuple

import numpy as np

from xai_ext._checks import InputError, check_at_least
from xai_ext._types import BoolArray, FloatArray, IntArray
from xai_ext.hierarchies._players import check_players
from xai_ext.hierarchies.hierarchy import Hierarchy


class _Level(NamedTuple):
    """Nodes of one depth."""

    size: IntArray  # players
    first: IntArray  # first pixel
    player: IntArray  # of a node with one, else anything


def axis_aligned(shape: tuple[int, int], labels: Any = None) -> Hierarchy:
    """Halves of halves, always across the longer side.

    Parameters
    ----------
    shape : (H, W)
        Pixels.
    labels : int array (H, W), optional
        Players 0..n-1: sets of players are cut across the longer side of their centroids' bounding box (a square:
        across its height), in the order of (that coordinate, player), where half of the area is reached.
        None: every pixel; a rectangle is cut across its width if that is strictly larger, after ``side // 2`` pixels.

    Returns
    -------
    Hierarchy
        Rows are ordered by (number of players, first pixel in raster order); the height is the number of players.
    """
    height, width = _check_shape(shape)
    if labels is None:
        return Hierarchy.from_merges(_linkage(_rectangles(height, width)), structure="axis_aligned")
    players = check_players(labels, (height, width))
    merges = _linkage(_player_sets(players))
    return Hierarchy.from_merges(merges, np.bincount(players.ravel()), structure="axis_aligned")


def _check_shape(shape: Any) -> tuple[int, int]:
    sides = tuple(shape) if np.ndim(shape) == 1 else ()
    if len(sides) != 2:
        raise InputError(f"shape must be (H, W), two whole numbers, got {shape!r}")
    return check_at_least("H", sides[0], 1), check_at_least("W", sides[1], 1)


def _linkage(levels: list[_Level]) -> FloatArray:
    """Levels from the root down; the nodes of more than one player have two successive nodes of the next level each."""
    size, first, player = (np.concatenate(part) for part in zip(*levels, strict=True))
    inner = np.flatnonzero(size > 1)
    child = 1 + 2 * np.arange(len(inner))  # levels follow each other, the root has number 0
    rows = np.lexsort((first[inner], size[inner]))
    ids = player.copy()
    ids[inner[rows]] = len(inner) + 1 + np.arange(len(inner))
    pairs = np.sort(np.stack([ids[child[rows]], ids[child[rows] + 1]], 1), axis=1)
    players = size[inner[rows], None]
    return np.concatenate([pairs, players, players], 1).astype(np.float64)


def _rectangles(height: int, width: int) -> list[_Level]:
    boxes, levels = np.array([[0, height, 0, width]]), []
    while len(boxes):
        top, bottom, left, right = boxes.T
        size, first = (bottom - top) * (right - left), top * width + left
        levels.append(_Level(size, first, first))
        boxes = _halves(boxes[size > 1])
    return levels


def _halves(boxes: IntArray) -> IntArray:
    """(k, 4) -> (2k, 4) boxes [top, bottom, left, right), the two halves of each in succession."""
    top, bottom, left, right = boxes.T
    wide = right - left > bottom - top
    middle = np.where(wide, (left + right) // 2, (top + bottom) // 2)
    first = np.stack([top, np.where(wide, bottom, middle), left, np.where(wide, middle, right)], 1)
    second = np.stack([np.where(wide, top, middle), bottom, np.where(wide, middle, left), right], 1)
    return np.stack([first, second], 1).reshape(-1, 4)


def _player_sets(labels: IntArray) -> list[_Level]:
    area = np.bincount(labels.ravel())
    first_pixel = np.unique(labels, return_index=True)[1]
    centroids = np.stack([np.bincount(labels.ravel(), c.ravel()) for c in np.indices(labels.shape)], 1) / area[:, None]
    players, sizes, levels = np.arange(len(area)), np.array([len(area)]), []
    while len(sizes):
        starts = np.cumsum(sizes) - sizes
        levels.append(_Level(sizes, np.minimum.reduceat(first_pixel[players], starts), players[starts]))
        inner = sizes > 1
        players, sizes = players[np.repeat(inner, sizes)], sizes[inner]
        players, sizes = _cut(players, sizes, centroids, area) if len(sizes) else (players, sizes)
    return levels


def _cut(players: IntArray, sizes: IntArray, centroids: FloatArray, area: IntArray) -> tuple[IntArray, IntArray]:
    """Sets of players, one after the other, each cut in two."""
    starts, owner = np.cumsum(sizes) - sizes, np.repeat(np.arange(len(sizes)), sizes)
    places = centroids[players]
    low, high = np.minimum.reduceat(places, starts), np.maximum.reduceat(places, starts)
    wide = (high - low)[:, 1] > (high - low)[:, 0]
    along = np.where(wide[owner], places[:, 1], places[:, 0])
    players = players[np.lexsort((players, along, owner))]
    reached = np.cumsum(area[players])
    before = reached[starts] - area[players[starts]]
    total = np.add.reduceat(area[players], starts)
    short: BoolArray = 2 * (reached - before[owner]) < total[owner]
    cut = np.minimum(np.add.reduceat(short.astype(np.int64), starts) + 1, sizes - 1)
    return players, np.stack([cut, sizes - cut], 1).ravel()
