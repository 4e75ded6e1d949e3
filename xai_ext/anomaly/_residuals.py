"""Input and reconstruction -> residual per position."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import conv2d, pad

from xai_ext._checks import InputError, check_at_least, check_choice
from xai_ext.anomaly._output import check_samples

_LEAST = 0.1  # of the mean: where normals never differ, little would weigh without bound

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


def residual_of(name: str, x: Tensor, y: Tensor, deviations: Tensor | None = None) -> Tensor:
    """The residual of that name, (N, 1, H, W); half precision is computed in float32.

    With ``deviations`` (2, C, H, W), of the difference divided by the first where x is above y, else by the second.
    """
    check_choice("residual", name, RESIDUALS)
    if x.shape != y.shape or x.dim() != 4:
        raise InputError(
            f"input and reconstruction must be (N, C, H, W) of one shape, got {tuple(x.shape)}, {tuple(y.shape)}"
        )
    wide = torch.promote_types(torch.promote_types(x.dtype, y.dtype), torch.float32)
    x, y = x.to(wide), y.to(wide)
    if deviations is not None:
        x, y = _divided(x - y, deviations), torch.zeros_like(x)
    return RESIDUALS[name](x, y)


def _divided(difference: Tensor, deviations: Tensor) -> Tensor:
    if difference.shape[1:] != deviations.shape[1:]:
        raise InputError(
            f"images must be (N, {', '.join(map(str, deviations.shape[1:]))}) like the deviations of normals, got "
            f"{tuple(difference.shape)}; fix: normal_deviations of images of this size, or deviations=None"
        )
    above, below = deviations.to(difference)
    return difference / torch.where(difference > 0, above, below)


def normal_deviations(model: Callable[[Tensor], Tensor], normals: Tensor, *, batch_size: int = 100) -> Tensor:
    """How far do normals lie above and below their reconstructions, position by position?

    A brick has brighter grains than its reconstruction, hardly darker ones; and crops are reconstructed worse at their
    borders. Divided by what is usual there and on that side, differences become comparable.

    Parameters
    ----------
    model : callable
        Images (N, C, H, W) -> their reconstructions.
    normals : Tensor (n, C, H, W)
        Those of training serve: no threshold comes from here.
    batch_size : int
        Rows per call.

    Returns
    -------
    Tensor (2, C, H, W)
        Above and below: the geometric mean of the root mean squares of that side and of both, each blurred over a
        sixteenth of the image; at least a tenth of its mean.

    Notes
    -----
    The half weight of the side halves an asymmetry that normals of other places may not share.
    """
    check_at_least("batch_size", batch_size, 1)
    if check_samples(normals).dim() != 4 or not normals.numel() or not bool(normals.isfinite().all()):
        raise InputError(f"normals must be finite images (n, C, H, W), got {tuple(normals.shape)}")
    sums = torch.zeros(2, *normals.shape[1:], dtype=torch.float64)
    with torch.no_grad():
        for rows in torch.split(normals, batch_size):
            difference = (rows - model(rows)).double().cpu()
            sums += torch.stack([(difference.clamp(min=0) ** 2).sum(0), (difference.clamp(max=0) ** 2).sum(0)])
    sides = smoothed(sums.flatten(0, 1)[:, None] / len(normals), normals.shape[-1] / 16).reshape(sums.shape)
    made = (sides * sides.mean(0)) ** 0.25
    least = _LEAST * float(made.mean())
    return (made.clamp(min=least) if least > 0 else torch.ones_like(made)).float()


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
