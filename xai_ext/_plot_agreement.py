"""Agreement of methods: a matrix of numbers, and the tree it makes."""

import warnings
from typing import TYPE_CHECKING

import numpy as np

from xai_ext._checks import InputError, check_choice
from xai_ext._plot_maps import axes, say
from xai_ext._types import AnyArray, FloatArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from pandas import DataFrame


def agreement_heatmap(
    matrix: "DataFrame", floor: AnyArray | None = None, order: str = "cluster", *, ax: "Axes | None" = None
) -> "Axes":
    """Agreement of every pair of methods; on the diagonal what noise of seeds leaves of a method's own.

    Parameters
    ----------
    matrix : DataFrame (m, m)
        -1..1, names as its index; NaN stays blank.
    floor : array (m,), optional
        Agreement of runs of one method, in place of the diagonal. Two methods disagree beyond noise where they agree
        less than the mean of their two floors.
    order : {"cluster", "given"}
        Methods that agree side by side, or as they come.
    ax : matplotlib Axes, optional
    """
    values = _square(matrix)
    check_choice("order", order, ("cluster", "given"))
    if floor is not None:
        np.fill_diagonal(values, _floors(floor, len(values)))
    ranks = leaf_order(values) if order == "cluster" else np.arange(len(values))
    names = [str(matrix.index[i]) for i in ranks]
    ax = axes(ax)
    _cells(ax, values[np.ix_(ranks, ranks)])
    ax.set_xticks(range(len(names)), names, rotation=90)
    ax.set_yticks(range(len(names)), names)
    ax.tick_params(length=0, labelsize=9)
    return ax


def _floors(floor: AnyArray, m: int) -> FloatArray:
    floors = np.asarray(floor, dtype=np.float64)
    if floors.shape != (m,):
        raise InputError(f"floor must hold one number per method ({m}), got shape {floors.shape}")
    return floors


def _cells(ax: "Axes", values: FloatArray) -> None:
    edges = np.arange(len(values) + 1) - 0.5
    ax.pcolormesh(edges, edges, values, cmap="RdBu_r", vmin=-1, vmax=1, edgecolors="white", linewidth=1)
    for (i, j), value in np.ndenumerate(values):
        if np.isfinite(value):
            colour = "white" if abs(value) > 0.6 else "black"
            weight = "bold" if i == j else "normal"
            cell = ax.text(j, i, f"{value:.2f}", ha="center", va="center", fontsize=8, color=colour, weight=weight)
            cell.set_in_layout(False)  # it lies within the axes: measuring hundreds of them takes a second
    ax.invert_yaxis()
    ax.set_aspect("equal")
    ax.spines[:].set_visible(False)


def agreement_dendrogram(matrix: "DataFrame", *, ax: "Axes | None" = None) -> "Axes":
    """The tree of methods by average linkage of 1 - agreement; pairs that were not compared count as unlike.

    `matrix` is that of `agreement_heatmap`.
    """
    from scipy.cluster.hierarchy import dendrogram

    values, names = _square(matrix), [str(name) for name in matrix.index]
    ax = axes(ax)
    if len(names) < 2:
        say(ax, "a tree needs two methods")
        return ax
    with warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", "Attempting to set identical"
        )  # methods that all agree: a tree without height
        dendrogram(_linkage(values), labels=names, orientation="left", color_threshold=0, ax=ax,
                   above_threshold_color="#0072b2")  # fmt: skip
    ax.set_xlabel("1 - agreement")
    ax.tick_params(axis="y", length=0, labelsize=9)
    ax.spines[["top", "right", "left"]].set_visible(False)
    return ax


def leaf_order(values: FloatArray) -> AnyArray:
    """The order of methods (m,) in their tree, neighbours as alike as can be."""
    from scipy.cluster.hierarchy import leaves_list

    if len(values) < 3:
        return np.arange(len(values))
    return np.asarray(leaves_list(_linkage(values)))


def _linkage(values: FloatArray) -> FloatArray:
    from scipy.cluster.hierarchy import linkage

    upper = np.triu_indices(len(values), 1)
    distances = 1 - np.nan_to_num(values)[upper]
    return np.asarray(linkage(np.clip(distances, 0, None), "average", optimal_ordering=True))


def _square(matrix: "DataFrame") -> FloatArray:
    values = np.array(matrix, dtype=np.float64)
    if values.ndim != 2 or values.shape[0] != values.shape[1] or not hasattr(matrix, "index"):
        raise InputError(f"matrix must be a DataFrame (m, m) with names as its index, got shape {values.shape}")
    return values
