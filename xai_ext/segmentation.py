"""Image -> labels: which region (player) each pixel belongs to.

All functions return int64 arrays with ids 0..n-1 without gaps, in raster order of first appearance of nothing in
particular; pass them as ``labels``, or to Captum as ``feature_mask=torch.from_numpy(labels)``.
"""

from collections.abc import Callable

import numpy as np
from torch import Tensor

from xai_ext._checks import InputError, InputTypeError, check_at_least, check_positive
from xai_ext._forward import on_host
from xai_ext._types import AnyArray, FloatArray, IntArray

Image = Tensor | AnyArray
Segmentation = Callable[[Image], IntArray]


def pixels(image: Image) -> IntArray:
    """Every pixel its own region."""
    shape = _spatial(image)
    return np.arange(np.prod(shape)).reshape(shape)


def grid(image: Image, *, rows: int = 8, columns: int | None = None) -> IntArray:
    """A grid of rectangles as equal as whole pixels allow.

    Parameters
    ----------
    image : Tensor (C, H, W) or (1, C, H, W), or array (H, W) or (H, W, C)
    rows, columns : int
        Number of rectangles along each side, at most the side; columns None = rows.
    """
    height, width = _spatial(image)
    columns = rows if columns is None else columns
    for name, n, side in (("rows", rows, height), ("columns", columns, width)):
        if check_at_least(name, n, 1) > side:
            raise InputError(f"{name} must be at most the {side} pixels of that side, got {n}")
    y, x = np.arange(height) * rows // height, np.arange(width) * columns // width
    return np.asarray(y[:, None] * columns + x[None, :], dtype=np.int64)


def slic(image: Image, *, n_segments: int = 50, compactness: float = 10.0, sigma: float = 0.0) -> IntArray:
    """Superpixels by k-means in colour and position [1]_.

    Parameters
    ----------
    image : Tensor (C, H, W) or (1, C, H, W), or array (H, W) or (H, W, C)
        Any value range and any number of channels; values are scaled to 0..1, three channels are taken as RGB.
    n_segments : int
        Wanted number; the result may differ.
    compactness : float
        Weight of position against colour.
    sigma : float
        Gaussian smoothing before, in pixels.

    References
    ----------
    .. [1] Achanta et al., "SLIC superpixels compared to state-of-the-art superpixel methods", TPAMI 2012.
    """
    from skimage.segmentation import slic as skimage_slic

    check_at_least("n_segments", n_segments, 1)
    array = _scaled(image)
    labels = skimage_slic(
        array,
        n_segments=n_segments,
        compactness=check_positive("compactness", compactness),
        sigma=sigma,
        convert2lab=array.shape[-1] == 3,
        channel_axis=-1,
        start_label=0,
    )
    return relabelled(labels)


def quickshift(
    image: Image, *, kernel_size: float = 4.0, max_dist: float = 200.0, ratio: float = 0.2, seed: int = 42
) -> IntArray:
    """Superpixels by mode seeking in colour and position [1]_, with the settings of lime's image explainer.

    Parameters
    ----------
    image : Tensor (C, H, W) or (1, C, H, W), or array (H, W) or (H, W, C)
        As for `slic`.
    kernel_size : float >= 1
        Width of the Gaussian of the density estimate, pixels.
    max_dist : float
        Cut of the tree of modes; larger = fewer regions.
    ratio : float
        Weight of colour against position, 0..1.
    seed : int
        Breaks ties of the density.

    References
    ----------
    .. [1] Vedaldi, Soatto, "Quick shift and kernel methods for mode seeking", ECCV 2008.
    """
    from skimage.segmentation import quickshift as skimage_quickshift

    array = _scaled(image)
    if check_positive("kernel_size", kernel_size) < 1:
        raise InputError(f"kernel_size must be at least 1 pixel, got {kernel_size}")
    if not 0 <= ratio <= 1:
        raise InputError(f"ratio must lie in 0..1, got {ratio}")
    labels = skimage_quickshift(
        array,
        kernel_size=kernel_size,
        max_dist=check_positive("max_dist", max_dist),
        ratio=ratio,
        convert2lab=array.shape[-1] == 3,
        rng=check_at_least("seed", seed, 0),
        channel_axis=-1,
    )
    return relabelled(labels)


def relabelled(labels: AnyArray) -> IntArray:
    """The same regions with ids 0..n-1, in the order of the old ids."""
    array = np.asarray(labels)
    return np.unique(array, return_inverse=True)[1].reshape(array.shape).astype(np.int64)


def channels_last(image: Image) -> AnyArray:
    """The image as an array (H, W, C), in its own dtype; bfloat16 as float32."""
    if isinstance(image, Tensor):
        if image.dim() == 4 and image.shape[0] == 1:
            image = image[0]
        if image.dim() != 3:
            raise InputError(f"an image tensor must be (C, H, W) or (1, C, H, W), got {tuple(image.shape)}")
        return _real(on_host(image.movedim(0, -1)))
    array = np.asarray(image)
    if array.ndim not in (2, 3):
        raise InputError(f"an image array must be (H, W) or (H, W, C), got {array.shape}")
    return _real(array if array.ndim == 3 else array[:, :, None])


def _real(array: AnyArray) -> AnyArray:
    if array.dtype.kind not in "biuf":
        raise InputTypeError(f"an image must hold real numbers, got {array.dtype}; fix: image.astype(numpy.float64)")
    return array


def _spatial(image: Image) -> tuple[int, int]:
    height, width, _ = channels_last(image).shape
    return height, width


def _scaled(image: Image) -> FloatArray:
    array = channels_last(image).astype(np.float64)
    if 0 in array.shape:
        raise InputError(f"the image must have at least one pixel and one channel, got (H, W, C) = {array.shape}")
    if not np.isfinite(array).all():
        raise InputError("the image holds NaN or infinite values: it cannot be segmented")
    return _by_range(array)


def _by_range(values: FloatArray) -> FloatArray:
    """Finite values in 0..1; 0 where all are equal."""
    half = values / 2  # the range of finite numbers may be infinite
    low, high = half.min(), half.max()
    return (half - low) / (high - low) if high > low else np.zeros_like(values)
