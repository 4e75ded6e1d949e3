"""Does the decision follow the defect?"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from xai_ext._checks import check_at_least
from xai_ext._types import AnyArray, BoolArray, FloatArray
from xai_ext.anomaly._masses import as_masks, mass_above
from xai_ext.anomaly._residuals import smoothed
from xai_ext.anomaly.reducers import KthLargest, Max, Quantile, TopK
from xai_ext.anomaly.scores import AnomalyScore

if TYPE_CHECKING:
    import pandas as pd

_LOCAL = (Max, TopK, KthLargest, Quantile)
Counterpart = Callable[[Tensor], Tensor]


@dataclass(frozen=True, eq=False)
class RightReason:
    """Verdicts of N images; arrays are float64 (N,), NaN where undefined.

    Attributes
    ----------
    threshold : float
    s_x, s_ref, s_repaired, s_carrier, s_transplanted : arrays
        Scores of the image, its repair as a whole, the image with its defect repaired, the normal carrier, and the
        carrier with the defect.
    placebo_repaired, placebo_transplanted : arrays
        Medians over masks of the same shape elsewhere.
    mass_above : array
        Share of the evidence above the threshold that lies in the mask; of `Max` with a map only.
    verdict : tuple of str or None
        "right", "wrong", "partly", "undecided", "not_detected"; None for an empty or full mask.
    status : tuple of str
        What a verdict rests on, or why there is none.
    """

    threshold: float
    s_x: FloatArray
    s_ref: FloatArray
    s_repaired: FloatArray
    s_carrier: FloatArray
    s_transplanted: FloatArray
    placebo_repaired: FloatArray
    placebo_transplanted: FloatArray
    mass_above: FloatArray
    verdict: tuple[str | None, ...]
    status: tuple[str, ...]

    @property
    def necessary(self) -> BoolArray:
        """(N,): without the defect the image is not flagged."""
        return np.asarray(self.s_repaired <= self.threshold)

    @property
    def sufficient(self) -> BoolArray:
        """(N,): with the defect a normal image is flagged."""
        return np.asarray(self.s_transplanted > self.threshold)

    @property
    def repair_effect(self) -> FloatArray:
        """(N,): share of the whole repair's effect that repairing the defect has."""
        return _ratio(self.s_x - self.s_repaired, self.s_x - self.s_ref)

    @property
    def transplant_effect(self) -> FloatArray:
        """(N,): share of the difference to the carrier that the defect makes."""
        return _ratio(self.s_transplanted - self.s_carrier, self.s_x - self.s_carrier)

    def table(self) -> "pd.DataFrame":
        """One row per image."""
        import pandas as pd

        names = ("s_x", "s_ref", "s_repaired", "s_carrier", "s_transplanted", "placebo_repaired",
                 "placebo_transplanted", "necessary", "sufficient", "repair_effect", "transplant_effect", "mass_above",
                 "verdict", "status")  # fmt: skip
        return pd.DataFrame({name: getattr(self, name) for name in names})


def right_reason(
    score: AnomalyScore,
    x: Tensor,
    mask: Tensor | AnyArray,
    *,
    repair: Counterpart | None = None,
    carrier: Counterpart | None = None,
    n_placebo: int = 4,
) -> RightReason:
    """Does the decision follow the defect: away when it is repaired, along when it is transplanted?

    Parameters
    ----------
    score : AnomalyScore
        With a threshold, and best with `Max` or `TopK`: of a mean over the image a small defect is seldom enough,
        and a warning says so.
    x : Tensor (N, C, H, W)
    mask : bool or 0/1 array (N, H, W) or (H, W)
        The defect.
    repair : callable, optional
        Images -> what fills the defect; None: ``score.reference``.
    carrier : callable, optional
        Images -> normal images that receive the defect; None: the normal nearest in the pixels outside of the mask,
        those around it weighing as much as all together, among those that `calibrate` kept and the score passes;
        without any ``score.reference``.
    n_placebo : int
        Up to so many of four places: the mask moved by half an image across, down, both, and by a quarter.

    Returns
    -------
    RightReason
        At most ``5 + 2 n_placebo`` scored rows per image. "right": the repair silences the detector and the
        transplant alarms it. "wrong": neither. "partly": the repair alone. "undecided": the transplant alarms it, but
        without its defect the image is flagged, too; or the repair as a whole or the normal image is flagged, or a
        placebo has the same effect, or none fits.
    """
    threshold = score._needed_threshold()
    masks = as_masks(mask, x)
    check_at_least("n_placebo", n_placebo, 1)
    _warn_of_means(score)
    with torch.no_grad():
        repaired = (repair or score.reference)(x)
        fixed = [_repaired(score, x[i], repaired[i], masks[i], n_placebo) for i in range(len(x))]
        carried, s_carried = _carriers(score, x, masks, threshold, carrier)
        moved = [_transplanted(score, x[i], carried[i], masks[i], n_placebo) for i in range(len(x))]
        rows = [(*f[:3], s, m[0], f[3], m[1]) for f, s, m in zip(fixed, s_carried, moved, strict=True)]
        mass = mass_above(score, x, masks)
    columns = np.array(rows, dtype=np.float64).reshape(len(x), 7).T
    judged = [_verdict(row, threshold, bool(m.any()), bool(m.all())) for row, m in zip(rows, masks, strict=True)]
    names = ("s_x", "s_ref", "s_repaired", "s_carrier", "s_transplanted", "placebo_repaired", "placebo_transplanted")
    return RightReason(
        threshold,
        mass_above=mass,
        verdict=tuple(v for v, _ in judged),
        status=tuple(s for _, s in judged),
        **dict(zip(names, columns, strict=True)),
    )


