"""Pictures of a report: each a data URI with its size and its words."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from xai_ext._html import svg, webp
from xai_ext._plot_maps import blended, rgb
from xai_ext._types import AnyArray, BoolArray, FloatArray
from xai_ext.study._map_scores import Curves

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from pandas import DataFrame

_SIDE = 224
_DOTS = 96  # of an inch, in a browser
_COLOURED = 6


@dataclass(frozen=True)
class Picture:
    """An image of the page; `least` is the width in rem below which it scrolls instead of shrinking."""

    source: str
    alt: str
    width: int
    height: int
    title: str = ""
    below: str = ""
    chip: str = ""
    least: int = 0


def photo(pixels: AnyArray, title: str, alt: str) -> Picture:
    """The image itself."""
    return _raster(rgb(pixels), title=title, alt=alt)


def overlay(
    pixels: AnyArray,
    values: FloatArray,
    truth: BoolArray | None = None,
    *,
    title: str,
    alt: str,
    below: str = "",
    chip: str = "",
) -> Picture:
    """A map over its grey image, the object outlined."""
    picture = blended(pixels, values)
    if truth is not None:
        picture = _outlined(picture, truth)
    return _raster(picture, title=title, alt=alt, below=below, chip=chip)


def _outlined(picture: FloatArray, truth: BoolArray) -> FloatArray:
    from skimage.segmentation import find_boundaries

    marked = picture.copy()
    marked[find_boundaries(truth, mode="inner")] = (0.337, 0.706, 0.914)
    return marked


def _raster(picture: FloatArray, **words: str) -> Picture:
    height, width = picture.shape[:2]
    scale = _SIDE / max(height, width)
    return Picture(webp(picture, _SIDE), width=max(1, round(width * scale)), height=max(1, round(height * scale)),
                   **words)  # type: ignore[arg-type]  # fmt: skip


def chart(figure: "Figure", title: str, alt: str, *, least: int = 0) -> Picture:
    """A figure as SVG."""
    width, height = (round(_DOTS * inches) for inches in figure.get_size_inches())
    return Picture(svg(figure), alt, width, height, title=title, least=least)


def curve_chart(curves: Mapping[str, Curves], kind: str, alt: str) -> Picture:
    """The first few methods in colour, the others grey behind them."""
    from xai_ext import plots

    names = list(curves)
    figure = bare(4.6, 3.9)
    ax = figure.subplots()
    for name in names[_COLOURED:]:
        ax.plot(*curves[name][kind], color="0.82", linewidth=0.9, label="others" if name == names[-1] else "_")
    plots.curves({drawn(n): curves[n][kind] for n in names[:_COLOURED]}, kind, ax=ax)
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.17), ncols=2, fontsize=8, frameon=False)
    return chart(figure, kind, alt)


def heatmap(matrix: "DataFrame", floor: AnyArray | None, alt: str, title: str = "Agreement of methods") -> Picture:
    """Every pair of methods, those that agree side by side."""
    from xai_ext import plots

    matrix = matrix.set_axis([drawn(str(name)) for name in matrix.index], axis=0)
    side = 0.42 * len(matrix) + 2.4
    figure = bare(side, side)
    plots.agreement_heatmap(matrix, floor, ax=figure.subplots())
    return chart(figure, title, alt, least=0 if side < 4 else round(side * 5))


def bare(width: float, height: float) -> "Figure":
    """A figure that pyplot does not know."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def drawn(text: str, longest: int = 40) -> str:
    """A name as a figure writes it: without mathematics, short, and of characters that XML allows."""
    from xai_ext._html import visible

    text = visible(text)
    text = text if len(text) <= longest else text[: longest - 1] + "…"
    return text.replace("$", r"\$")


def sampled(curve: tuple[FloatArray, FloatArray], at: Sequence[float]) -> Any:
    """Scores of a curve at some shares."""
    return np.interp(at, *curve)
