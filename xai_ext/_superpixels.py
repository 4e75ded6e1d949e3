"""Images of superpixels in NumPy, for a host that takes arrays."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from xai_ext._mixing import Chosen, Operand
from xai_ext._types import AnyArray, BoolArray, IntArray


def two_dimensional(classifier_fn: Callable[[AnyArray], AnyArray]) -> Callable[[AnyArray], AnyArray]:
    """A classifier whose one score per image is a column."""

    def classify(images: AnyArray) -> AnyArray:
        scores = np.asarray(classifier_fn(images))
        return scores[:, None] if scores.ndim == 1 else scores

    return classify


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

    operand = Operand(_channels_last(image), _channels_last(fill))
    players, rows = torch.from_numpy(segments), list[AnyArray]()
    with tqdm(total=len(coalitions)) as bar:
        for start in range(0, len(coalitions), batch_size):
            part = torch.from_numpy(coalitions[start : start + batch_size])
            rows.extend(classifier_fn(operand.mixed(Chosen(part, players)).movedim(1, -1).numpy()))
            bar.update(len(part))
    return np.array(rows)


def _channels_last(image: AnyArray) -> Tensor:
    """An array (H, W, C) as (1, C, H, W), which shares its order in memory."""
    return torch.from_numpy(np.ascontiguousarray(image)).movedim(-1, 0)[None]
