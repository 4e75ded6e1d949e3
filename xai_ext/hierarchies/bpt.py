"""Binary partition trees: the image's own regions, merged greedily."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from xai_ext._checks import InputError, InputTypeError
from xai_ext._types import AnyArray, IntArray
from xai_ext.hierarchies._color import channels
from xai_ext.hierarchies._players import check_players, raster_blocks
from xai_ext.hierarchies.hierarchy import Hierarchy
from xai_ext.segmentation import Image

_TERMS = ("color", "area", "perimeter")
_BLOCK = 96  # pixels a side: its graph stays in the second-level cache
_MOST_PLAYERS = 2**29 - 1  # four edges each, numbered in 32 bits


def bpt(
    image: Image,
    labels: Any = None,
    *,
    color: str = "auto",
    connectivity: int = 8,
    terms: Sequence[str] = _TERMS,
    quantize: bool = True,
    extra: Any = None,
) -> Hierarchy:
    r"""Which regions does the image fall into, at every scale?

    Starts with every player on its own and always merges the two adjacent regions at the smallest distance [1]_ [2]_

    .. math:: \sum_c (\max_c - \min_c + 1)^2 \; (A_a + A_b) \; \sqrt{P_a + P_b - 2 L_{ab}}

    with the colour range over both regions, their areas A, perimeters P (the image border counts) and common border L.

    Parameters
    ----------
    image : Tensor (C, H, W) or (1, C, H, W), or array (H, W) or (H, W, C)
        Bytes, floats in 0..1 or 0..255, or anything else, which is scaled by its own range.
    labels : int array (H, W), optional
        Players 0..n-1 to start from; a region in several pieces is one player. None: every pixel.
    color : {"auto", "rgb", "raw"}
        CIE Lab for three channels, scaled to 0..255; the channels without Lab; the values as they are.
    connectivity : {4, 8}
        With 8, players that touch at a corner only may merge too.
    terms : subset of {"color", "area", "perimeter"}
        Factors of the distance. Without area the tree may become as deep as it has players.
    quantize : bool
        Whole numbers 0..255 as published. They tie often, and how ties fall changes the tree.
    extra : array (H, W) or (H, W, E), optional
        Further channels beside the colours, units 0..255.

    Returns
    -------
    Hierarchy
        Heights are the distances; rows are in the order of merging, ties by (smaller, larger) player of the first
        edge between two regions.

    Notes
    -----
    Float images that hold bytes divided by 255 or by nothing are read as these bytes, so that uint8, float32 and
    float64 copies of one picture have one tree.

    One tree is one draw from many: of two trees of a photo and of its mirror image, regions overlap by about .6
    (intersection over union), with ``quantize=False`` by .6 to .8.

    References
    ----------
    .. [1] Salembier, Garrido, "Binary partition tree as an efficient representation for image processing", IEEE
       Trans. Image Processing 9 (2000).
    .. [2] Rashid et al., "ShapBPT", AAAI 2026.
    """
    used, neighbors = _check_terms(terms), _check_connectivity(connectivity)
    colors = channels(image, color, quantize=quantize, extra=extra)
    players = None if labels is None else check_players(labels, colors.shape[:2])
    merges = _merges(colors, players, neighbors, used)
    areas = np.ones(len(merges) + 1) if players is None else np.bincount(players.ravel())
    return Hierarchy.from_merges(merges, areas, structure=_structure(color, neighbors, used, quantize, extra))


def _merges(colors: AnyArray, players: IntArray | None, connectivity: int, terms: tuple[str, ...]) -> AnyArray:
    from xai_ext.hierarchies import _graph, _linkage, _merging  # numba is imported with the first tree

    shape = colors.shape[:2]
    n = shape[0] * shape[1] if players is None else int(players.max()) + 1
    if n > _MOST_PLAYERS:
        raise InputError(f"a tree takes at most {_MOST_PLAYERS} players, got {n}; fix: labels= with fewer regions")
    if players is None:
        graph, blocks = _graph.pixel_graph(colors, connectivity, terms), raster_blocks(shape, _BLOCK)
    else:
        graph, blocks = _graph.atom_graph(colors, players, connectivity, terms), raster_blocks((1, n), _BLOCK**2)
    _merging.merge_all(graph, blocks)
    rows = graph.rows
    del graph  # nine tenths of the memory
    return _linkage.linkage(rows)


def _check_terms(terms: Sequence[str]) -> tuple[str, ...]:
    used = (terms,) if isinstance(terms, str) else tuple(terms)
    if not used or len(set(used)) < len(used) or not set(used) <= set(_TERMS):
        raise InputError(f"terms must be some of {', '.join(map(repr, _TERMS))}, each at most once, got {terms!r}")
    return tuple(t for t in _TERMS if t in used)


def _check_connectivity(connectivity: int) -> int:
    if isinstance(connectivity, bool) or not isinstance(connectivity, int | np.integer):
        raise InputTypeError(f"connectivity must be the int 4 or 8, got {connectivity!r}")
    if connectivity not in (4, 8):
        raise InputError(f"connectivity must be 4 (sides) or 8 (sides and corners), got {connectivity}")
    return int(connectivity)


def _structure(color: str, connectivity: int, terms: tuple[str, ...], quantize: bool, extra: Any) -> str:
    words = ["bpt", f"color={color}", f"connectivity={connectivity}", f"terms={'+'.join(terms)}"]
    words += ["quantized"] * quantize + ["extra channels"] * (extra is not None)
    return ", ".join([*words, "ties by edge number"])
