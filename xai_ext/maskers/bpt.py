"""An image whose pixels or regions form a tree that follows the image, for SHAP."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from torch import Tensor

from xai_ext._checks import InputError, InputTypeError, check_choice
from xai_ext._shap_compat import Deserializer, Serializer
from xai_ext._types import AnyArray, FloatArray, IntArray
from xai_ext.hierarchies import Hierarchy, axis_aligned, bpt
from xai_ext.maskers._pixel_linkage import pixel_linkage
from xai_ext.maskers._row_cache import RowCache
from xai_ext.maskers.segments import Segments
from xai_ext.segmentation import Segmentation, pixels

Builder = Callable[[AnyArray, IntArray], Hierarchy]


class BPT(Segments):
    """Masks an image along a tree over its pixels or regions.

    ``shap.Explainer(f, BPT(image))`` is SHAP's partition explainer on this tree; `xai_ext.explainers.BPTOwen` needs
    less time and memory for the same values.

    Parameters
    ----------
    image : array (H, W, C), or that shape
        What the rows to explain look like.
    baseline : number, array (C,), array (H, W, C), "mean", "blur(kx,ky)" or callable
        As for `Segments`.
    labels : integer array (H, W), or callable image -> labels, optional
        Regions that are never divided. None: every pixel is a region.
    hierarchy : {"bpt", "axis_aligned"}, Hierarchy or callable
        The tree over the regions: `xai_ext.hierarchies.bpt` of each row; nested rectangles; a tree of one's own over
        as many players; or ``(image, labels) -> Hierarchy``, called with each row as float64 (H, W, C).

    Attributes
    ----------
    shape : (1, H * W)
        SHAP's own algorithms see every pixel as a player.
    image_shape : (H, W, C)

    Notes
    -----
    Inside a region the linkage given to SHAP joins pixels by halves at distance -1: SHAP does not descend there,
    and shares a region's value equally among its pixels.

    References
    ----------
    .. [1] Rashid, Amparore et al., "ShapBPT", AAAI 2026.
    """

    def __init__(
        self,
        image: Any,
        baseline: float | str | AnyArray | Callable[..., Tensor] = 0.0,
        labels: AnyArray | Segmentation | None = None,
        hierarchy: str | Hierarchy | Builder = "bpt",
    ) -> None:
        super().__init__(image, baseline, pixels if labels is None else labels)
        self.hierarchy = _checked_hierarchy(hierarchy)
        self._trees: RowCache[Hierarchy] = RowCache()
        self._linkages: RowCache[FloatArray] = RowCache()
        if isinstance(hierarchy, Hierarchy) and not callable(self.labels):
            _check_players(hierarchy, self.labels)

    def clustering(self, x: Any) -> FloatArray:
        """The linkage over pixels that SHAP descends, (H*W-1, 4); `InputError` where it is too deep for SHAP."""
        return self._linkages("linkage", self.row(x), self._linkage)

    def hierarchy_of(self, x: AnyArray) -> Hierarchy:
        """The tree over the regions of one row."""
        return self._trees("tree", self.row(x), self._built)

    def merges_of(self, x: AnyArray) -> FloatArray:
        """Its linkage, (n-1, 4)."""
        return self.hierarchy_of(x).merges

    def labels_of(self, x: AnyArray) -> IntArray:
        """The region of each pixel of one row, (H, W), ids 0..n-1."""
        return pixels(self.row(x)) if self.has_pixel_players else super().labels_of(x)

    @property
    def has_pixel_players(self) -> bool:
        """Is every pixel a region?"""
        return self.labels is pixels

    @property
    def builder(self) -> Any:
        """What builds the trees: a callable (image, labels) -> Hierarchy, or the one `Hierarchy`."""
        named: dict[Any, Any] = {"bpt": bpt, "axis_aligned": axis_aligned}
        return named[self.hierarchy] if isinstance(self.hierarchy, str) else self.hierarchy

    def save(self, out_file: Any) -> None:
        """Write the masker to a file object, as SHAP does."""
        super().save(out_file)
        with Serializer(out_file, "xai_ext.BPT", version=0) as s:
            s.save(
                "arguments", {"labels": None if self.has_pixel_players else self.labels, "hierarchy": self.hierarchy}
            )

    @classmethod
    def load(cls, in_file: Any, instantiate: bool = True) -> Any:
        """Read a masker from a file object; ``instantiate=False`` returns its constructor's arguments."""
        if instantiate:
            return cls._instantiated_load(in_file)
        arguments = super().load(in_file, instantiate=False)
        with Deserializer(in_file, "xai_ext.BPT", min_version=0, max_version=0) as s:
            return dict(arguments, **s.load("arguments"))

    def _linkage(self, row: AnyArray) -> FloatArray:
        return pixel_linkage(self.hierarchy_of(row), self.labels_of(row))

    def _built(self, row: AnyArray) -> Hierarchy:
        labels = self.labels_of(row)
        players = None if self.has_pixel_players else labels
        if self.hierarchy == "bpt":
            return bpt(row, players)
        if self.hierarchy == "axis_aligned":
            return axis_aligned(self.image_shape[:2], players)
        tree = self.hierarchy(row.astype(np.float64), labels) if callable(self.hierarchy) else self.hierarchy
        return _with_pixel_counts(_check_players(tree, labels), labels)


def _checked_hierarchy(hierarchy: Any) -> Any:
    if hierarchy is bpt or hierarchy is axis_aligned:
        return hierarchy.__name__
    if isinstance(hierarchy, str):
        return check_choice("hierarchy", hierarchy, ("bpt", "axis_aligned"))
    if not (callable(hierarchy) or isinstance(hierarchy, Hierarchy)):
        raise InputTypeError(
            "hierarchy must be 'bpt', 'axis_aligned', a Hierarchy or a callable (image, labels) -> Hierarchy, got "
            f"{type(hierarchy).__name__}; fix: Hierarchy.from_merges(linkage)"
        )
    return hierarchy


def _check_players(tree: Any, labels: IntArray) -> Hierarchy:
    if not isinstance(tree, Hierarchy):
        raise InputTypeError(f"the hierarchy callable must return a Hierarchy, got {type(tree).__name__}")
    n = int(labels.max()) + 1
    if tree.n_players != n:
        raise InputError(
            f"hierarchy must be over the {n} regions of the masker, got a tree of {tree.n_players} players; "
            "fix: build it from the same labels"
        )
    return tree


def _with_pixel_counts(tree: Hierarchy, labels: IntArray) -> Hierarchy:
    """A linkage from elsewhere knows no areas, and an undivided node shares its value by area."""
    counts = np.bincount(labels.ravel()).astype(np.float64)
    return tree if np.array_equal(tree.areas, counts) else replace(tree, areas=counts)
