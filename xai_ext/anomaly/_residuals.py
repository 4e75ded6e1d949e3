"""Input and reconstruction -> residual per position."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import conv2d, pad

from xai_ext._checks import InputError, check_choice

Residual = Callable[[Tensor, Tensor], Tensor]  # x, reconstruction (N, C, H, W) -> (N, 1, H, W)


def _abs_max(x: Tensor, y: Tensor) -> Tensor:
    return (x - y).abs().amax(1, keepdim=True)


def _sq_sum(x: Tensor, y: Tensor) -> Tensor:
    return ((x - y) ** 2).sum(1, keepdim=True)


def _sq_mean(x: Tensor, y: Tensor) -> Tensor:
    return ((x - y) ** 2).mean(1, keepdim=True)


def _abs_mean(x: Tensor, y: Tensor) -> Tensor:
    return (x - y).abs().mean(1, keepdim=True)


def _l2(x: Tensor, y: Tensor) -> Tensor:
    norm: Tensor = torch.linalg.vector_norm(x - y, dim=1, keepdim=True)
    return norm


def _gs_max(x: Tensor, y: Tensor) -> Tensor:
    return (x.amax(1, keepdim=True) - y.amax(1, keepdim=True)).abs()


def _luma(x: Tensor, y: Tensor) -> Tensor:
    if x.shape[1] == 1:
        return (x - y).abs()
    if x.shape[1] != 3:
        raise InputError(f'residual "luma" needs 1 or 3 channels, got {x.shape[1]}')
    weights = x.new_tensor([0.299, 0.587, 0.114]).reshape(1, 3, 1, 1)
    return (weights * (x - y)).sum(1, keepdim=True).abs()


RESIDUALS: dict[str, Residual] = {
    "abs_max": _abs_max,
    "sq_sum": _sq_sum,
    "sq_mean": _sq_mean,
    "abs_mean": _abs_mean,
    "l2": _l2,
    "gs_max": _gs_max,
    "luma": _luma,
}


def residual_of(name: str, x: Tensor, y: Tensor) -> Tensor:
    """The residual of that name, (N, 1, H, W); half precision is computed in float32."""
    check_choice("residual", name, RESIDUALS)
    if x.shape != y.shape or x.dim() != 4:
        raise InputError(
            f"input and reconstruction must be (N, C, H, W) of one shape, got {tuple(x.shape)}, {tuple(y.shape)}"
        )
    wide = torch.promote_types(torch.promote_types(x.dtype, y.dtype), torch.float32)
    return RESIDUALS[name](x.to(wide), y.to(wide))


def smoothed(maps: Tensor, sigma: float) -> Tensor:
    """Gaussian of maps (N, 1, H, W), cut at floor(4 sigma + 1/2) pixels, edges continued."""
    if sigma == 0:
        return maps
    radius = int(4 * sigma + 0.5)
    at = torch.arange(-radius, radius + 1, dtype=maps.dtype, device=maps.device)
    kernel = torch.exp(-0.5 * (at / sigma) ** 2)
    kernel = kernel / kernel.sum()
    rows = conv2d(pad(maps, (0, 0, radius, radius), mode="replicate"), kernel.reshape(1, 1, -1, 1))
    return conv2d(pad(rows, (radius, radius, 0, 0), mode="replicate"), kernel.reshape(1, 1, 1, -1))


def smoothing_weights(shape: tuple[int, int], sigma: float) -> Tensor:
    """(H, W) float64: how much each position adds to the sum of the smoothed map."""
    ones = torch.ones(1, 1, *shape, dtype=torch.float64, requires_grad=True)
    with torch.enable_grad():
        (weights,) = torch.autograd.grad(smoothed(ones, sigma).sum(), ones)
    return weights[0, 0]
