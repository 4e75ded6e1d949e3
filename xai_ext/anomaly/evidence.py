"""Is a detector right for the right reason? And what does an image say about that without its truth?"""

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from xai_ext._checks import InputError
from xai_ext._types import AnyArray, FloatArray
from xai_ext.anomaly._info import NoMapError
from xai_ext.anomaly._masses import mass_above
from xai_ext.anomaly._residuals import smoothed
from xai_ext.anomaly._right_reason import RightReason, right_reason
from xai_ext.anomaly.reducers import Max
from xai_ext.anomaly.scores import AnomalyScore

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["RightReason", "evidence", "right_reason"]

AREAS = (0.005, 0.01, 0.02, 0.03, 0.05, 0.08, 0.12, 0.20)


def evidence(
    score: AnomalyScore, x: Tensor, *, roi: Tensor | AnyArray | None = None, areas: Sequence[float] = AREAS
) -> "pd.DataFrame":
    """What each image says about its own decision, without a truth.

    Parameters
    ----------
    score : AnomalyScore
        Calibrated.
    x : Tensor (N, C, H, W)
    roi : bool array (H, W), optional
        Where defects matter.
    areas : sequence of float
        Shares of the image, ascending, tried for `repair_area`.

    Returns
    -------
    DataFrame
        s, p (conformal), z (robust, of the normals' scores), reference_ok; contrast: how far the score stands out of
        the image's own map, as the share of kept normals in which it exceeds the median of theirs at most as many
        times; repair_area: the smallest share of the
        image, strongest evidence first, whose replacement by the reference silences the detector (0: not flagged,
        inf: none does, at most ``len(areas)`` rows per flagged image); n_spots and largest_spot (share of the image):
        8-connected parts of the map above the threshold, of `Max` only; roi_mass: share of the evidence above the
        threshold inside `roi`. NaN where undefined.
    """
    import pandas as pd

    calibration, threshold = score.info.calibration, score._needed_threshold()
    if calibration is None:
        raise InputError("evidence compares with normals; fix: calibrate(normals)")
    if not len(areas) or not all(0 < a <= 1 for a in areas):
        raise InputError(f"areas must be shares of the image in (0, 1], got {list(areas)}")
    s = score.scores_of(x)
    median = np.median(calibration.scores)
    spread = 1.4826 * np.median(np.abs(calibration.scores - median))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # said in a column
        reference_ok = score.check_reference(x).ok
    maps = _host_maps(score, x)
    spots = [_spots(m, threshold) if isinstance(score.reduce, Max) else (np.nan, np.nan) for m in maps]
    inside = None if roi is None else np.broadcast_to(np.asarray(roi, bool), (len(x), *np.shape(roi)))
    return pd.DataFrame(
        {
            "s": s,
            "p": score.p_value(x).numpy(),
            "z": (s - median) / spread if spread else np.full(len(s), np.nan),
            "reference_ok": reference_ok,
            "contrast": _contrasts(score, s, maps),
            "repair_area": _repair_areas(score, x, s, threshold, areas),
            "n_spots": [n for n, _ in spots],
            "largest_spot": [size for _, size in spots],
            "roi_mass": np.full(len(x), np.nan) if inside is None else mass_above(score, x, inside),
        }
    )


def _contrasts(score: AnomalyScore, s: FloatArray, maps: list[FloatArray]) -> FloatArray:
    if score.bank is None or not np.any(maps):
        return np.full(len(s), np.nan)
    normals, scores = score.bank
    kept = _over_median(scores, _host_maps(score, normals))
    return np.asarray((1 + (kept <= _over_median(s, maps)[:, None]).sum(1)) / (1 + len(kept)))


def _over_median(s: FloatArray, maps: list[FloatArray]) -> FloatArray:
    medians = np.median(np.reshape(maps, (len(s), -1)), axis=1)
    return np.divide(s, medians, out=np.where(s > 0, np.inf, 0.0), where=medians > 0)


def _repair_areas(
    score: AnomalyScore, x: Tensor, s: FloatArray, threshold: float, areas: Sequence[float]
) -> FloatArray:
    found = np.where(s > threshold, np.nan, 0.0)
    flagged = np.flatnonzero(s > threshold)
    try:
        with torch.no_grad():
            maps = score.map(x[flagged]) if len(flagged) else x[:0]
    except NoMapError:
        return found
    for i, evidence_map in zip(flagged, maps, strict=True):
        found[i] = _repair_area(score, x[i], evidence_map, threshold, areas)
    return found


def _repair_area(
    score: AnomalyScore, x: Tensor, evidence_map: Tensor, threshold: float, areas: Sequence[float]
) -> float:
    full = evidence_map[None]
    if full.shape[2:] != x.shape[1:]:
        full = interpolate(full, tuple(x.shape[1:]), mode="bilinear", align_corners=False)
    order = smoothed(full, 1.0).flatten().argsort(descending=True, stable=True)
    rank = torch.empty_like(order)
    rank[order] = torch.arange(len(order), device=order.device)
    counts = [max(1, round(a * len(order))) for a in areas]
    reference = score.reference(x[None])[0]
    repaired = torch.stack([torch.where(rank.reshape(x.shape[1:]) < k, reference, x) for k in counts])
    silent = score.scores_of(repaired) <= threshold
    return float(areas[int(silent.argmax())]) if silent.any() else float("inf")


def _host_maps(score: AnomalyScore, x: Tensor) -> list[FloatArray]:
    try:
        with torch.no_grad():
            return list(score.map(x)[:, 0].double().cpu().numpy())
    except NoMapError:
        return [np.zeros((1, 1))] * len(x)


def _spots(values: FloatArray, threshold: float) -> tuple[float, float]:
    from scipy.ndimage import label

    regions, count = label(values > threshold, np.ones((3, 3)))
    return float(count), float(np.bincount(regions.ravel())[1:].max() / values.size) if count else 0.0
