"""Baselines of published protocols."""

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import conv2d

from xai_ext._checks import InputError

_SIDE, _SIGMA = 11, 5.0


def rise_blur(inputs: Tensor) -> Tensor:
    """Images (B, C, H, W) blurred as in RISE: a Gaussian cut to 11 x 11, dark beyond the border."""
    from scipy.ndimage import gaussian_filter

    if not isinstance(inputs, Tensor) or inputs.dim() != 4:
        raise InputError("Protocol.rise() blurs images (B, C, H, W) of one input")
    impulse = np.zeros((_SIDE, _SIDE))
    impulse[_SIDE // 2, _SIDE // 2] = 1
    images = inputs.detach() if inputs.is_floating_point() else inputs.detach().float()
    kernel = torch.from_numpy(gaussian_filter(impulse, _SIGMA)).to(images)
    blurred = conv2d(images.flatten(0, 1)[:, None], kernel[None, None], padding=_SIDE // 2).reshape(inputs.shape)
    return blurred if inputs.is_floating_point() else blurred.round().to(inputs.dtype)
