"""What a random map would score: the number to print beside every score."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from xai_ext._checks import InputError, check_at_least, check_choice
from xai_ext._forward import on_host
from xai_ext._types import AnyArray, BoolArray, FloatArray, IntArray
from xai_ext.metrics._scenes import as_masks, as_positions

Level = Callable[[float, float, float], float]  # of the object's share rho, positions n, predicted positions k

_WITH_K: dict[str, Level] = {
    "iou": lambda rho, n, k: k * rho / (k + rho * n - k * rho),
    "f_score": lambda rho, n, k: 2 * k * rho / (k + rho * n),
    "precision": lambda rho, n, k: rho,
    "recall": lambda rho, n, k: k / n,
}
_WITH_MASK: dict[str, Level] = {
    "energy_pointing_game": lambda rho, n, k: rho,
    "mass_accuracy": lambda rho, n, k: rho,
    "rank_accuracy": lambda rho, n, k: rho,
    "roc_auc": lambda rho, n, k: 0.5,
    "average_precision": lambda rho, n, k: rho,
    "au_iou": lambda rho, n, k: _area(rho, int(n)),
}
_OF_MAPS: dict[str, Level] = {
    "feature_agreement": lambda rho, n, k: k / n,
    "rank_agreement": lambda rho, n, k: 1 / n,
    "topq_iou": lambda rho, n, k: (k / n) / (2 - k / n),
    "pairwise_rank_agreement": lambda rho, n, k: 0.5,
    **dict.fromkeys(("rank_correlation", "spearman", "pearson", "kendall"), lambda rho, n, k: 0.0),
}
_FINE = 10**6  # steps of a curve: more change nothing that can be seen
_NEEDS_N_AND_K = ("feature_agreement", "topq_iou")


def chance(
    metric: str,
    masks: Tensor | AnyArray | None = None,
    *,
    rho: float | None = None,
    n: int | None = None,
    k: float | Tensor | AnyArray | None = None,
    tolerance: float = 0.0,
    ignore: Tensor | AnyArray | None = None,
) -> Tensor:
    """The score of a map whose values are randomly permuted.

    Parameters
    ----------
    metric : str
        Name of a localisation metric, or of a measure of `agreement`.
    masks : bool or 0/1 array (B, *spatial)
        True on the object. For localisation; instead of it, all but "pointing_game" take `rho` and `n`.
    rho : float
        The object's share of the positions.
    n : int
        Number of positions, or features.
    k : number or array (B,), optional
        How many positions are predicted, or compared: for "iou", "f_score" and "recall" what `Details` hold as
        ``n_predicted``; for "feature_agreement" and "topq_iou" a number of features.
    tolerance : float, pixels
        Of the pointing game.
    ignore : bool or 0/1 array (B, *spatial), optional
        Positions that do not count.

    Returns
    -------
    float64 Tensor (B,), or () without masks
        For "iou" and "f_score" the value at the expected intersection. For "pointing_game" the share of positions at
        most `tolerance` from the object. For "average_precision" what a random map tends to as n grows. NaN for an
        empty mask.

    Examples
    --------
    >>> import torch
    >>> from xai_ext.metrics import chance
    >>> chance("pointing_game", torch.eye(4, dtype=torch.bool)[None])
    tensor([0.2500], dtype=torch.float64)
    """
    check_choice("metric", metric, ("pointing_game", *_WITH_K, *_WITH_MASK, *_OF_MAPS))
    _check_numbers(rho, n, tolerance)
    if metric in _OF_MAPS:
        return _of_maps(metric, n, k)
    if metric in _WITH_K and metric != "precision" and k is None:
        raise InputError(f'chance("{metric}") needs k, the number of predicted positions')
    if masks is None:
        return _of_share(metric, rho, n, k)
    objects = as_masks("masks", masks)
    counts = as_positions(ignore, objects)
    if metric == "pointing_game":
        levels = [random_pointing(m & c, c, tolerance) for m, c in zip(objects, counts, strict=True)]
    else:
        level, predicted = (_WITH_K | _WITH_MASK)[metric], _predicted(k, counts)
        levels = [_level(level, m[c], p) for m, c, p in zip(objects, counts, predicted, strict=True)]
    return torch.tensor(levels, dtype=torch.float64)


def _of_maps(metric: str, n: int | None, k: float | Tensor | AnyArray | None) -> Tensor:
    if (n is None and metric in ("rank_agreement", *_NEEDS_N_AND_K)) or (k is None and metric in _NEEDS_N_AND_K):
        raise InputError(f'chance("{metric}") needs n{" and k" if metric in _NEEDS_N_AND_K else ""}')
    return torch.tensor(_OF_MAPS[metric](0.0, n or 1, _number(k, n or np.inf)), dtype=torch.float64)


def _of_share(metric: str, rho: float | None, n: int | None, k: float | Tensor | AnyArray | None) -> Tensor:
    if rho is None or n is None or metric == "pointing_game":
        raise InputError(f'chance("{metric}") needs masks{"" if metric == "pointing_game" else ", or rho and n"}')
    level = (_WITH_K | _WITH_MASK)[metric](rho, n, _number(k, n)) if rho > 0 else np.nan
    return torch.tensor(level, dtype=torch.float64)


def _check_numbers(rho: float | None, n: int | None, tolerance: float) -> None:
    if rho is not None and not 0 <= rho <= 1:
        raise InputError(f"rho must be a share in 0..1, got {rho!r}")
    if n is not None:
        check_at_least("n", n, 1)
    if not tolerance >= 0:
        raise InputError(f"tolerance must be a distance in pixels of at least 0, got {tolerance!r}")


def _number(k: float | Tensor | AnyArray | None, n: float) -> float:
    """One k; NaN is not known."""
    return float(_checked(np.nan if k is None else on_host(k).astype(np.float64), (), n))


def _predicted(k: float | Tensor | AnyArray | None, counts: BoolArray) -> FloatArray:
    """(B,): a k for each example."""
    n = counts.reshape(len(counts), -1).sum(1)
    return np.broadcast_to(_checked(np.nan if k is None else on_host(k).astype(np.float64), n.shape, n), n.shape)


def _checked(k: AnyArray | float, shape: tuple[int, ...], n: AnyArray | float) -> FloatArray:
    array = np.asarray(k)
    if array.shape not in ((), shape) or (array < 0).any() or (array > n).any():
        raise InputError(f"k must be one number, or one per example, from 0 to the number of positions, got {k!r}")
    return array


def _level(level: Level, mask: BoolArray, k: float) -> float:
    return float(level(mask.mean(), len(mask), k)) if mask.any() else np.nan


def _area(rho: float, n: int) -> float:
    k = np.linspace(0, n, min(n, _FINE) + 1)
    return float(np.trapezoid(k * rho / (k + rho * n - k * rho), k) / n)


def random_overlap(ratio: Callable[[float, float, float], float], mask: BoolArray, k: float) -> float:
    """Of k positions drawn from those of ``mask`` (N,), at the expected intersection."""
    return ratio(k * float(mask.mean()), k, float(mask.sum())) if mask.any() else np.nan


def random_pointing(mask: BoolArray, counts: BoolArray, tolerance: float) -> float:
    """Of one position drawn from those that count."""
    return float(near(mask, tolerance)[counts].mean()) if mask.any() else np.nan


def near(mask: BoolArray, tolerance: float) -> BoolArray:
    """Positions whose nearest position of a mask that is not empty is at most ``tolerance`` away."""
    if tolerance == 0:
        return mask
    # whole squared distances have correctly rounded roots: sqrt(3) is within a tolerance of math.sqrt(3)
    return np.asarray(np.sqrt(squared_distances(mask)) <= tolerance)


def squared_distances(mask: BoolArray) -> IntArray:
    """Of every position to the nearest one of a mask that is not empty, in pixels."""
    from scipy.ndimage import distance_transform_edt

    nearest: FloatArray = distance_transform_edt(~mask, return_distances=False, return_indices=True)
    return np.asarray(((nearest - np.indices(mask.shape)) ** 2).sum(0))
