"""What a random map would score: the number to print beside every localisation score."""

import numpy as np
import torch
from torch import Tensor

from xai_ext._checks import InputError, check_choice
from xai_ext._types import AnyArray, BoolArray
from xai_ext.metrics._scenes import as_masks, as_positions


def chance(
    metric: str,
    masks: Tensor | AnyArray,
    *,
    k: float | Tensor | AnyArray | None = None,
    tolerance: float = 0.0,
    ignore: Tensor | AnyArray | None = None,
) -> Tensor:
    """The score of a map whose values are randomly permuted.

    Parameters
    ----------
    metric : {"iou", "pointing_game"}
    masks : bool or 0/1 array (B, *spatial)
        True on the object.
    k : number or array (B,), optional
        How many positions are predicted: for "iou", where `Details` hold it as ``n_predicted``.
    tolerance : float, pixels
        Of the pointing game.
    ignore : bool or 0/1 array (B, *spatial), optional
        Positions that do not count.

    Returns
    -------
    float64 Tensor (B,)
        For "iou" the value at the expected intersection: k rho / (k + rho N - k rho) with N positions and a share
        rho of them on the object. For "pointing_game" the share of positions at most `tolerance` from the object.
        NaN for an empty mask.

    Examples
    --------
    >>> import torch
    >>> from xai_ext.metrics import chance
    >>> chance("pointing_game", torch.eye(4, dtype=torch.bool)[None])
    tensor([0.2500], dtype=torch.float64)
    """
    check_choice("metric", metric, ("iou", "pointing_game"))
    objects = as_masks("masks", masks)
    counts = as_positions(ignore, objects)
    if metric == "pointing_game":
        levels = [random_pointing(m & c, c, tolerance) for m, c in zip(objects, counts, strict=True)]
    elif k is None:
        raise InputError('chance("iou") needs k, the number of predicted positions')
    else:
        predicted = np.broadcast_to(np.asarray(k, dtype=np.float64), len(objects))
        levels = [random_iou(m[c], n) for m, c, n in zip(objects, counts, predicted, strict=True)]
    return torch.tensor(levels, dtype=torch.float64)


def random_iou(mask: BoolArray, k: float) -> float:
    """Of k positions drawn from those of ``mask`` (N,)."""
    if not mask.any():
        return np.nan
    n_true = k * mask.mean()
    return float(n_true / (k + mask.sum() - n_true))


def random_pointing(mask: BoolArray, counts: BoolArray, tolerance: float) -> float:
    """Of one position drawn from those that count."""
    return float(near(mask, tolerance)[counts].mean()) if mask.any() else np.nan


def near(mask: BoolArray, tolerance: float) -> BoolArray:
    """Positions whose nearest position of a mask that is not empty is at most ``tolerance`` away."""
    if tolerance == 0:
        return mask
    from scipy.ndimage import distance_transform_edt

    nearest = distance_transform_edt(~mask, return_distances=False, return_indices=True)
    # whole squared distances have correctly rounded roots: sqrt(3) is within a tolerance of math.sqrt(3)
    return np.asarray(np.sqrt(((nearest - np.indices(mask.shape)) ** 2).sum(0)) <= tolerance)
