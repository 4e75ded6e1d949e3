"""Maps as colours, laid over their image."""

from typing import TYPE_CHECKING, Any

import numpy as np

from xai_ext._checks import InputError
from xai_ext._types import AnyArray, BoolArray, FloatArray, IntArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_OPACITY = 0.85
TRUTH = "#56b4e9"


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
    ax = axes(ax)
    ax.imshow(grey(image), cmap="gray", vmin=0, vmax=1)
    scale = _scale(values, percentile)
    if scale > 0:
        ax.imshow(_coloured(values, scale))
    else:
        ax.text(0.5, 0.5, "all zero", transform=ax.transAxes, ha="center", va="center", backgroundcolor="white")
    if truth is not None and truth.any() and not truth.all():
        ax.contour(truth.astype(float), [0.5], colors=TRUTH, linewidths=1.2)
    ax.set_axis_off()
    return ax


def segments(image: AnyArray, labels: IntArray, *, ax: "Axes | None" = None) -> "Axes":
    """The borders of regions (H, W) on their image."""
    from skimage.segmentation import mark_boundaries

    ax = axes(ax)
    ax.imshow(mark_boundaries(rgb(image), labels, color=(1.0, 1.0, 0.0)))
    ax.set_axis_off()
    return ax


def legend(fig: "Figure", with_truth: bool) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    handles: list[Any] = [
        Patch(color=_colours("RdBu_r")(0.95), label="raises the score"),
        Patch(color=_colours("RdBu_r")(0.05), label="lowers the score"),
        Patch(color=_colours("viridis")(0.95), label="strongest, in maps without negative values"),
    ]
    if with_truth:
        handles.append(Line2D([], [], color=TRUTH, label="object"))
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


def rgb(image: AnyArray) -> FloatArray:
    array = image / 255.0 if image.dtype == np.uint8 else image.astype(float)
    array = array if array.ndim == 3 else array[:, :, None]
    return np.asarray(np.broadcast_to(array[:, :, :3], (*array.shape[:2], 3))).clip(0, 1)


def grey(image: AnyArray) -> FloatArray:
    return np.asarray(rgb(image) @ [0.299, 0.587, 0.114])


def axes(ax: "Axes | None") -> "Axes":
    if ax is not None:
        return ax
    import matplotlib.pyplot as plt

    return plt.subplots()[1]
