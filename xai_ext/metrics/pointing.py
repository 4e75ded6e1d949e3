"""Where is a map's maximum, and where its mass?"""

from collections.abc import Callable
from functools import partial
from typing import Any, Unpack

import numpy as np
import torch
from torch import Tensor

from xai_ext._checks import InputError, check_choice
from xai_ext._types import BoolArray
from xai_ext.metrics._adapt import Attributions
from xai_ext.metrics._chance import near, squared_distances
from xai_ext.metrics._locating import Locating, Masks, Place, Scores, located
from xai_ext.metrics._metric import metric
from xai_ext.metrics._scenes import Finding, Scene

_PUBLISHED_TOLERANCE = 15.0


@metric(higher_is_better=True, range=(0.0, 1.0), needs=["masks"])
def pointing_game(
    attributions: Attributions,
    masks: Masks = None,
    *,
    tolerance: float | None = None,
    ties: str = "expected",
    compat: str | None = None,
    **options: Unpack[Locating],
) -> Scores:
    """Does the most salient position fall on the object?

    Parameters and errors are those of `iou`, and:

    Parameters
    ----------
    tolerance : float, pixels
        A hit may miss the object by this Euclidean distance, inclusive; None is 0. Published numbers use 15 at the
        size of the original image.
    ties : {"expected", "first", "any"}
        Of tied maxima: the share that hits; the first in raster order; whether any hits.
    compat : {"torchray"}, optional
        As in the published benchmark [2]_: the first maximum, hits strictly within `tolerance` (None is 15, and 0 never
        hits), an empty mask is a miss. For reproduction only.

    Returns
    -------
    float64 Tensor (B,)
        1 hit, 0 miss, or the share of tied maxima that hit, so that a flat map scores the object's share of the
        image instead of a free 1. NaN for an empty mask and for a map that is not finite.

    References
    ----------
    .. [1] Zhang et al., "Top-down neural attention by excitation backprop", IJCV 126 (2018), sec. 4.1.
    .. [2] Fong, Patrick, Vedaldi, "Understanding deep networks via extremal perturbations and smooth masks", ICCV
       2019.

    Examples
    --------
    >>> import torch
    >>> from xai_ext.metrics import pointing_game
    >>> mask = torch.tensor([[[False, False], [False, True]]])
    >>> pointing_game(torch.ones(1, 2, 2), mask)
    tensor([0.2500], dtype=torch.float64)
    """
    place = Place.of("pointing_game", options)
    check_choice("ties", ties, _TIES)
    if compat is None:
        return located(partial(_pointing, tolerance=_distance(tolerance, 0.0), ties=ties), attributions, masks, place)
    check_choice("compat", compat, ("torchray",))
    if ties != "expected":
        raise InputError(f'compat="torchray" takes the first maximum, got ties="{ties}"; fix: leave out ties')
    judge = partial(_strict, tolerance=_distance(tolerance, _PUBLISHED_TOLERANCE))
    return located(judge, attributions, masks, place, sees_empty=True)


def pointing_accuracy(
    hits: Any,
    class_ids: Any = None,
    *,
    num_classes: int | None = None,
    average: str = "micro",
    compat: str | None = None,
) -> float:
    """The share of hits in a data set.

    Parameters
    ----------
    hits : array (n,)
        Values of `pointing_game`; NaN does not count.
    class_ids : int array (n,), optional
        The class of each, needed for the mean over classes.
    num_classes : int, optional
        Of the data set, for `compat`.
    average : {"micro", "macro"}
        The mean over examples; the mean over the classes that occur of the means within them.
    compat : {"torchray"}, optional
        The mean over all `num_classes`, where classes that do not occur count as 0. For reproduction only.

    Returns
    -------
    float
        0..1; NaN without a hit or miss.
    """
    values = np.asarray(hits, dtype=np.float64)
    check_choice("average", average, ("micro", "macro"))
    if compat is None and average == "micro":
        return float(values[np.isfinite(values)].mean()) if np.isfinite(values).any() else np.nan
    if class_ids is None or np.shape(class_ids) != values.shape:
        raise InputError(f"the mean over classes needs class_ids, one for each of the {len(values)} hits")
    ids = np.asarray(class_ids)[np.isfinite(values)]
    values = values[np.isfinite(values)]
    means = [float(values[ids == c].mean()) for c in np.unique(ids)]
    if compat is None:
        return float(np.mean(means)) if means else np.nan
    check_choice("compat", compat, ("torchray",))
    least = max(1, len(means))
    if num_classes is None or num_classes < least:
        raise InputError(f"compat needs num_classes of at least the {least} classes that occur, got {num_classes}")
    return float(np.sum(means) / num_classes)


