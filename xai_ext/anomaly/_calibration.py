"""Thresholds from normal samples alone."""

import hashlib
import math
from collections.abc import Iterable, Sequence

import numpy as np
from torch import Tensor

from xai_ext._arguments import as_tensor
from xai_ext._checks import InputError
from xai_ext._types import FloatArray
from xai_ext.anomaly._info import Calibration


def conformal_threshold(scores: FloatArray, alpha: float) -> float:
    """The score that a new, exchangeable normal exceeds with probability at most ``alpha``."""
    if not 0 < alpha < 1:
        raise InputError(f"alpha must lie between 0 and 1, got {alpha}")
    n = len(scores)
    k = n + 1 - math.floor((n + 1) * alpha + 1e-9)  # 1e-9: 100 * .05 must not round down to 4
    if k > n:
        raise InputError(
            f"alpha = {alpha} needs at least {math.ceil(1 / alpha - 1e-9) - 1} normals, got {n}; fix: "
            "calibrate(more normals), or a larger alpha"
        )
    return float(np.sort(scores)[k - 1])


def calibration_of(scores: FloatArray, alpha: float, ids: Iterable[str]) -> Calibration:
    """What is kept of the normals' scores."""
    digest = hashlib.sha256("\n".join(sorted(ids)).encode()).hexdigest()
    return Calibration(len(scores), alpha, digest, np.sort(scores))


def conformal_p_values(scores: FloatArray, calibration: Calibration) -> FloatArray:
    """(1 + number of normals at least as anomalous) / (n + 1)."""
    at_least = calibration.n - np.searchsorted(calibration.scores, scores, side="left")
    return (1.0 + at_least) / (calibration.n + 1)


def content_ids(samples: Tensor) -> list[str]:
    """One id per sample: 16 hex digits of the sha256 of its float32 values."""
    rows = samples.detach().cpu().float().contiguous().numpy()
    return [hashlib.sha256(row.tobytes()).hexdigest()[:16] for row in rows]


def check_unseen(normals: Tensor, ids: Sequence[str] | None, trained_on: frozenset[str]) -> list[str]:
    """The ids of the normals, if the model was not trained on any of them."""
    own = content_ids(normals)
    names = own if ids is None else [str(i) for i in ids]
    if len(names) != len(normals):
        raise InputError(f"ids must hold one id per normal ({len(normals)}), got {len(names)}")
    seen = trained_on.intersection(names) or trained_on.intersection(own)
    if seen:
        raise InputError(
            f"{len(seen)} of the normals were used in training: their scores are too low for a threshold; fix: "
            "calibrate(normals) with held-out normals"
        )
    return names


def as_samples(name: str, samples: Tensor | np.ndarray) -> Tensor:
    """A batch of samples as a tensor with at least two dimensions."""
    x = as_tensor(samples)
    if x.dim() < 2 or len(x) == 0:
        raise InputError(f"{name} must be (N, C, H, W) or (N, D) with N > 0, got shape {tuple(x.shape)}")
    return x
