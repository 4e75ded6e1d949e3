"""What every metric says about itself, and why a value may be missing."""

from collections.abc import Callable, Iterable
from enum import IntEnum
from typing import ParamSpec, Protocol, TypeVar, cast

P = ParamSpec("P")
R = TypeVar("R", covariant=True)


class Status(IntEnum):
    """Why a value is NaN, or what to know about it.

    `OK`. `NON_FINITE`: the map holds NaN or infinity. `CONSTANT`: the map is constant; the value is NaN only where
    it is undefined. `EMPTY_MASK`: there is no object. `FLAT_SCORE`: f(x) = f(baseline), or f(x) = 0, so that the
    curve cannot be normalised. `FULL_MASK`: the object covers everything; the value stays where it is defined.
    `EMPTY_PREDICTION`: nothing was predicted. `TOO_FEW`: there are too few features.
    """

    OK = 0
    NON_FINITE = 1
    CONSTANT = 2
    EMPTY_MASK = 3
    FLAT_SCORE = 4
    FULL_MASK = 5
    EMPTY_PREDICTION = 6
    TOO_FEW = 7


class Metric(Protocol[P, R]):
    """A metric function and what a table needs to know about it.

    Attributes
    ----------
    higher_is_better : bool
    range : tuple of float
        The lowest and the highest value that can occur.
    label_aware : bool
        The ground truth chooses a parameter: an oracle, never to be the only such number in a table.
    needs : frozenset of {"model", "masks", "map"}
        What is compared with the map: the model, the ground truth, a second map.
    """

    higher_is_better: bool
    range: tuple[float, float]
    label_aware: bool
    needs: frozenset[str]

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R: ...


def metric(
    *, higher_is_better: bool, range: tuple[float, float], needs: Iterable[str], label_aware: bool = False
) -> Callable[[Callable[P, R]], Metric[P, R]]:
    """Give a function the attributes of a `Metric`."""

    def mark(function: Callable[P, R]) -> Metric[P, R]:
        marked = cast(Metric[P, R], function)
        marked.higher_is_better, marked.range = higher_is_better, range
        marked.label_aware, marked.needs = label_aware, frozenset(needs)
        return marked

    return mark
