"""Players that touch: the graph on which `bpt` merges regions.

A player is a record of what the distance needs; its neighbours are `WIDTH` links in a chunk, chunks chained by
``follow``. Merging writes into these places again, so that nothing is allocated while the tree grows.
"""

from typing import Any, NamedTuple

import numpy as np
from numba import config, njit

from xai_ext._types import AnyArray, FloatArray, IntArray

WIDTH = 8  # links per chunk: the neighbours of a pixel
NOBODY = -1
Record = Any  # one element of a record array
_LARGEST = 1 << 14  # areas up to here have their own shortest perimeter; the last one bounds all larger ones
_LINK = np.dtype([("region", "i4"), ("number", "i4"), ("shared", "i4")])
_ROW = np.dtype([("height", "f8"), ("number", "i4"), ("first", "i4"), ("second", "i4")])


class Graph(NamedTuple):
    """Regions by slot, their links, what was merged, and scratch space for one region's neighbours."""

    regions: AnyArray
    links: AnyArray
    follow: AnyArray  # next chunk of a chain
    parent: AnyArray  # slot -> slot that took it over, itself when alive
    near: AnyArray
    bounds: FloatArray
    roots: FloatArray  # area -> square root of the shortest perimeter that encloses it
    rows: AnyArray  # merges in the order they were found: nodes, distance, edge number
    by_color: bool
    by_area: bool
    by_perimeter: bool


def region_type(n_channels: int) -> np.dtype[np.void]:
    """What is known about a live region; ``nearest`` is `NOBODY` when it must be looked for again."""
    channels = [("low", "f4", (n_channels,)), ("high", "f4", (n_channels,))]
    nearest = [("key", "f8"), ("guard", "f8"), ("number", "i4"), ("nearest", "i4")]
    counts = [(name, "i4") for name in ("area", "perimeter", "first", "count", "seen", "smallest", "node")]
    return np.dtype([*channels, *nearest, *counts], align=True)


def pixel_graph(channels: AnyArray, connectivity: int, terms: tuple[str, ...]) -> Graph:
    """Every pixel of ``channels`` (H, W, C) float32 is a player."""
    height, width, n_channels = channels.shape
    graph = _empty(height * width, height * width, n_channels, terms)
    _fill_pixels(channels, connectivity == 8, graph)
    return graph