def _repaired(
    score: AnomalyScore, x: Tensor, repaired: Tensor, mask: BoolArray, n_placebo: int
) -> tuple[float, float, float, float]:
    """s(x), s(ref), s(repaired), and the median of the placebos."""
    s = score.scores_of(torch.stack([x, repaired, *(torch.where(m, repaired, x) for m in _places(mask, x, n_placebo))]))
    return s[0], s[1], s[2], _median(s[3:])


def _transplanted(
    score: AnomalyScore, x: Tensor, carrier: Tensor, mask: BoolArray, n_placebo: int
) -> tuple[float, float]:
    """s(transplanted) and the median of the placebos."""
    s = score.scores_of(torch.stack([torch.where(m, x, carrier) for m in _places(mask, x, n_placebo)]))
    return s[0], _median(s[1:])


def _places(mask: BoolArray, x: Tensor, n_placebo: int) -> list[Tensor]:
    """The mask, and its placebos."""
    placebos = _placebos(mask)[:n_placebo] if mask.any() else []
    return [torch.from_numpy(m).to(x.device) for m in (mask, *placebos)]


def _median(values: FloatArray) -> float:
    return float(np.median(values)) if len(values) else float("nan")


def _verdict(row: tuple[float, ...], threshold: float, has_mask: bool, is_full: bool) -> tuple[str | None, str]:
    s_x, s_ref, s_repaired, s_carrier, s_transplanted, placebo_repaired, placebo_transplanted = row
    if not has_mask or is_full:
        return None, "full mask" if is_full else "empty mask"
    if s_x <= threshold:
        return "not_detected", ""
    doubts = {
        "the repaired image is flagged": s_ref > threshold,
        "the carrier is flagged": s_carrier > threshold,
        "no placebo fits": np.isnan(placebo_repaired),
        "repairing elsewhere silences it too": placebo_repaired <= threshold,
        "transplanting elsewhere alarms it too": placebo_transplanted > threshold,
    }
    reasons = [reason for reason, holds in doubts.items() if holds]
    if reasons:
        return "undecided", "; ".join(reasons)
    necessary, sufficient = s_repaired <= threshold, s_transplanted > threshold
    if necessary:
        return ("right", "") if sufficient else ("partly", "necessary, not sufficient")
    return ("undecided", "sufficient, but flagged without it, too") if sufficient else ("wrong", "")


def _placebos(mask: BoolArray) -> list[BoolArray]:
    height, width = mask.shape
    moves = ((0, width // 2), (height // 2, 0), (height // 2, width // 2), (height // 4, -(width // 4)))
    rolled = [np.roll(mask, move, axis=(0, 1)) & ~mask for move in moves]
    return [r for r in rolled if 2 * r.sum() >= mask.sum()]


def _carriers(
    score: AnomalyScore, x: Tensor, masks: BoolArray, threshold: float, carrier: Counterpart | None
) -> tuple[Tensor, FloatArray]:
    """A normal image for each image, and its score: the one given, or the nearest that passes."""
    if carrier or score.bank is None or not (score.bank[1] <= threshold).any():
        given = (carrier or score.reference)(x)
        return given, score.scores_of(given)
    normals, scores = score.bank
    passed = np.flatnonzero(scores <= threshold)
    own = normals[torch.from_numpy(passed)].to(x)
    nearest = _distances(x, own, torch.from_numpy(masks).to(x.device)).argmin(1)
    return own[nearest], scores[passed][nearest.cpu().numpy()]


def _distances(x: Tensor, normals: Tensor, masks: Tensor) -> Tensor:
    """(N, m): weighted mean squares outside of each mask; half of the weight lies around it, where a seam would be.

    The defect has no say: a dark one would be carried by dark normals.
    """
    outside = (~masks)[:, None].double()
    around = smoothed(1 - outside, x.shape[-1] / 16) * outside
    weights = sum(w / w.sum((2, 3), keepdim=True).clamp(min=1e-12) for w in (outside, around))
    w = torch.as_tensor(weights).expand(x.shape).flatten(1)
    a, b = x.flatten(1).double(), normals.flatten(1).double()
    distances: Tensor = (w * a**2).sum(1, keepdim=True) - 2 * (w * a) @ b.T + w @ (b**2).T
    return distances


def _warn_of_means(score: AnomalyScore) -> None:
    if score.reduce is not None and not isinstance(score.reduce, _LOCAL):
        warnings.warn(
            f"right_reason is unreliable for the reducer {score.reduce}: what fills or carries the defect moves such a "
            "score as much as the defect does; fix: Max() or TopK(k)",
            stacklevel=3,
        )


def _ratio(a: FloatArray, b: FloatArray) -> FloatArray:
    return np.asarray(np.divide(a, b, out=np.full(len(a), np.nan), where=b != 0))
