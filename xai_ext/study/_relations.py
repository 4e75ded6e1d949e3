"""Which maps of an image are compared with each other."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import combinations
from typing import Any

from xai_ext.study._records import Key

FACTORS = ("method", "model", "baseline", "seed")


def related(keys: Sequence[Key]) -> Iterator[tuple[str, Key, Key]]:
    """The pairs of keys that differ in one factor only; a method with fewer seeds than another repeats its own."""
    for a, b in combinations(sorted(keys), 2):
        differing = [f for f in FACTORS if getattr(a, f) != getattr(b, f)]
        if len(differing) == 1 and differing != ["method"]:
            yield differing[0], a, b
    for group in _groups(keys, "method", "seed"):
        by_method: dict[str, list[Key]] = {}
        for key in sorted(group):
            by_method.setdefault(key.method, []).append(key)
        for key in (runs[0] for runs in by_method.values() if len(runs) == 1):
            yield "seed", key, key  # no second run: what the measure can reach
        for first, second in combinations(by_method.values(), 2):
            for i in range(max(len(first), len(second))):
                yield "method", first[i % len(first)], second[i % len(second)]


def settings_of(keys: Iterable[Key]) -> list[list[Key]]:
    """The maps of several methods in one setting."""
    return [group for group in _groups(list(keys), "method") if len(group) > 1]


def _groups(keys: Sequence[Key], *free: str) -> list[list[Key]]:
    groups: dict[tuple[Any, ...], list[Key]] = {}
    for key in keys:
        groups.setdefault(tuple(getattr(key, f) for f in FACTORS if f not in free), []).append(key)
    return list(groups.values())
