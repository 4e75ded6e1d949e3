"""Images of superpixels in NumPy, for a host that takes arrays."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from xai_ext._forward import NumpyForward
from xai_ext._mixing import Chosen
from xai_ext._types import AnyArray, BoolArray, IntArray
from xai_ext.game import MaskedModel


@dataclass(frozen=True, eq=False)
class TwoDimensional:
    """A classifier whose one score per image is a column."""

    explained_model: Callable[[AnyArray], AnyArray]

    def __call__(self, images: AnyArray) -> AnyArray:
        scores = np.asarray(self.explained_model(images))
        return scores[:, None] if scores.ndim == 1 else scores


def segment_means(image: AnyArray, segments: IntArray) -> AnyArray:
    """The fill of lime, for any number of channels and rounded as lime rounds."""
    fill = image.copy()
    for segment in range(int(segments.max()) + 1):
        pixels = image[segments == segment]
        fill[segments == segment] = [np.mean(pixels[:, c]) for c in range(image.shape[-1])]
    return fill


def scores(
    image: AnyArray,
    fill: AnyArray,
    segments: IntArray,
    classifier_fn: Callable[[AnyArray], AnyArray],
    coalitions: BoolArray,
    batch_size: int,
) -> AnyArray:
    """Scores of coalitions (m, n) of segments, batch by batch; the rest is filled."""
    from tqdm.auto import tqdm

    inputs, fills = _channels_last(image), _channels_last(fill)
    model = MaskedModel(NumpyForward(classifier_fn), inputs, fills, batch_size=batch_size)
    players, rows = torch.from_numpy(segments), torch.from_numpy(coalitions)
    with tqdm(total=len(rows)) as bar, model.reporting(bar.update):
        return model.evaluate(len(rows), lambda part: (Chosen(rows[part], players),))


def _channels_last(image: AnyArray) -> Tensor:
    """An array (H, W, C) as (1, C, H, W), which shares its order in memory."""
    return torch.from_numpy(np.ascontiguousarray(image)).movedim(-1, 0)[None]