@metric(higher_is_better=True, range=(0.0, 1.0), needs=["masks"])
def energy_pointing_game(attributions: Attributions, masks: Masks = None, **options: Unpack[Locating]) -> Scores:
    """Share of a map's mass that lies on the object.

    Parameters and errors are those of `iou`, without a threshold; `sign` is "positive" or "abs", "positive" unless
    given: a share of signed values is no share. `mass_accuracy` is another name.

    Returns
    -------
    float64 Tensor (B,)
        0..1, higher is better. NaN where there is no mass.

    References
    ----------
    .. [1] Wang et al., "Score-CAM: score-weighted visual explanations for convolutional neural networks", CVPRW 2020.
    .. [2] Arras, Osman, Samek, "CLEVR-XAI", Information Fusion 81 (2022), sec. 3.3: relevance mass accuracy.
    """
    place = Place.of("energy_pointing_game", options, sign="positive")
    check_choice("sign", place.sign, ("positive", "abs"))
    return located(_mass, attributions, masks, place)


mass_accuracy = energy_pointing_game

_TIES: dict[str, Callable[[BoolArray], float]] = {
    "expected": lambda hits: float(hits.mean()),
    "first": lambda hits: float(hits[0]),
    "any": lambda hits: float(hits.any()),
}


def _pointing(scene: Scene, tolerance: float, ties: str) -> Finding:
    hit = near(scene.mask, tolerance)[scene.counts]
    highest = scene.values.max()
    hits = hit[scene.values == highest]
    return Finding(_TIES[ties](hits), len(hits), highest, hit.mean())


def _strict(scene: Scene, tolerance: float) -> Finding:
    if not scene.mask.any():
        return Finding(0.0, chance=0.0)
    hit = (squared_distances(scene.mask) < tolerance**2)[scene.counts]
    return Finding(float(hit[scene.values.argmax()]), 1, scene.values.max(), hit.mean())


def _mass(scene: Scene) -> Finding:
    peak = scene.values.max()
    if peak <= 0:
        return Finding()
    values = scene.values / peak
    return Finding(float(values[scene.object].sum() / values.sum()), chance=float(scene.object.mean()))


def _distance(tolerance: float | None, default: float) -> float:
    if tolerance is None:
        return default
    if not tolerance >= 0:
        raise InputError(f"tolerance must be a distance in pixels of at least 0, got {tolerance!r}")
    return float(tolerance)


def box_iou(a: Any, b: Any, convention: str = "half_open") -> Tensor:
    """Intersection over union of every box of `a` with every box of `b`.

    Parameters
    ----------
    a : array (n, 4)
        Corners x0, y0, x1, y1 in pixels.
    b : array (m, 4)
    convention : {"half_open", "inclusive"}
        Is the second corner outside the box, or its last pixel?

    Returns
    -------
    float64 Tensor (n, m)

    Raises
    ------
    InputError
        A box is empty.

    Examples
    --------
    >>> box_iou([[0, 0, 2, 2]], [[1, 0, 3, 2]])
    tensor([[0.3333]], dtype=torch.float64)
    """
    check_choice("convention", convention, ("half_open", "inclusive"))
    first, second = (_corners(boxes, convention == "inclusive") for boxes in (a, b))
    low = torch.maximum(first[:, None, :2], second[None, :, :2])
    high = torch.minimum(first[:, None, 2:], second[None, :, 2:])
    common = (high - low).clamp(min=0).prod(-1)
    areas = [(boxes[:, 2:] - boxes[:, :2]).prod(-1) for boxes in (first, second)]
    return common / (areas[0][:, None] + areas[1][None] - common)


def _corners(boxes: Any, inclusive: bool) -> Tensor:
    corners = torch.as_tensor(np.asarray(boxes, dtype=np.float64).reshape(-1, 4).copy())
    corners[:, 2:] += inclusive
    if not bool((corners.isfinite().all() & (corners[:, :2] < corners[:, 2:])).all()):
        raise InputError(f"boxes must be finite, with x0 < x1 and y0 < y1, got {np.asarray(boxes).tolist()}")
    return corners
