"""Trees that are built from an image again and again: with evidence, or with noise."""

from collections.abc import Callable
from inspect import Parameter, signature
from typing import Any

import numpy as np

from xai_ext._checks import InputError, InputTypeError
from xai_ext._types import AnyArray, FloatArray
from xai_ext.explanation import Explanation
from xai_ext.game import Game, MaskedModel
from xai_ext.hierarchies import Hierarchy, axis_aligned, bpt
from xai_ext.hierarchies._color import channels
from xai_ext.segmentation import Image, channels_last

Builder = Callable[..., Hierarchy]


class ImageTrees:
    """Builds trees over the players of one image.

    Parameters
    ----------
    masked_model : MaskedModel
    image : Tensor or array
        What the trees follow.
    labels : int array (H, W), optional
        None: every pixel is a player.
    hierarchy : callable (image, labels) -> Hierarchy, optional
        None = `bpt`.
    """

    def __init__(self, masked_model: MaskedModel, image: Image, labels: Any, hierarchy: Any) -> None:
        shape = channels_last(image).shape[:2]
        if labels is not None and np.shape(labels) != shape:
            raise InputError(f"labels must have the image's shape {shape}, got {np.shape(labels)}")
        pixels = np.arange(shape[0] * shape[1]).reshape(shape)
        self.image, self.game = image, Game(masked_model, pixels if labels is None else labels)
        self.builder = _builder(hierarchy)
        # bpt knows that None means pixels, other callables are promised labels
        self._labels = labels if hierarchy is None else self.game.labels[0]

    def build(self, image: Image | None = None, **options: AnyArray) -> Hierarchy:
        """The tree of the image, or of another one of its shape."""
        return self.builder(self.image if image is None else image, self._labels, **options)

    def check_takes_evidence(self) -> None:
        """Feedback hands evidence to the builder as ``extra``."""
        parameters = signature(self.builder).parameters
        if "extra" not in parameters and not any(p.kind is Parameter.VAR_KEYWORD for p in parameters.values()):
            raise InputTypeError(
                "feedback needs a hierarchy that takes extra=, a map (H, W) in units 0..255 beside the colours, as "
                f"bpt does; got {getattr(self.builder, '__name__', type(self.builder).__name__)}"
            )


def _builder(hierarchy: Any) -> Builder:
    if hierarchy is axis_aligned or not (hierarchy is None or callable(hierarchy)):
        given = "axis_aligned, which ignores the image" if callable(hierarchy) else type(hierarchy).__name__
        raise InputTypeError(
            "hierarchy must be a callable (image, labels) -> Hierarchy, because trees are built from the image again "
            f"and again; got {given}; fix: bpt, or one run of owen"
        )
    builder: Builder = bpt if hierarchy is None else hierarchy
    return builder


def in_grey_levels(image: Image) -> FloatArray:
    """The image (H, W, C) in units 0..255, as `bpt` reads it before it turns colours into Lab."""
    return channels(image, "rgb", quantize=False).astype(np.float64)


def rank_agreement(first: Explanation, second: Explanation) -> float:
    """Spearman's correlation of two density maps, the mean over outputs; NaN when one map is flat."""
    from scipy.stats import rankdata

    maps = [e.density_map().reshape(e.labels[0].size, -1) for e in (first, second)]
    ranks = [rankdata(m, axis=0) for m in maps]
    centred = [r - r.mean(0) for r in ranks]
    norm = np.sqrt((centred[0] ** 2).sum(0) * (centred[1] ** 2).sum(0))
    product = (centred[0] * centred[1]).sum(0)
    return float(np.divide(product, norm, out=np.full_like(norm, np.nan), where=norm > 0).mean())
