"""One-off checks of a score: its output, independence of rows, repeatability, gradient, sign."""

import warnings
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from xai_ext._checks import InputError
from xai_ext._randomness import preserved_generators
from xai_ext.anomaly._info import ReferenceCheck, ScoreInfo

if TYPE_CHECKING:
    from xai_ext.anomaly.scores import AnomalyScore

ROWS = 3
_FAR_ROWS = 8
_NO_CONTRAST = 0.05
_FAR_DEVIATIONS = 10.0


@dataclass(frozen=True)
class Findings:
    """What probing found, and the rows it took."""

    batch_invariant: bool
    differentiable: bool
    rows: int


def probed(score: "AnomalyScore", x: Tensor) -> Findings:
    """Probe a score on up to three samples; raises where it cannot be explained."""
    rows = x[:ROWS].detach()
    with preserved_generators():
        with torch.no_grad():
            together = score.scores_together(rows)
            again = score.scores_together(rows)
            alone = torch.cat([score.scores_together(row[None]) for row in rows])
        _check_deterministic(together, again)
        return Findings(_same(together, alone, 1e-5), _has_gradient(score, rows[:1]), 3 * len(rows) + 1)


def remembered(score: "AnomalyScore", x: Tensor) -> ScoreInfo:
    """Probe a score and set what follows from it: `info`, and one row at a time where rows depend on each other."""
    found = probed(score, x)
    if not found.batch_invariant and not score.row_by_row:
        warnings.warn(
            f"{score.info.source}: the score of a row depends on the rows beside it; it is evaluated row by row "
            "from now on, which is slower",
            stacklevel=3,
        )
    score.row_by_row = score.row_by_row or not found.batch_invariant
    score.info = replace(
        score.info,
        batch_invariant=found.batch_invariant,
        deterministic=True,
        differentiable=found.differentiable,
        probe_rows=(score.info.probe_rows or 0) + found.rows,
    )
    return score.info


def check_sign(score: "AnomalyScore", normals: Tensor, median_of_normals: float) -> int:
    """Warn when far points look more normal than normals; returns the rows it took."""
    with torch.no_grad(), preserved_generators():
        median = float(score(far_points(normals)).double().median())
    if median <= median_of_normals:
        warnings.warn(
            f"score seems inverted: {_FAR_ROWS} points far from the normals have the median {median:.4g}, normals "
            f"{median_of_normals:.4g}; fix: higher_is_anomalous=False, or another sign of the score",
            stacklevel=3,
        )
    return _FAR_ROWS


def reference_check(score: "AnomalyScore", x: Tensor, b: Tensor) -> ReferenceCheck:
    """See `AnomalyScore.check_reference`."""
    s_x, s_b = score.scores_of(x), score.scores_of(b)
    calibration = score.info.calibration
    spread = np.abs(s_x)
    if calibration is not None:
        spread = np.full_like(s_x, np.subtract(*np.quantile(calibration.scores, [0.95, 0.05])))
    limit = np.inf if score.threshold is None else score.threshold
    anomalous = (s_b > limit) | (s_b >= s_x)
    check = ReferenceCheck(s_x, s_b, anomalous, ~anomalous & (s_x - s_b < _NO_CONTRAST * spread))
    for bad, words in ((check.anomalous, "anomalous baseline"), (check.no_contrast, "no contrast")):
        if bad.any():
            rows = np.flatnonzero(bad)[:5].tolist()
            warnings.warn(
                f"{words} in {int(bad.sum())} of {len(x)} samples (rows {rows}); fix: another reference, such as "
                "NearestNormal(normals)",
                stacklevel=4,
            )
    return check


def far_points(normals: Tensor) -> Tensor:
    """Eight samples that no detector of these normals should like.

    Images: uniform noise over the range of the data. Rows: mean ± 10 standard deviations of each feature.
    """
    rng = np.random.default_rng(0)
    if normals.dim() > 2:
        low, high = float(normals.min()), float(normals.max())
        values = rng.uniform(low, high, (_FAR_ROWS, *normals.shape[1:]))
        return torch.from_numpy(values).to(normals)
    signs = torch.from_numpy(rng.choice([-1.0, 1.0], (_FAR_ROWS, normals.shape[1])))
    table = normals.double()
    return (table.mean(0) + _FAR_DEVIATIONS * signs.to(table) * table.std(0)).to(normals)


def _check_deterministic(first: Tensor, second: Tensor) -> None:
    same = torch.equal(first, second) if first.device.type == "cpu" else _same(first, second, 1e-6)
    if not same:
        raise InputError(
            f"stochastic score: two calls differ by {float((first - second).abs().max()):.3g}; fix: "
            "stochastic='mc:k' for a variational autoencoder, or model.eval()"
        )


def _same(a: Tensor, b: Tensor, tolerance: float) -> bool:
    scale = max(1.0, float(a.abs().max()))
    return bool((a - b).abs().max() <= tolerance * scale)


def _has_gradient(score: "AnomalyScore", row: Tensor) -> bool:
    if score.info.differentiable is False or not row.is_floating_point():
        return False
    x = row.clone().requires_grad_()
    with torch.enable_grad():
        try:
            total = score.scores_together(x).sum()
            if not total.requires_grad:
                return False
            (gradient,) = torch.autograd.grad(total, x, allow_unused=True)
        except (RuntimeError, TypeError):  # e.g. .numpy() inside of the model
            return False
    return gradient is not None and bool(gradient.isfinite().all()) and bool(gradient.any())
