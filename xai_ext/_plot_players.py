"""Regions present and absent, and what a model says of them."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from xai_ext._checks import InputError
from xai_ext._plot_maps import axes, check_shape, rgb, say
from xai_ext._plot_series import COLOURS
from xai_ext._types import AnyArray, BoolArray, FloatArray, IntArray
from xai_ext.explanation import segments_mask

if TYPE_CHECKING:
    from matplotlib.axes import Axes


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
    shown, present = rgb(image), np.asarray(coalition, bool)
    check_shape("labels", labels, image)
    if present.ndim != 1 or not ((labels >= 0) & (labels < len(present))).all():
        raise InputError(f"a coalition of {present.shape} regions needs labels 0..n-1, got {np.unique(labels)}")
    hidden = rgb(fill) if isinstance(fill, np.ndarray) else np.full(shown.shape, fill)
    if hidden.shape != shown.shape:
        raise InputError(f"fill must be a grey value or like the image {shown.shape}, got {hidden.shape}")
    ax = axes(ax)
    ax.imshow(np.where(present[labels][:, :, None], shown, hidden))
    ax.set_axis_off()
    return ax


def positive_segments(
    image: AnyArray, labels: IntArray, coefficients: FloatArray, *, top: int | None = None, ax: "Axes | None" = None
) -> "Axes":
    """The regions (H, W) with positive coefficients (n,), all or the `top` largest; the rest is grey."""
    shown = rgb(image)
    check_shape("labels", labels, image)
    keep = segments_mask(labels, coefficients, top=top) > 0
    ax = axes(ax)
    ax.imshow(np.where(keep[:, :, None], shown, 0.5))
    if not keep.any():
        say(ax, "none")
    ax.set_axis_off()
    return ax


def score_boxes(scores: FloatArray, *, names: Sequence[str] | None = None, ax: "Axes | None" = None) -> "Axes":
    """One box per class of perturbation scores (m, classes).

    Boxes from the first to the third quartile, whiskers within 1.5 times their distance, points outside, the mean
    as a diamond. `names` are written below. Scores that are not finite are left out.
    """
    scores = np.asarray(scores, dtype=np.float64)
    if scores.ndim != 2 or (names is not None and len(names) != scores.shape[1]):
        raise InputError(f"scores must be (m, classes) with one name per class, got {scores.shape} and names {names}")
    ax = axes(ax)
    marks = {"marker": "D", "markerfacecolor": "white", "markeredgecolor": "black", "markersize": 5}
    names = [str(i) for i in range(scores.shape[1])] if names is None else list(names)
    drawn = ax.boxplot(
        [column[np.isfinite(column)] for column in scores.T], tick_labels=names, whis=1.5, showmeans=True,
        meanprops=marks, patch_artist=True, flierprops={"marker": ".", "markersize": 3},
        medianprops={"color": "black"},
    )  # fmt: skip
    for i, box in enumerate(drawn["boxes"]):
        box.set_facecolor(_PALE[i % len(_PALE)])
    ax.tick_params(axis="x", labelsize=8)
    ax.grid(axis="y", alpha=0.3)
    return ax


def loss_boxes(losses: FloatArray, *, names: Sequence[str] | None = None, ax: "Axes | None" = None) -> "Axes":
    """One box per class of the surrogate's losses (m, classes), drawn as `score_boxes`, from 0 up."""
    ax = score_boxes(losses, names=names, ax=ax)
    ax.set_ylim(bottom=0)
    return ax


_PALE = (COLOURS[1], COLOURS[2], COLOURS[3], COLOURS[7])
