"""Few explanations that together show what a model looks at."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from xai_ext._checks import InputError, check_at_least, check_choice
from xai_ext._types import AnyArray, FloatArray, IntArray
from xai_ext.explanation import Explanation


@dataclass(frozen=True, eq=False)
class Pick:
    """What `submodular_pick` chose.

    Attributes
    ----------
    indices : int64 array (n_picked,)
        Of the explanations, in the order of picking.
    coverage : array (n_picked,)
        Summed importance of the features covered after each pick.
    importance : array (n_features,)
        Of each feature over all explanations, sqrt(sum |value|).
    matrix : array (n_explanations, n_features)
        Absolute values of each explanation, summed over its players of a feature.
    """

    indices: IntArray
    coverage: FloatArray
    importance: FloatArray
    matrix: FloatArray


def submodular_pick(
    explanations: Sequence[Explanation],
    n_picks: int,
    *,
    features: str | Sequence[IntArray],
    output: int = 0,
    normalize: str | None = None,
) -> Pick:
    """SP-LIME: explanations picked greedily for the importance of the features that they cover [1]_.

    Coverage is submodular, so the greedy choice reaches at least 1 - 1/e of the best [2]_. Ties go to the smaller
    index. Fewer than `n_picks` are returned, with a warning, once nothing is left to cover.

    Parameters
    ----------
    explanations : sequence of Explanation
    n_picks : int
    features : sequence of int arrays (n_players,), or "players"
        The feature of each explanation's players, -1 to ignore one; see `appearance_clusters`. Region 7 of one
        photo is not region 7 of another, so "players" needs all explanations to share their labels.
    output : int
        Which output of explanations with several.
    normalize : {"l1"}, optional
        Scale each explanation's absolute values to sum 1, so that loud ones do not decide alone.

    Returns
    -------
    Pick

    References
    ----------
    .. [1] Ribeiro, Singh, Guestrin, "Why should I trust you?", KDD 2016, sec. 4.
    .. [2] Nemhauser, Wolsey, Fisher, "An analysis of approximations for maximizing submodular set functions",
       Mathematical Programming 14 (1978).
    """
    check_at_least("n_picks", n_picks, 1)
    if normalize is not None:
        check_choice("normalize", normalize, ("l1",))
    matrix = _matrix([_values(e, output) for e in explanations], _feature_ids(explanations, features))
    if normalize == "l1":
        totals = matrix.sum(1, keepdims=True)
        matrix = np.divide(matrix, totals, out=np.zeros_like(matrix), where=totals > 0)
    importance = np.sqrt(matrix.sum(0))
    indices, coverage = _greedy(matrix > 0, importance, n_picks)
    if len(indices) < n_picks:
        warnings.warn(
            f"picked {len(indices)} of {len(explanations)} explanations, not {n_picks}: no other covers a new feature",
            stacklevel=2,
        )
    return Pick(indices, coverage, importance, matrix)


def _greedy(covers: AnyArray, importance: FloatArray, n_picks: int) -> tuple[IntArray, FloatArray]:
    left = importance.copy()
    indices: list[int] = []
    coverage: list[float] = []
    while len(indices) < n_picks:
        gains = covers @ left
        best = int(np.argmax(gains))
        if gains[best] <= 0:
            break
        indices.append(best)
        coverage.append(gains[best] + (coverage[-1] if coverage else 0.0))
        left[covers[best]] = 0
    return np.array(indices, dtype=np.int64), np.array(coverage)


def _values(explanation: Explanation, output: int) -> FloatArray:
    values = explanation.values.reshape(len(explanation.values), -1)
    if not 0 <= output < values.shape[1]:
        raise InputError(f"output must be one of {values.shape[1]} outputs, got {output}")
    return np.abs(values[:, output])


def _matrix(values: list[FloatArray], ids: list[IntArray]) -> FloatArray:
    n_features = 1 + max(int(i.max(initial=-1)) for i in ids)
    return np.stack(
        [np.bincount(i[i >= 0], weights=v[i >= 0], minlength=n_features) for v, i in zip(values, ids, strict=True)]
    )


def _feature_ids(explanations: Sequence[Explanation], features: str | Sequence[IntArray]) -> list[IntArray]:
    if not len(explanations):
        raise InputError("explanations must hold at least one")
    if isinstance(features, str):
        check_choice("features", features, ("players",))
        first = explanations[0].labels
        if not all(_same(first, e.labels) for e in explanations):
            raise InputError(
                "features='players' needs explanations that share their labels; fix: features=appearance_clusters(...)"
            )
        return [np.arange(len(e.values)) for e in explanations]
    ids = [np.asarray(a) for a in features]
    expected = [len(e.values) for e in explanations]
    if [a.shape for a in ids] != [(n,) for n in expected] or any(a.dtype.kind not in "iu" for a in ids):
        raise InputError(
            f"features must hold one int array per explanation, of lengths {expected}, got shapes "
            f"{[a.shape for a in ids]}"
        )
    return ids


def _same(first: tuple[IntArray, ...], other: tuple[IntArray, ...]) -> bool:
    return len(first) == len(other) and all(np.array_equal(a, b) for a, b in zip(first, other, strict=True))


def appearance_clusters(
    images: Sequence[AnyArray], labels: Sequence[IntArray], *, n_features: int = 50, rng: np.random.Generator
) -> list[IntArray]:
    """Features that regions of different photos share: clusters of their colour, texture, size and place.

    Per region the mean and standard deviation of Lab, the logarithm of its share of the image and its centroid,
    standardised, in k-means.

    Parameters
    ----------
    images : sequence of arrays (H, W, 3)
        uint8, or floats in [0, 1].
    labels : sequence of int arrays (H, W)
        Regions 0..n-1 of each image.
    n_features : int
        Number of clusters, at most the number of regions.
    rng : numpy Generator

    Returns
    -------
    list of int64 arrays (n_regions,), one per image

    Notes
    -----
    The paper of SP-LIME leaves open what a feature of images is; this choice is ours.
    """
    from sklearn.cluster import KMeans

    check_at_least("n_features", n_features, 1)
    if len(images) != len(labels) or not len(images):
        raise InputError(f"images and labels must be as many, at least one, got {len(images)} and {len(labels)}")
    regions = [_appearance(image, a) for image, a in zip(images, labels, strict=True)]
    table = np.concatenate(regions)
    spread = table.std(0)
    table = (table - table.mean(0)) / np.where(spread > 0, spread, 1)
    clusters = min(n_features, len(np.unique(table, axis=0)))
    seed = int(rng.integers(2**31))
    found = KMeans(clusters, n_init=10, random_state=seed).fit_predict(table).astype(np.int64)
    return np.split(found, np.cumsum([len(r) for r in regions])[:-1])


def _appearance(image: AnyArray, labels: IntArray) -> FloatArray:
    """Means (3) and standard deviations (3) of Lab, log share, centroid (2) of each region."""
    from skimage.color import rgb2lab

    if image.shape != (*labels.shape, 3):
        raise InputError(f"images must be (H, W, 3) and labels (H, W), got {image.shape} and {labels.shape}")
    flat, lab = labels.ravel(), rgb2lab(image).reshape(-1, 3)
    sizes = np.bincount(flat)
    if not sizes.all():
        raise InputError("labels must number the regions 0..n-1 without gaps")
    place = (np.indices(labels.shape).reshape(2, -1).T + 0.5) / labels.shape
    mean, mean_of_squares, centroid = (_region_means(flat, sizes, a) for a in (lab, lab**2, place))
    deviation = np.sqrt(np.maximum(mean_of_squares - mean**2, 0))
    return np.column_stack([mean, deviation, np.log(sizes / len(flat)), centroid])


def _region_means(flat: IntArray, sizes: IntArray, values: FloatArray) -> FloatArray:
    return np.stack([np.bincount(flat, weights=column) / sizes for column in values.T], axis=1)
