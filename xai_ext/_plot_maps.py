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
    signed: bool | str = "auto",
    percentile: float = 99.5,
    truth: BoolArray | None = None,
    ax: "Axes | None" = None,
) -> "Axes":
    """A map laid over its image: the stronger the value, the less of the image is seen.

    Parameters
    ----------
    image : array (H, W, 3) or (H, W), uint8 or 0..1
    values : array (H, W)
        What is not finite stays uncoloured.
    signed : bool or "auto"
        Diverging colours centred at 0, or colours of the size alone; "auto": diverging when any value is negative.
    percentile : float
        Of abs(values), which gets the full colour; a few extreme pixels do not pale the rest.
    truth : bool array (H, W), optional
        Outlined.
    ax : matplotlib Axes, optional
        None makes a figure by pyplot.
    """
    under = grey(image)
    check_shape("values", values, image)
    colours = coloured(values, signed=signed, percentile=percentile)
    ax = axes(ax)
    ax.imshow(under, cmap="gray", vmin=0, vmax=1)
    if colours is not None:
        ax.imshow(colours)
    else:
        say(ax, "all zero")
    outline(ax, truth, image)
    ax.set_axis_off()
    return ax


def segments(image: AnyArray, labels: IntArray, *, ax: "Axes | None" = None) -> "Axes":
    """The borders of regions (H, W) on their image."""
    from skimage.segmentation import mark_boundaries

    under = rgb(image)
    check_shape("labels", labels, image)
    ax = axes(ax)
    ax.imshow(mark_boundaries(under, labels, color=(1.0, 1.0, 0.0)))
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


def coloured(values: FloatArray, *, signed: bool | str = "auto", percentile: float = 99.5) -> FloatArray | None:
    """Colours (H, W, 4) of a map, opacity by strength; None where all is zero or nothing is finite."""
    if not 0 <= percentile <= 100:
        raise InputError(f"percentile must lie in 0..100, got {percentile!r}")
    known = np.where(np.isfinite(values), values, 0.0)
    scale = float(np.percentile(np.abs(known), percentile)) or float(np.abs(known).max())
    if scale == 0:
        return None
    strength = np.minimum(np.abs(known), scale) / scale
    if signed is True or (signed == "auto" and (known < 0).any()):
        colours = _colours("RdBu_r")(np.clip(known, -scale, scale) / scale / 2 + 0.5)
    else:
        colours = _colours("viridis")(strength)
    colours[..., 3] = _OPACITY * strength
    return np.asarray(colours)


def blended(image: AnyArray, values: FloatArray) -> FloatArray:
    """The picture (H, W, 3) in 0..1 that `overlay` draws; a map that is all zero leaves the grey image."""
    under = np.repeat(grey(image)[:, :, None], 3, axis=2)
    colours = coloured(values)
    if colours is None:
        return under
    return np.asarray(under * (1 - colours[..., 3:]) + colours[..., :3] * colours[..., 3:])


def say(ax: "Axes", words: str) -> None:
    """Words in the middle of a picture."""
    ax.text(0.5, 0.5, words, transform=ax.transAxes, ha="center", va="center", backgroundcolor="white")


def _colours(name: str) -> Any:
    from matplotlib import colormaps

    return colormaps[name]


def check_shape(name: str, values: AnyArray, image: AnyArray) -> None:
    """An array over the pixels of the image."""
    if values.shape != image.shape[:2]:
        raise InputError(f"{name} must have the image's shape {image.shape[:2]}, got {values.shape}")


def outline(ax: "Axes", truth: BoolArray | None, image: AnyArray, linewidth: float = 1.2) -> None:
    """The border of the object, where it has one; a line of pixels has none."""
    if truth is None:
        return
    check_shape("truth", truth, image)
    if truth.any() and not truth.all() and min(truth.shape) > 1:
        ax.contour(truth.astype(float), [0.5], colors=TRUTH, linewidths=linewidth)


def rgb(image: AnyArray) -> FloatArray:
    if not image.size or image.ndim not in (2, 3) or (image.ndim == 3 and image.shape[2] not in (1, 3, 4)):
        raise InputError(f"an image must be (H, W), or (H, W, C) with 1, 3 or 4 channels, got {image.shape}")
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
