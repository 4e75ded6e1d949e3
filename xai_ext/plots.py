"""Figures. Nothing is shown, no global setting is changed; axes and figures come back to the caller."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from xai_ext._checks import InputError
from xai_ext._types import AnyArray, BoolArray, FloatArray, IntArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_OPACITY = 0.85
_COLUMNS = 5
_TRUTH = "#56b4e9"


def overlay(
    image: AnyArray,
    values: FloatArray,
    *,
    percentile: float = 99.5,
    truth: BoolArray | None = None,
    ax: "Axes | None" = None,
) -> "Axes":
    """A map laid over its image: the stronger the value, the less of the image is seen.

    Parameters
    ----------
    image : array (H, W, 3) or (H, W), uint8 or 0..1
    values : array (H, W)
        Diverging colours centred at 0 when any value is negative, else from 0 up.
    percentile : float
        Of abs(values), which gets the full colour; a few extreme pixels do not pale the rest.
    truth : bool array (H, W), optional
        Outlined.
    ax : matplotlib Axes, optional
        None makes a figure by pyplot.
    """
    if values.shape != image.shape[:2]:
        raise InputError(f"values must have the image's shape {image.shape[:2]}, got {values.shape}")
    ax = _axes(ax)
    ax.imshow(_grey(image), cmap="gray", vmin=0, vmax=1)
    scale = _scale(values, percentile)
    if scale > 0:
        ax.imshow(_coloured(values, scale))
    else:
        ax.text(0.5, 0.5, "all zero", transform=ax.transAxes, ha="center", va="center", backgroundcolor="white")
    if truth is not None and truth.any() and not truth.all():
        ax.contour(truth.astype(float), [0.5], colors=_TRUTH, linewidths=1.2)
    ax.set_axis_off()
    return ax


def segments(image: AnyArray, labels: IntArray, *, ax: "Axes | None" = None) -> "Axes":
    """The borders of regions (H, W) on their image."""
    from skimage.segmentation import mark_boundaries

    ax = _axes(ax)
    ax.imshow(mark_boundaries(_rgb(image), labels, color=(1.0, 1.0, 0.0)))
    ax.set_axis_off()
    return ax


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
    first.imshow(_rgb(image))
    first.set_axis_off()
    first.set_title("image", fontsize=9)
    if truth is not None:
        first.contour(truth.astype(float), [0.5], colors=_TRUTH, linewidths=1.5)
    if labels is not None:
        segments(image, labels, ax=next(axes)).set_title(f"{labels.max() + 1} shared regions", fontsize=9)
    for caption, values in maps.items():
        overlay(image, values, truth=truth, ax=next(axes)).set_title(caption, fontsize=9)
    for unused in axes:
        unused.set_axis_off()
    if title:
        fig.suptitle(title, fontsize=11)
    _legend(fig, truth is not None)
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
    names = ["image and defect", "reference", "map", *rows[0].attributions]
    fig = fig or Figure(figsize=(1.9 * len(names) + 0.6, 2.1 * len(rows) + 1.0), layout="constrained")
    axes = fig.subplots(len(rows), len(names), squeeze=False)
    for line, row in zip(axes, rows, strict=True):
        _picture(line[0], row.image, row.truth)
        line[0].set_ylabel(row.caption, fontsize=8)
        _picture(line[1], row.reference, None)
        line[2].imshow(row.evidence, cmap="viridis", vmin=0)
        line[2].set_axis_off()
        for ax, values in zip(line[3:], row.attributions.values(), strict=True):
            overlay(row.image, values, truth=row.truth, ax=ax)
    for ax, name in zip(axes[0], names, strict=True):
        ax.set_title(name, fontsize=9)
    if title:
        fig.suptitle(title, fontsize=10)
    _legend(fig, any(row.truth is not None for row in rows))
    return fig


def _picture(ax: "Axes", image: AnyArray, truth: BoolArray | None) -> None:
    ax.imshow(_rgb(image))
    ax.set_xticks([])
    ax.set_yticks([])
    if truth is not None and truth.any() and not truth.all():
        ax.contour(truth.astype(float), [0.5], colors=_TRUTH, linewidths=1.2)


def _legend(fig: "Figure", with_truth: bool) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    handles: list[Any] = [
        Patch(color=_colours("RdBu_r")(0.95), label="raises the score"),
        Patch(color=_colours("RdBu_r")(0.05), label="lowers the score"),
        Patch(color=_colours("viridis")(0.95), label="strongest, in maps without negative values"),
    ]
    if with_truth:
        handles.append(Line2D([], [], color=_TRUTH, label="object"))
    fig.legend(handles=handles, loc="outside lower center", ncols=len(handles), fontsize=9, frameon=False)


def _coloured(values: FloatArray, scale: float) -> FloatArray:
    strength = np.clip(np.abs(values) / scale, 0, 1)
    if (values < 0).any():
        colours = _colours("RdBu_r")(np.clip(values / scale, -1, 1) / 2 + 0.5)
    else:
        colours = _colours("viridis")(strength)
    colours[..., 3] = _OPACITY * strength
    return np.asarray(colours)


def _scale(values: FloatArray, percentile: float) -> float:
    finite = np.abs(values[np.isfinite(values)])
    if not finite.size:
        return 0.0
    return float(np.percentile(finite, percentile)) or float(finite.max())


def _colours(name: str) -> Any:
    from matplotlib import colormaps

    return colormaps[name]


def _rgb(image: AnyArray) -> FloatArray:
    array = image / 255.0 if image.dtype == np.uint8 else image.astype(float)
    array = array if array.ndim == 3 else array[:, :, None]
    return np.asarray(np.broadcast_to(array[:, :, :3], (*array.shape[:2], 3))).clip(0, 1)


def _grey(image: AnyArray) -> FloatArray:
    return np.asarray(_rgb(image) @ [0.299, 0.587, 0.114])


def _axes(ax: "Axes | None") -> "Axes":
    if ax is not None:
        return ax
    import matplotlib.pyplot as plt

    return plt.subplots()[1]
