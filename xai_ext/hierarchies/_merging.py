"""Greedy region merging, compiled.

Two passes give the sequence that always taking the smallest distance gives. The first one goes through the image
block by block and joins every pair that is certain to be joined whatever happens elsewhere; its data stay in the
cache. The second one is the plain greedy loop, with a heap, over the few regions that are left.

When is a pair certain? Distances grow with area and with the box of colours; only the perimeter can shrink, and
never below that of the most compact shape of the same area. So the distance from a region r to whatever a neighbour
c may grow into is at least its bound: colours of r and c, area of both and of the smallest neighbour of c, shortest
perimeter of that area. Each of two regions the other's nearest, at a distance below the bounds to all other
neighbours of both, is a pair that no other merge can come before.
"""

import math

import numpy as np
from numba import njit

from xai_ext._types import AnyArray, IntArray
from xai_ext.hierarchies._graph import NOBODY, WIDTH, Graph, Record, records

_ROUNDS = 2  # a third one finds less than its own time is worth
_PATIENCE = 16  # a block is left when fewer than one in so many of its regions found a partner
_ENTRY = np.dtype([("key", "f8"), ("number", "i4"), ("slot", "i4")])


def merge_all(graph: Graph, blocks: list[AnyArray]) -> None:
    """Fill ``graph.rows``; ``blocks`` are the slots, neighbours close together."""
    done, n = 0, len(graph.regions)
    for _ in range(_ROUNDS):
        for block in blocks:
            done = merge_certain(graph, block, done)
    alive = np.flatnonzero(graph.parent == np.arange(n, dtype=np.int32))
    merge_nearest(graph, _entries(graph.regions, alive), done)


def _entries(regions: AnyArray, slots: IntArray) -> AnyArray:
    key, number = regions["key"][slots], regions["number"][slots]
    heap = records(len(slots), _ENTRY)
    heap["key"], heap["number"], heap["slot"] = key, number, slots
    return heap[np.lexsort((number, key))]  # a sorted array is a heap


@njit(cache=True)  # type: ignore[untyped-decorator]
def merge_certain(graph: Graph, block: AnyArray, done: int) -> int:
    """Join the pairs of a block that are certain; their number is added to ``done``."""
    alive, joined = len(block), len(block)
    while joined * _PATIENCE > alive and done < len(graph.rows):
        before, kept = done, 0
        for i in range(alive):
            slot = block[i]
            if graph.parent[slot] == slot:
                block[kept] = slot
                kept += 1
                if is_certain(graph, slot):
                    join(graph, slot, graph.regions[slot].nearest, done)
                    done += 1
        alive, joined = kept, done - before
    return done


@njit(cache=True)  # type: ignore[untyped-decorator]
def is_certain(graph: Graph, slot: int) -> bool:
    """Will this region and its nearest be joined before either changes?"""
    region = graph.regions[slot]
    if region.nearest == NOBODY:
        look_around(graph, slot)
    if region.nearest == NOBODY or region.key >= region.guard:
        return False
    partner = graph.regions[region.nearest]
    if partner.nearest == NOBODY:
        look_around(graph, region.nearest)
    return bool(partner.nearest == slot and region.key < partner.guard)


@njit(cache=True)  # type: ignore[untyped-decorator]
def merge_nearest(graph: Graph, heap: AnyArray, done: int) -> None:
    """Join the nearest pair until one region is left.

    One entry per region: its smallest key when it was last looked at, so never above that of a present edge.
    """
    size = len(heap)
    while done < len(graph.rows):
        slot = heap[0].slot
        region = graph.regions[slot]
        if graph.parent[slot] != slot:
            size -= 1
            last = heap[size]
            sink(heap, size, last.key, last.number, last.slot)
            continue
        if region.nearest == NOBODY:
            look_around(graph, slot)
        elif region.key == heap[0].key and region.number == heap[0].number:
            join(graph, slot, region.nearest, done)
            done += 1
        sink(heap, size, region.key, region.number, slot)


@njit(cache=True)  # type: ignore[untyped-decorator]
def sink(heap: AnyArray, size: int, key: float, number: int, slot: int) -> None:
    """Put an entry in the place of the first one; four children per entry."""
    hole, child = 0, 1
    while child < size:
        for i in range(child + 1, min(child + 4, size)):
            if is_less(heap[i].key, heap[i].number, heap[child].key, heap[child].number):
                child = i
        if not is_less(heap[child].key, heap[child].number, key, number):
            break
        heap[hole] = heap[child]
        hole, child = child, 4 * child + 1
    entry = heap[hole]
    entry.key, entry.number, entry.slot = key, number, slot


@njit(cache=True, forceinline=True)  # type: ignore[untyped-decorator]
def is_less(key: float, number: int, other_key: float, other_number: int) -> bool:
    """Order of edges: the smaller edge number wins a tie."""
    return key < other_key or (key == other_key and number < other_number)


