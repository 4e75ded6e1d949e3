"""Figures. Nothing is shown, no global setting is changed; axes and figures come back to the caller."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from xai_ext._checks import InputError
from xai_ext._types import AnyArray, BoolArray, FloatArray, IntArray
from xai_ext.explanation import segments_mask

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_OPACITY = 0.85
_COLUMNS = 5
_TRUTH = "#56b4e9"
_BOXES = ["#e69f00", "#56b4e9", "#009e73", "#cc79a7"]  # Okabe and Ito's palette


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


def masked(
    image: AnyArray, labels: IntArray, coalition: BoolArray, fill: AnyArray | float = 0.5, *, ax: "Axes | None" = None
) -> "Axes":
    """The image as the model sees it when only the regions of a coalition are present.

    Parameters
    ----------
    image : array (H, W, 3) or (H, W), uint8 or 0..1
    labels : int array (H, W)
        Regions 0..n-1.
    coalition : bool array (n,)
        True keeps a region.
    fill : array like `image`, or a grey value in 0..1
        What takes the place of absent regions.
    ax : matplotlib Axes, optional
    """
    keep = np.asarray(coalition, bool)[labels]
    if keep.shape != image.shape[:2]:
        raise InputError(f"labels must have the image's shape {image.shape[:2]}, got {keep.shape}")
    hidden = _rgb(fill) if isinstance(fill, np.ndarray) else np.full((*keep.shape, 3), fill)
    ax = _axes(ax)
    ax.imshow(np.where(keep[:, :, None], _rgb(image), hidden))
    ax.set_axis_off()
    return ax


def positive_segments(
    image: AnyArray, labels: IntArray, coefficients: FloatArray, *, top: int | None = None, ax: "Axes | None" = None
) -> "Axes":
    """The regions (H, W) with positive coefficients (n,), all or the `top` largest; the rest is grey."""
    keep = segments_mask(labels, coefficients, top=top) > 0
    ax = _axes(ax)
    ax.imshow(np.where(keep[:, :, None], _rgb(image), 0.5))
    if not keep.any():
        ax.text(0.5, 0.5, "none", transform=ax.transAxes, ha="center", va="center", backgroundcolor="white")
    ax.set_axis_off()
    return ax


def score_boxes(scores: FloatArray, *, names: Sequence[str] | None = None, ax: "Axes | None" = None) -> "Axes":
    """One box per class of perturbation scores (m, classes).

    Boxes from the first to the third quartile, whiskers within 1.5 times their distance, points outside, the mean
    as a diamond. `names` are written below.
    """
    ax = _axes(ax)
    marks = {"marker": "D", "markerfacecolor": "white", "markeredgecolor": "black", "markersize": 5}
    names = [str(i) for i in range(scores.shape[1])] if names is None else list(names)
    drawn = ax.boxplot(
        list(scores.T), tick_labels=names, whis=1.5, showmeans=True, meanprops=marks, patch_artist=True,
        flierprops={"marker": ".", "markersize": 3}, medianprops={"color": "black"},
    )  # fmt: skip
    for box, colour in zip(drawn["boxes"], _BOXES * len(names), strict=False):
        box.set_facecolor(colour)
    ax.tick_params(axis="x", labelsize=8)
    ax.grid(axis="y", alpha=0.3)
    return ax


def loss_boxes(losses: FloatArray, *, names: Sequence[str] | None = None, ax: "Axes | None" = None) -> "Axes":
    """One box per class of the surrogate's losses (m, classes), drawn as `score_boxes`, from 0 up."""
    ax = score_boxes(losses, names=names, ax=ax)
    ax.set_ylim(bottom=0)
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


def agreement_matrix(
    names: Sequence[str], matrix: FloatArray, floor: FloatArray, *, title: str = "", fig: "Figure | None" = None
) -> "Figure":
    """Agreement of every pair of methods, and beside it the noise floor of each.

    Parameters
    ----------
    names : sequence of str
    matrix : array (m, m)
        -1..1; NaN stays blank.
    floor : array (m,)
        Agreement of runs of one method.
    title : str
    fig : matplotlib Figure, optional
        None makes one that pyplot does not know.
    """
    from matplotlib.figure import Figure

    m = len(names)
    side = 0.55 * m + 2
    fig = fig or Figure(figsize=(side + 1.6, side), layout="constrained")
    left, right = fig.subplots(1, 2, width_ratios=[m, 1])
    for ax, values, labels in (
        (left, matrix, list(map(str, range(1, m + 1)))),
        (right, floor[:, None], ["seed\nfloor"]),
    ):
        shown = ax.imshow(values, cmap="RdBu_r", vmin=-1, vmax=1, aspect="auto")
        ax.set_xticks(range(values.shape[1]), labels)
        ax.xaxis.tick_top()
        ax.tick_params(length=0, labelsize=9)
        for (i, j), value in np.ndenumerate(values):
            if np.isfinite(value):
                colour = "white" if abs(value) > 0.6 else "black"
                ax.text(j, i, f"{value:.2f}", ha="center", va="center", fontsize=8, color=colour)
    left.set_yticks(range(m), [f"{i + 1}  {name}" for i, name in enumerate(names)])
    right.set_yticks([])
    fig.colorbar(shown, ax=right, label="Spearman's correlation of mean densities of regions", fraction=0.6)
    if title:
        fig.suptitle(title, fontsize=10)
    return fig


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
