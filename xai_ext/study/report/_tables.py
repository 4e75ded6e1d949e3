"""Tables of a report: cells that are read, sorted and checked."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from pandas import DataFrame

_MOST_ROWS = 300


@dataclass(frozen=True)
class Cell:
    """What is read, the number behind it in full, and how long its bar is (percent)."""

    text: str
    value: float | None = None
    bar: int | None = None
    is_number: bool = False

    @property
    def exact(self) -> str:
        """The number in full, what sorting and checks use."""
        return "" if self.value is None else repr(self.value)


@dataclass(frozen=True)
class Table:
    """A caption, heads with a hint each, and rows whose first cell names them."""

    name: str
    caption: str
    head: tuple[tuple[str, str], ...]
    rows: tuple[tuple[Cell, ...], ...]
    left_out: int = 0

    @property
    def numeric(self) -> tuple[bool, ...]:
        """Which columns hold numbers."""
        return tuple(any(row[i].is_number for row in self.rows) for i in range(len(self.head)))


def number(value: Any, digits: int = 2, *, after: str = "", bar: int | None = None) -> Cell:
    """A cell of a number; what is undefined is a dash."""
    value = float(value) if value is not None else math.nan
    if not math.isfinite(value):
        return Cell("\N{EN DASH}", None, is_number=True)
    return Cell(f"{value:,.{digits}f}".replace("-", "\N{MINUS SIGN}") + after, value, bar, is_number=True)


def signed(value: float, digits: int = 2) -> str:
    """A number in a sentence."""
    return f"{value:.{digits}f}".replace("-", "\N{MINUS SIGN}")


def pairs(name: str, caption: str, values: Mapping[str, str]) -> Table:
    """Names and values."""
    rows = tuple((Cell(key), Cell(value)) for key, value in values.items())
    return Table(name, caption, (("name", ""), ("value", "")), rows)


def digits_for(values: Iterable[float]) -> int:
    """Decimals that show three digits of the largest number."""
    sizes = [abs(v) for v in values if v is not None and math.isfinite(v) and v]
    return 2 if not sizes else int(np.clip(2 - math.floor(math.log10(max(sizes))), 0, 6))


def bar(value: float | None, values: Sequence[float]) -> int | None:
    """The length of a positive number's bar among others, in percent."""
    top = max((v for v in values if math.isfinite(v)), default=0.0)
    if value is None or not math.isfinite(value) or value <= 0 or top <= 0:
        return None
    return round(100 * value / top)


def of_frame(
    name: str,
    caption: str,
    frame: "DataFrame",
    heads: Mapping[str, str] | None = None,
    *,
    clean: Callable[[str], str] = str,
) -> Table:
    """The columns that `heads` names, or all; at most 300 rows, the rest is counted."""
    columns = list(frame.columns) if heads is None else [c for c in heads if c in frame]
    shown = frame[columns].head(_MOST_ROWS)
    made = [_column(shown[c].tolist(), clean) for c in columns]
    rows = tuple(zip(*made, strict=True))
    head = tuple((str(c).replace("_", " ") if heads is None else heads[c], "") for c in columns)
    return Table(name, caption, head, rows, max(0, len(frame) - len(shown)))


def _column(values: list[Any], clean: Callable[[str], str]) -> list[Cell]:
    if all(_is_int(v) for v in values):
        return [number(v, 0) for v in values]
    if all(isinstance(v, float | int) and not isinstance(v, bool) for v in values):
        digits = digits_for(values)
        return [number(v, digits) for v in values]
    return [Cell(_words(v, clean)) for v in values]


def _words(value: Any, clean: Callable[[str], str]) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "\N{EN DASH}"
    return clean(str(value))


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