def atom_graph(channels: AnyArray, labels: IntArray, connectivity: int, terms: tuple[str, ...]) -> Graph:
    """The regions of ``labels`` (H, W) are the players, whatever their shape."""
    n = int(labels.max()) + 1
    pairs, shared = _edges(labels, n, connectivity)
    count = np.bincount(pairs.ravel(), minlength=n)
    chunks = np.maximum(1, -(-count // WIDTH))
    first = np.cumsum(chunks) - chunks
    graph = _empty(n, int(chunks.sum()), channels.shape[2], terms)
    _link(graph, pairs, shared, first, count)
    _describe(graph.regions, channels, labels)
    regions = graph.regions
    inside = np.bincount(pairs.ravel(), np.repeat(shared, 2), minlength=n)
    regions["perimeter"] = inside + _border(labels, n)
    regions["first"], regions["count"] = first, count
    graph.follow[:] = np.arange(1, len(graph.follow) + 1)
    return graph


def records(n: int, dtype: np.dtype[np.void]) -> AnyArray:
    """An empty array whose elements' fields are attributes, as kernels read them, with NUMBA_DISABLE_JIT as well."""
    empty = np.empty(n, dtype)
    return empty.view(np.recarray) if config.DISABLE_JIT else empty


def _empty(n: int, n_chunks: int, n_channels: int, terms: tuple[str, ...]) -> Graph:
    regions = records(n, region_type(n_channels))
    regions["seen"], regions["smallest"], regions["nearest"] = 0, 1, NOBODY
    regions["key"], regions["number"] = -np.inf, 0  # below any edge, until it has looked around
    regions["node"] = np.arange(n)
    return Graph(
        regions,
        records(n_chunks * WIDTH, _LINK),
        np.empty(n_chunks, np.int32),
        np.arange(n, dtype=np.int32),
        records(n, _LINK),
        np.empty(n),
        np.sqrt(2 * np.ceil(2 * np.sqrt(np.arange(_LARGEST)))),
        records(n - 1, _ROW),
        *(term in terms for term in ("color", "area", "perimeter")),
    )


@njit(cache=True)  # type: ignore[untyped-decorator]
def _fill_pixels(channels: AnyArray, corners: bool, graph: Graph) -> None:
    height, width, n_channels = channels.shape
    for y in range(height):
        for x in range(width):
            player = y * width + x
            region = graph.regions[player]
            for c in range(n_channels):
                region.low[c] = region.high[c] = channels[y, x, c]
            region.area, region.perimeter, region.first = 1, 4, player
            region.count = _link_pixel(graph.links, y, x, (height, width), corners)


@njit(cache=True)  # type: ignore[untyped-decorator]
def _link_pixel(links: AnyArray, y: int, x: int, shape: tuple[int, int], corners: bool) -> int:
    height, width = shape
    player, count = y * width + x, 0
    for dy in range(-1, 2):
        for dx in range(-1, 2):
            straight = (dy == 0) != (dx == 0)
            outside = y + dy < 0 or y + dy >= height or x + dx < 0 or x + dx >= width
            if outside or (dy == 0 and dx == 0) or not (straight or corners):
                continue
            other = player + dy * width + dx
            link = links[player * WIDTH + count]
            link.region, link.shared = other, straight
            # four edges belong to the smaller pixel: right, below left, below, below right
            link.number = 4 * min(player, other) + (0 if dy == 0 else 2 + dx * dy)
            count += 1
    return count


def _edges(labels: IntArray, n: int, connectivity: int) -> tuple[IntArray, IntArray]:
    """Touching players (edges, 2), smaller first, sorted; and the unit edges that each pair shares."""
    straight = [(labels[:, :-1], labels[:, 1:]), (labels[:-1], labels[1:])]
    corners = [(labels[:-1, :-1], labels[1:, 1:]), (labels[:-1, 1:], labels[1:, :-1])]
    keys = [_pair_keys(*pair, n) for pair in straight + corners * (connectivity == 8)]
    unique, inverse = np.unique(np.concatenate(keys), return_inverse=True)
    n_straight = len(keys[0]) + len(keys[1])
    shared = np.bincount(inverse[:n_straight], minlength=len(unique))
    return np.stack(np.divmod(unique, n), 1), shared


def _pair_keys(one: IntArray, other: IntArray, n: int) -> IntArray:
    differ = one != other
    one, other = one[differ], other[differ]
    return np.minimum(one, other) * n + np.maximum(one, other)


def _border(labels: IntArray, n: int) -> IntArray:
    sides = np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])
    return np.bincount(sides, minlength=n)


def _link(graph: Graph, pairs: IntArray, shared: IntArray, first: IntArray, count: IntArray) -> None:
    owner, other = pairs.T.reshape(-1), pairs[:, ::-1].T.reshape(-1)
    by_owner = np.argsort(owner, kind="stable")
    position = np.arange(len(owner)) - np.repeat(np.cumsum(count) - count, count)
    edge = by_owner % max(1, len(pairs))
    at = first[owner[by_owner]] * WIDTH + position
    graph.links["region"][at], graph.links["number"][at] = other[by_owner], edge
    graph.links["shared"][at] = shared[edge]


def _describe(regions: AnyArray, channels: AnyArray, labels: IntArray) -> None:
    by_player = np.argsort(labels.ravel(), kind="stable")
    area = np.bincount(labels.ravel())
    starts = np.cumsum(area) - area
    values = channels.reshape(-1, channels.shape[2])[by_player]
    regions["low"], regions["high"] = np.minimum.reduceat(values, starts), np.maximum.reduceat(values, starts)
    regions["area"] = area