@njit(cache=True)  # type: ignore[untyped-decorator]
def join(graph: Graph, slot: int, partner: int, done: int) -> None:
    """Row ``done`` joins two slots; the first one goes on as the region of both."""
    region, other = graph.regions[slot], graph.regions[partner]
    row = graph.rows[done]
    row.first, row.second, row.height, row.number = region.node, other.node, region.key, region.number
    graph.parent[partner] = slot
    count, last, shared = collect(graph, slot, slot, 0)
    count, _, _ = collect(graph, partner, slot, count)
    graph.follow[last] = other.first
    for c in range(len(region.low)):
        region.low[c] = min(region.low[c], other.low[c])
        region.high[c] = max(region.high[c], other.high[c])
    region.area += other.area
    region.perimeter += other.perimeter - 2 * shared
    region.node = len(graph.regions) + done
    for i in range(count):
        neighbor = graph.regions[graph.near[i].region]
        if neighbor.nearest == slot or neighbor.nearest == partner:
            neighbor.nearest = NOBODY
    evaluate(graph, slot, count)


@njit(cache=True)  # type: ignore[untyped-decorator]
def look_around(graph: Graph, slot: int) -> None:
    """Find the nearest neighbour."""
    count, _, _ = collect(graph, slot, slot, 0)
    evaluate(graph, slot, count)


@njit(cache=True, forceinline=True)  # type: ignore[untyped-decorator]
def collect(graph: Graph, slot: int, owner: int, count: int) -> tuple[int, int, int]:
    """Append the neighbours of a slot to ``near``, each once.

    Returns how many there are now, the last chunk read and the unit edges to ``owner`` itself.
    """
    chunk, left, inner = graph.regions[slot].first, graph.regions[slot].count, 0
    while True:
        for k in range(min(left, WIDTH)):
            link = graph.links[chunk * WIDTH + k]
            other = link.region
            while graph.parent[other] != other:
                other = graph.parent[other]
            if other == owner:
                inner += link.shared
            else:
                count = fuse(graph, link, other, count)
        left -= WIDTH
        if left <= 0:
            return count, chunk, inner
        chunk = graph.follow[chunk]


@njit(cache=True, forceinline=True)  # type: ignore[untyped-decorator]
def fuse(graph: Graph, link: Record, other: int, count: int) -> int:
    """Add one link to ``near``: parallel edges keep the smallest number and add what they share."""
    region = graph.regions[other]
    if region.seen:
        known = graph.near[region.seen - 1]
        known.number = min(known.number, link.number)
        known.shared += link.shared
        return count
    new = graph.near[count]
    new.region, new.number, new.shared = other, link.number, link.shared
    region.seen = count + 1
    return count + 1


@njit(cache=True, forceinline=True)  # type: ignore[untyped-decorator]
def evaluate(graph: Graph, slot: int, count: int) -> None:
    """Distances to the ``count`` neighbours in ``near``: keep the smallest."""
    region = graph.regions[slot]
    key, number, at, smallest = np.inf, 0, NOBODY, 2**31 - 1
    for i in range(count):
        link = graph.near[i]
        other = graph.regions[link.region]
        other.seen = 0
        color = color_box(region, other)
        distance = product(
            graph, color, region.area + other.area, math.sqrt(region.perimeter + other.perimeter - 2 * link.shared)
        )
        grown = region.area + other.area + other.smallest
        graph.bounds[i] = product(graph, color, grown, graph.roots[min(grown, len(graph.roots) - 1)])
        smallest = min(smallest, other.area)
        if is_less(distance, link.number, key, number):
            key, number, at = distance, link.number, i
    region.key, region.number, region.smallest, region.count = key, number, smallest, count
    region.nearest = NOBODY if at == NOBODY else graph.near[at].region
    region.guard = smallest_but(graph.bounds, count, at)
    store(graph, region.first, count)


@njit(cache=True, forceinline=True)  # type: ignore[untyped-decorator]
def color_box(region: Record, other: Record) -> float:
    """Squared diagonal of the box of both regions' colours; missing channels count as constant ones."""
    total: float = 0.0
    for c in range(len(region.low)):
        low, high = min(region.low[c], other.low[c]), max(region.high[c], other.high[c])
        side = np.float64(high) - np.float64(low) + 1.0
        total += side * side
    return total + max(0, 3 - len(region.low))


@njit(cache=True, forceinline=True)  # type: ignore[untyped-decorator]
def product(graph: Graph, color: float, area: int, root: float) -> float:
    """The terms in use, multiplied in this order."""
    value = color if graph.by_color else 1.0
    if graph.by_area:
        value *= area
    if graph.by_perimeter:
        value *= root
    return value


@njit(cache=True, forceinline=True)  # type: ignore[untyped-decorator]
def smallest_but(values: AnyArray, count: int, without: int) -> float:
    """The smallest of the first values, one left out."""
    smallest = np.inf
    for i in range(count):
        if values[i] < smallest and i != without:
            smallest = values[i]
    return smallest


@njit(cache=True, forceinline=True)  # type: ignore[untyped-decorator]
def store(graph: Graph, chunk: int, count: int) -> None:
    """Write ``near`` back into the chain that starts at ``chunk``."""
    k = 0
    for i in range(count):
        if k == WIDTH:
            chunk, k = graph.follow[chunk], 0
        link, new = graph.links[chunk * WIDTH + k], graph.near[i]
        link.region, link.number, link.shared = new.region, new.number, new.shared
        k += 1
