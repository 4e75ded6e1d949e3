"""Colours, line styles and markers of series: Okabe and Ito's palette first, then another style of line."""

from collections.abc import Mapping
from typing import Any

from xai_ext._checks import check_choice
from xai_ext._types import AnyArray

# black, orange, sky blue, bluish green, yellow, blue, vermilion, reddish purple: told apart by the colour-blind
COLOURS = ("#000000", "#e69f00", "#56b4e9", "#009e73", "#f0e442", "#0072b2", "#d55e00", "#cc79a7")
_ORDER = (5, 6, 3, 1, 7, 2, 0, 4)  # those that stand out on white first
_LINES = ("-", "--", ":", "-.")
_MARKERS = "osD^vP*X"


def line_style(i: int) -> dict[str, Any]:
    """Of the i-th line: 32 that differ."""
    return {"color": COLOURS[_ORDER[i % 8]], "linestyle": _LINES[i // 8 % 4]}


def marker_style(i: int) -> dict[str, Any]:
    """Of the i-th point: 64 that differ."""
    return {"color": COLOURS[_ORDER[i % 8]], "marker": _MARKERS[i // 8 % 8]}


def column(table: Mapping[str, Any], name: str) -> AnyArray:
    """A column of a table that must have it."""
    check_choice("column", name, list(table))
    return table[name].to_numpy()  # type: ignore[no-any-return]
