"""Filling removed pixels from their surroundings, so that a mask's shape says nothing about the class."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from xai_ext._checks import InputError, check_positive
from xai_ext.metrics._multigrid import fill


@dataclass(frozen=True)
class LinearImputer:
    """Missing pixels as weighted means of their eight neighbours [1]_: 1/6 beside, 1/12 across, none outside.

    To be passed as ``baselines=`` to `deletion`, `insertion`, `srg` and `deletion_insertion`; `road` uses it.

    Parameters
    ----------
    noise : float
        Standard deviation of the Gaussian noise added to what was filled, in the unit of the input. One draw per
        example serves all its masks, so that curves do not depend on batches.
    tol : float
        Relative residual of the solver: 1e-4 leaves less than 1e-3 of the image's range.

    References
    ----------
    .. [1] Rong et al., "A consistent and efficient evaluation strategy for attribution methods", ICML 2022.
    """

    noise: float = 0.0
    tol: float = 1e-4

    def __post_init__(self) -> None:
        check_positive("tol", self.tol)
        if not 0 <= self.noise < np.inf:
            raise InputError(f"noise must be at least 0 and finite, got {self.noise!r}")

    def __call__(self, image: Tensor, missing: Tensor, rng: np.random.Generator | None = None) -> Tensor:
        """Fill one image.

        Parameters
        ----------
        image : Tensor (C, H, W)
        missing : bool Tensor (k, H, W)
        rng : numpy Generator, optional
            For noise; None: ``default_rng(0)``.

        Returns
        -------
        Tensor (k, C, H, W)
            Without any known pixel, the mean colour.
        """
        if image.dim() != 3 or missing.dim() != 3 or missing.shape[1:] != image.shape[1:]:
            raise InputError(
                f"an imputer fills an image (C, H, W) under masks (k, H, W), got {tuple(image.shape)} and "
                f"{tuple(missing.shape)}"
            )
        pixels = image if image.is_floating_point() else image.float()
        filled = fill(pixels, missing, self.tol)
        if self.noise:
            drawn = (np.random.default_rng(0) if rng is None else rng).normal(0.0, self.noise, tuple(image.shape))
            filled = torch.where(missing[:, None], filled + torch.from_numpy(drawn).to(filled), filled)
        return filled if image.is_floating_point() else filled.round().to(image.dtype)


@dataclass(frozen=True, eq=False)
class SeededFill:
    """An imputer whose noise is the same in every call: what `MaskedModel` takes as ``fill``."""

    imputer: LinearImputer
    seed: int

    def __call__(self, inputs: tuple[Tensor, ...], keep: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """The images (k, C, H, W) of masks (k, 1, H, W)."""
        if len(inputs) != 1 or inputs[0].dim() != 4:
            raise InputError("an imputer needs one input (B, C, H, W)")
        (image,), mask = inputs[0], keep[0]
        missing = ~mask.to(image.device).expand(len(mask), 1, *image.shape[1:])[:, 0]
        return (self.imputer(image, missing, np.random.default_rng(self.seed)),)
