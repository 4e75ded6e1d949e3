"""Image -> baseline: what takes the place of a region that is absent.

Every function takes tensors (N, C, *spatial) and returns a new one of the same shape and dtype, so that it can be
passed as ``baselines=`` to anything in this package; bind its options with `functools.partial`.
"""

import numpy as np
import torch
from torch import Tensor

from xai_ext._checks import InputError, check_broadcasts, check_labels, check_positive
from xai_ext._types import AnyArray


def constant(x: Tensor, *, value: float = 0.0) -> Tensor:
    """One number everywhere."""
    return torch.full_like(x, value, requires_grad=False)


def mean(x: Tensor) -> Tensor:
    """Each image's mean colour."""
    dims = tuple(range(2, x.dim()))
    return _like(x.detach().double().mean(dims, keepdim=True).expand_as(x), x)


def segment_mean(x: Tensor, labels: Tensor | AnyArray) -> Tensor:
    """Each region's mean colour: the fill of LIME's image explainer.

    Parameters
    ----------
    x : Tensor (N, C, *spatial)
    labels : integer array (*spatial), ids >= 0
    """
    ids = check_labels(torch.as_tensor(labels)).to(x.device)
    check_broadcasts("labels", tuple(ids.shape), tuple(x.shape[2:]))
    flat = ids.expand(x.shape[2:]).flatten()
    if int(flat.min()) < 0:
        raise InputError(f"labels must be >= 0, got {int(flat.min())}")
    values = x.detach().double().flatten(2)
    sums = values.new_zeros((*values.shape[:2], int(flat.max()) + 1)).index_add_(2, flat, values)
    means = sums / torch.bincount(flat).clamp(min=1)
    return _like(means[:, :, flat].reshape(x.shape), x)


def blur(x: Tensor, *, sigma: float = 10.0) -> Tensor:
    """Gaussian blur over the spatial dimensions, mirrored at the edges.

    Parameters
    ----------
    sigma : float, pixels
        10 leaves no object recognisable at 224 pixels.
    """
    from scipy.ndimage import gaussian_filter

    sigmas = (0.0, 0.0) + (check_positive("sigma", sigma),) * (x.dim() - 2)
    return _like(torch.from_numpy(gaussian_filter(x.detach().cpu().double().numpy(), sigmas, mode="reflect")), x)


def inpaint(x: Tensor, mask: Tensor | AnyArray | None = None) -> Tensor:
    """The pixels of a mask, filled from their surroundings by the biharmonic equation [1]_.

    Parameters
    ----------
    x : Tensor (N, C, H, W)
    mask : bool array (H, W), optional
        What is filled. None: everything but a frame as wide as a sixteenth of the shorter side, which leaves
        the smooth continuation of the picture's border.

    References
    ----------
    .. [1] Damelin, Hoang, "On surface completion and image inpainting by biharmonic functions", Int. J. of
       Mathematics and Mathematical Sciences (2018).
    """
    from skimage.restoration import inpaint_biharmonic

    hole = _inside_frame(x.shape[2:]) if mask is None else np.asarray(mask, dtype=bool)
    check_broadcasts("mask", hole.shape, tuple(x.shape[2:]))
    if hole.all():
        raise InputError("the mask covers the whole image: there are no surroundings to fill it from")
    if not bool(x.isfinite().all()):
        raise InputError("the image holds NaN or infinite values: nothing can be continued from them")
    hole = np.array(np.broadcast_to(hole, x.shape[2:]))  # scikit-image wants to write
    images = x.detach().cpu().double().movedim(1, -1).numpy()
    filled = np.stack([inpaint_biharmonic(image, hole, channel_axis=-1) for image in images])
    return _like(torch.from_numpy(filled).movedim(-1, 1), x)


def _inside_frame(shape: torch.Size) -> AnyArray:
    hole = np.zeros(tuple(shape), dtype=bool)
    width = max(1, min(shape) // 16)
    hole[(slice(width, -width),) * len(shape)] = True
    return hole


def _like(values: Tensor, x: Tensor) -> Tensor:
    """``values`` in the dtype (integers rounded) and on the device of ``x``."""
    if not x.is_floating_point():
        values = values.round()
    return values.to(x).contiguous()
