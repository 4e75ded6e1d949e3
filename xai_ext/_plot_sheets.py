"""Figures of many panels."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from xai_ext._checks import InputError
from xai_ext._plot_maps import legend, outline, overlay, rgb, segments
from xai_ext._types import AnyArray, BoolArray, FloatArray, IntArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from xai_ext.hierarchies.hierarchy import Hierarchy

_COLUMNS = 5


def attribution_grid(
    image: AnyArray,
    maps: Mapping[str, FloatArray],
    *,
    truth: BoolArray | None = None,
    labels: IntArray | None = None,
    title: str = "",
    fig: "Figure | None" = None,
) -> "Figure":
    """The image, its regions and one panel per map, with a legend.

    Parameters
    ----------
    image : array (H, W, 3)
    maps : mapping
        Caption -> array (H, W).
    truth : bool array (H, W), optional
        Outlined in every panel.
    labels : int array (H, W), optional
        Shown in a panel of their own.
    title : str
    fig : matplotlib Figure, optional
        None makes one that pyplot does not know.
    """
    from matplotlib.figure import Figure

    panels = 1 + (labels is not None) + len(maps)
    columns = min(_COLUMNS, panels)
    rows = -(-panels // columns)
    fig = fig or Figure(figsize=(2.5 * columns, 2.85 * rows + 1.1), layout="constrained")
    axes = iter(fig.subplots(rows, columns, squeeze=False).ravel())
    first = next(axes)
    first.imshow(rgb(image))
    first.set_axis_off()
    first.set_title("image", fontsize=9)
    outline(first, truth, image, 1.5)
    if labels is not None:
        segments(image, labels, ax=next(axes)).set_title(f"{labels.max() + 1} shared regions", fontsize=9)
    for caption, values in maps.items():
        overlay(image, values, truth=truth, ax=next(axes)).set_title(caption, fontsize=9)
    for unused in axes:
        unused.set_axis_off()
    if title:
        fig.suptitle(title, fontsize=11)
    legend(fig, truth is not None)
    return fig


def hierarchy_levels(
    image: AnyArray,
    hierarchy: "Hierarchy",
    levels: Sequence[int] = (4, 16, 64, 256),
    *,
    labels: IntArray | None = None,
    fig: "Figure | None" = None,
) -> "Figure":
    """The regions of a hierarchy after its last merges are undone: a panel per number of regions.

    Parameters
    ----------
    image : array (H, W, 3) or (H, W)
    hierarchy : Hierarchy
        Over the pixels of the image, or over the players of `labels`.
    levels : sequence of int
        Numbers of regions; one that exceeds the players shows the players.
    labels : int array (H, W), optional
        The player of each pixel; None: every pixel is one.
    fig : matplotlib Figure, optional
        None makes one that pyplot does not know.
    """
    from matplotlib.figure import Figure

    height, width = image.shape[:2]
    players = np.arange(height * width).reshape(height, width) if labels is None else labels
    if players.shape != (height, width) or not ((players >= 0) & (players < hierarchy.n_players)).all():
        raise InputError(
            f"a hierarchy of {hierarchy.n_players} players needs labels (H, W) = {(height, width)} of 0..n-1, "
            f"got shape {players.shape} with {np.unique(players)}"
        )
    if not len(levels):
        raise InputError("levels must name at least one number of regions")
    fig = fig or Figure(figsize=(2.6 * len(levels), 2.9), layout="constrained")
    for ax, level in zip(fig.subplots(1, len(levels), squeeze=False)[0], levels, strict=True):
        count = min(level, hierarchy.n_players)
        regions = hierarchy.cut(regions=count)[0][players]
        segments(image, regions, ax=ax).set_title(f"{count} regions", fontsize=9)
    return fig


@dataclass(frozen=True, eq=False)
class AnomalyRow:
    """One sample of an `anomaly_sheet`.

    Attributes
    ----------
    image, reference : array (H, W) or (H, W, 3), uint8 or 0..1
    evidence : array (h, w)
        The detector's map.
    attributions : mapping
        Name -> array (H, W).
    truth : bool array (H, W) or None
    caption : str
        Score, threshold, verdict.
    """

    image: AnyArray
    reference: AnyArray
    evidence: FloatArray
    attributions: Mapping[str, FloatArray]
    truth: BoolArray | None
    caption: str


def anomaly_sheet(rows: Sequence[AnomalyRow], *, title: str = "", fig: "Figure | None" = None) -> "Figure":
    """One row per sample: image with its defect outlined, normal counterpart, the detector's map, attributions.

    Parameters
    ----------
    rows : sequence of AnomalyRow
        All with the attributions of the first.
    title : str
    fig : matplotlib Figure, optional
        None makes one that pyplot does not know.
    """
    from matplotlib.figure import Figure

    if not rows:
        raise InputError("an anomaly sheet needs at least one row")
    for row in rows:
        _check_row(row, rows[0])
    names = ["image and defect", "reference", "map", *rows[0].attributions]
    fig = fig or Figure(figsize=(1.9 * len(names) + 0.6, 2.1 * len(rows) + 1.0), layout="constrained")
    axes = fig.subplots(len(rows), len(names), squeeze=False)
    for line, row in zip(axes, rows, strict=True):
        _picture(line[0], row.image, row.truth)
        line[0].set_ylabel(row.caption, fontsize=8)
        _picture(line[1], row.reference, None)
        line[2].imshow(row.evidence, cmap="viridis", vmin=0)
        line[2].set_axis_off()
        for ax, name in zip(line[3:], rows[0].attributions, strict=True):
            overlay(row.image, row.attributions[name], truth=row.truth, ax=ax)
    for ax, name in zip(axes[0], names, strict=True):
        ax.set_title(name, fontsize=9)
    if title:
        fig.suptitle(title, fontsize=10)
    legend(fig, any(row.truth is not None for row in rows))
    return fig


def _check_row(row: AnomalyRow, first: AnomalyRow) -> None:
    if row.attributions.keys() != first.attributions.keys():
        raise InputError(
            f"rows must have the same attributions {list(first.attributions)}, got {list(row.attributions)}"
        )
    if row.evidence.ndim != 2 or not row.evidence.size:
        raise InputError(f"evidence must be a map (h, w), got {row.evidence.shape}")


def _picture(ax: "Axes", image: AnyArray, truth: BoolArray | None) -> None:
    ax.imshow(rgb(image))
    ax.set_xticks([])
    ax.set_yticks([])
    outline(ax, truth, image)
