"""Owen values averaged over trees of the same image, with the spread between them."""

from dataclasses import replace
from itertools import combinations
from types import MappingProxyType
from typing import Any

import numpy as np

from xai_ext._checks import check_at_least, check_positive
from xai_ext._progress import progress
from xai_ext._randomness import default_rng
from xai_ext._types import FloatArray
from xai_ext.explanation import Explanation
from xai_ext.game import MaskedModel
from xai_ext.methods._best_first import BestFirst
from xai_ext.methods._image_trees import ImageTrees, in_grey_levels, rank_agreement
from xai_ext.methods._owen import named_estimator, owen
from xai_ext.methods._owen_task import Estimator, guarded_scale
from xai_ext.segmentation import Image

_BEST_FIRST = BestFirst()


def owen_over_trees(
    masked_model: MaskedModel,
    image: Image,
    labels: Any = None,
    *,
    trees: int = 4,
    jitter: float = 4.0,
    budget: int = 1000,
    estimator: str | Estimator = _BEST_FIRST,
    hierarchy: Any = None,
    tol: float | None = None,
    rng: np.random.Generator | int | None = None,
    show_progress: bool = False,
) -> Explanation:
    """The mean of Owen values over trees of the image plus noise, and its standard error.

    A tree that follows an image greedily is one draw from many: a few grey levels of noise give another. The mean
    is over such draws; the first tree is that of the image itself.

    Parameters
    ----------
    masked_model : MaskedModel
        With one image as its input; the model never sees the noise.
    image : Tensor (C, H, W) or (1, C, H, W), or array (H, W) or (H, W, C)
        What the trees follow.
    labels : int array (H, W), optional
        Players 0..n-1; None: every pixel.
    trees : int
        How many.
    jitter : float
        Noise is uniform within this many units of 0..255; what leaves that range is clipped.
    budget : int
        Model evaluations of all trees together, f(x) and f(baseline) included once; trees share it equally.
    estimator : name or estimator
        As for `owen`.
    hierarchy : callable (image, labels) -> Hierarchy, optional
        None = `bpt`. It gets the image as given first, then noisy images in units 0..255.
    tol : float, optional
        Add no further tree once the largest standard error is at most ``tol * abs(f(x) - f(baseline))``.
    rng : numpy Generator or int, optional
        Draws the noise; None draws fresh entropy.
    show_progress : bool

    Returns
    -------
    Explanation
        ``std_error`` is the deviation between trees over the root of their number; with one tree, that of the
        estimator. Diagnostics are those of the first tree, with ``leftover`` and ``leftover_map`` the mean over
        trees, and ``tree_spread``: the mean Spearman correlation of two trees' density maps.
    """
    check_at_least("budget", budget, 2, "f(x) and f(baseline)")
    check_at_least("trees", trees, 1)
    check_positive("jitter", jitter)
    if tol is not None:
        check_positive("tol", tol)
    estimator, rng = named_estimator(estimator), default_rng(rng)
    builder = ImageTrees(masked_model, image, labels, hierarchy)
    share, maps = 2 + 2 * ((budget - 2) // (2 * trees)), list[Explanation]()
    with progress(masked_model, "Owen", budget, enabled=show_progress):
        while len(maps) < trees and not _agree(maps, tol):
            tree = builder.build(_noisy(image, jitter, rng) if maps else None)
            maps.append(owen(builder.game, tree, budget=share, estimator=estimator))
    return _mean(maps, jitter)


def _noisy(image: Image, jitter: float, rng: np.random.Generator) -> FloatArray:
    grey_levels = in_grey_levels(image)
    return np.asarray(np.clip(grey_levels + rng.uniform(-jitter, jitter, grey_levels.shape), 0, 255))


def _agree(maps: list[Explanation], tol: float | None) -> bool:
    if tol is None or len(maps) < 2:
        return False
    scale = guarded_scale(np.asarray(maps[0].full_value), np.asarray(maps[0].base_value))
    return bool((_std_error(maps) <= tol * scale).all())


def _std_error(maps: list[Explanation]) -> FloatArray:
    if len(maps) == 1:
        return maps[0].std_error
    return np.asarray(np.std([e.values for e in maps], axis=0, ddof=1) / np.sqrt(len(maps)))


def _mean(maps: list[Explanation], jitter: float) -> Explanation:
    diagnostics = dict(maps[0].diagnostics)
    if len(maps) > 1:
        diagnostics |= {
            "leftover": np.mean([e.diagnostics["leftover"] for e in maps], axis=0),
            "leftover_map": np.mean([e.diagnostics["leftover_map"] for e in maps], axis=0),
            "converged": False,  # for one tree values may be exact, their mean over all noise is not
            "structure": f"{diagnostics['structure']}, mean over {len(maps)} trees of the image +- {jitter:g}",
            "tree_spread": float(np.mean([rank_agreement(a, b) for a, b in combinations(maps, 2)])),
        }
    return replace(
        maps[0],
        values=np.mean([e.values for e in maps], axis=0),
        std_error=_std_error(maps),
        n_evals=sum(e.n_evals for e in maps) - 2 * (len(maps) - 1),
        diagnostics=MappingProxyType(diagnostics),
    )
