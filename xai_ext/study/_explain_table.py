"""How well do maps of one image find its defect, beside the rows that no table may leave out?"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from xai_ext._checks import InputError
from xai_ext._forward import on_host
from xai_ext._types import AnyArray, BoolArray, FloatArray
from xai_ext.anomaly import AnomalyScore
from xai_ext.metrics import Details, MaskArea, Otsu, Threshold, TopFraction, iou, max_iou, pointing_game, resize_map
from xai_ext.metrics.detection import MassFraction, auroc

if TYPE_CHECKING:
    import pandas as pd

ALWAYS = ("raw_map", "closed_form", "center", "random", "rolled")
THRESHOLDS: dict[str, Threshold] = {"iou_otsu": Otsu(), "iou_top5": TopFraction(0.05), "iou_mass80": MassFraction(0.8),
              "oracle_iou_area": MaskArea()}  # fmt: skip
METRICS = (*THRESHOLDS, "oracle_max_iou", "pointing_game", "mass_accuracy", "roc_auc")
_PERMUTATIONS, _BLOCK = 100, 8


@dataclass(frozen=True, eq=False)
class PaperMap:
    """A map (H, W) of the published study's setups; see `paper_setup`.

    Attributes
    ----------
    values : array (H, W)
        Positive where the sample is more anomalous than its reconstruction.
    setup, variant : str
    oracle : bool
        The segmentation saw the truth: no such map may be ranked or recommended.
    n_segments : int or None
    n_evals : int
    """

    values: FloatArray
    setup: str
    variant: str
    oracle: bool
    n_segments: int | None
    n_evals: int


def explain_table(
    score: AnomalyScore, x: Tensor, mask: Tensor | AnyArray, maps: Mapping[str, Any], *, seed: int = 0
) -> "pd.DataFrame":
    """Every map of one image against its defect, and the rows that show what a map is worth.

    Parameters
    ----------
    score : AnomalyScore
    x : Tensor (1, C, H, W)
    mask : bool or 0/1 array (H, W)
    maps : mapping
        Name -> array or tensor (h, w), (1, h, w) or (1, C, h, w) (channels are summed), or `PaperMap`.
    seed : int
        Of the random map and of chance levels.

    Returns
    -------
    DataFrame
        One row per map, and always ``raw_map``, ``closed_form``, ``center``, ``random`` and ``rolled`` (the raw map
        moved by half an image); NaN where the score has no map. Columns: IoU at label-free thresholds (``iou_otsu``,
        ``iou_top5``, ``iou_mass80``), ``pointing_game``, ``mass_accuracy`` (share of the positive mass in the mask),
        ``roc_auc``; label-aware ``oracle_iou_area`` and ``oracle_max_iou``; each with ``chance_...``; ``oracle``
        (the map itself saw the truth) and ``resized`` (how a map came to the mask's size).
    """
    import pandas as pd

    truth = _mask(mask, x)
    rng = np.random.default_rng(seed)
    collected = {name: _Row.of(m, truth.shape) for name, m in maps.items()}
    collected |= _reference_rows(score, x, truth.shape, rng)
    rows = {name: _row(row, truth, rng.spawn(1)[0]) for name, row in collected.items()}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("map")


def compare_all(
    score: AnomalyScore,
    images: Tensor,
    masks: Tensor | AnyArray,
    methods: Mapping[str, Callable[[Tensor], Any]],
    *,
    seed: int = 0,
) -> "pd.DataFrame":
    """Mean `explain_table` over images (N, C, H, W), best label-free IoU first.

    Parameters
    ----------
    methods : mapping
        Name -> function of one image (1, C, H, W) that returns its map.

    Raises
    ------
    InputError
        A map saw the truth (setup S2): it is no competitor.
    """
    import pandas as pd

    tables = []
    for i in range(len(images)):
        x = images[i : i + 1]
        made = {name: method(x) for name, method in methods.items()}
        cheats = [name for name, m in made.items() if isinstance(m, PaperMap) and m.oracle]
        if cheats:
            raise InputError(f"{cheats} saw the truth and cannot be ranked; fix: leave setup S2 out, or explain_table")
        tables.append(explain_table(score, x, masks[i], made, seed=seed + i))
    together = pd.concat(tables).groupby("map", sort=False).mean(numeric_only=True)
    return together.sort_values("iou_mass80", ascending=False)


def cross_table(verdicts: Sequence[str | None], masses: FloatArray) -> "pd.DataFrame":
    """Verdict of the detector against "the explanation is right" (at least half of its mass in the mask)."""
    import pandas as pd

    right = np.where(np.asarray(masses) >= 0.5, "explanation right", "explanation wrong")
    return pd.crosstab(pd.Series(list(verdicts), name="verdict").fillna("none"), pd.Series(right, name=""))


@dataclass(frozen=True, eq=False)
class _Row:
    values: FloatArray | None
    resized: str
    oracle: bool = False

    @classmethod
    def of(cls, given: Any, shape: tuple[int, ...]) -> "_Row":
        oracle = isinstance(given, PaperMap) and given.oracle
        raw = given.values if isinstance(given, PaperMap) else given
        array = on_host(raw).astype(np.float64)
        array = array[0].sum(0) if array.ndim == 4 else (array[0] if array.ndim == 3 else array)
        if array.shape == shape:
            return cls(array, "", oracle)
        return cls(resize_map(array[None], shape)[0], "bilinear", oracle)


def _reference_rows(
    score: AnomalyScore, x: Tensor, shape: tuple[int, ...], rng: np.random.Generator
) -> dict[str, _Row]:
    raw, exact = _raw(score, x, shape), _exact(score, x, shape)
    y, c = ((np.arange(side) - (side - 1) / 2) / (side / 4) for side in shape)
    center = np.exp(-(y[:, None] ** 2 + c[None, :] ** 2) / 2)
    turned = None if raw.values is None else np.roll(raw.values, (shape[0] // 2, shape[1] // 2), (0, 1))
    return {
        "raw_map": raw,
        "closed_form": exact,
        "center": _Row(center, ""),
        "random": _Row(rng.random(shape), ""),
        "rolled": _Row(turned, raw.resized),
    }


def _raw(score: AnomalyScore, x: Tensor, shape: tuple[int, ...]) -> _Row:
    try:
        with torch.no_grad():
            return _Row.of(score.map(x), shape)
    except InputError:
        return _Row(None, "no map")


def _exact(score: AnomalyScore, x: Tensor, shape: tuple[int, ...]) -> _Row:
    try:
        return _Row.of(score.closed_form(x)[0].density_map(), shape)
    except InputError:
        return _Row(None, "no closed form")


def _row(row: _Row, truth: BoolArray, rng: np.random.Generator) -> dict[str, Any]:
    if row.values is None:
        scored: dict[str, Any] = dict.fromkeys([n for m in METRICS for n in (m, f"chance_{m}")], np.nan)
    else:
        scored = _scores(row.values, truth, rng)
    return scored | {"oracle": row.oracle, "resized": row.resized}


def _scores(values: FloatArray, truth: BoolArray, rng: np.random.Generator) -> dict[str, float]:
    maps, masks = torch.from_numpy(values)[None], torch.from_numpy(truth)[None]
    found: dict[str, float] = {}
    for name, threshold in THRESHOLDS.items():
        details = iou(maps, masks, threshold=threshold, return_details=True)
        assert isinstance(details, Details)
        found |= {name: float(details.value), f"chance_{name}": float(details.chance)}
    best: Any = max_iou(maps, masks)
    point: Any = pointing_game(maps, masks)
    positive = np.maximum(values, 0)
    total, share = float(positive.sum()), float(truth.mean())
    return found | {
        "oracle_max_iou": float(best),
        "chance_oracle_max_iou": _shuffled_max_iou(values, masks, rng),
        "pointing_game": float(point),
        "chance_pointing_game": share,
        "mass_accuracy": float(positive[truth].sum()) / total if total else np.nan,
        "chance_mass_accuracy": share,
        "roc_auc": float(auroc(values.ravel(), truth.ravel())),  # type: ignore[arg-type]
        "chance_roc_auc": 0.5,
    }


def _shuffled_max_iou(values: FloatArray, masks: Tensor, rng: np.random.Generator) -> float:
    """Mean over permutations of blocks of 8 x 8 pixels: noise as coarse as maps are scores more than pixel noise."""
    height, width = (side // _BLOCK * _BLOCK for side in values.shape)
    if not height or not width:
        return float("nan")
    blocks = values[:height, :width].reshape(height // _BLOCK, _BLOCK, width // _BLOCK, _BLOCK).swapaxes(1, 2)
    flat = blocks.reshape(-1, _BLOCK, _BLOCK)
    mixed = np.repeat(values[None], _PERMUTATIONS, 0)
    for one in mixed:
        shuffled = flat[rng.permutation(len(flat))].reshape(blocks.shape)
        one[:height, :width] = shuffled.swapaxes(1, 2).reshape(height, width)
    found: Any = max_iou(torch.from_numpy(mixed), masks.expand(_PERMUTATIONS, *masks.shape[1:]))
    return float(found.mean())


def _mask(mask: Any, x: Tensor) -> BoolArray:
    array = on_host(mask)
    if x.dim() != 4 or len(x) != 1 or array.shape != tuple(x.shape[2:]) or not np.isin(array, (0, 1)).all():
        raise InputError(
            f"x must be one image (1, C, H, W) and mask bool or 0/1 of its size, got {tuple(x.shape)} and "
            f"{array.dtype} {array.shape}; fix: resize_map(mask[None], size)[0], nearest"
        )
    return array.astype(bool)
