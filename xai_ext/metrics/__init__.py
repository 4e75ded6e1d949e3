"""Metrics of attribution maps: against the model, against a ground truth, and against each other.

Functions of Captum's and SHAP's maps alike, one value per example. What is undefined is NaN, with a `Status` that
says why; ties are never decided by the order of pixels. Every metric carries ``higher_is_better``, ``range``,
``label_aware`` and ``needs``.
"""

from importlib import import_module
from typing import Any

from xai_ext._forward import numpy_forward
from xai_ext.metrics._chance import chance
from xai_ext.metrics._measure import CurveResult
from xai_ext.metrics._metric import Metric, Status
from xai_ext.metrics._protocol import Protocol
from xai_ext.metrics._ranking import curve_auc, top_mask
from xai_ext.metrics._scenes import Details
from xai_ext.metrics._shap import from_shap
from xai_ext.metrics.agreement_matrix import AgreementMatrix, agreement_matrix, noise_floor, reference_maps
from xai_ext.metrics.complexity import Complexity, effective_complexity, entropy, gini, hoyer
from xai_ext.metrics.concordance import Concordance, area_over_k, kendall_w
from xai_ext.metrics.deletion_insertion import DeletionInsertion, deletion, deletion_insertion, insertion, srg
from xai_ext.metrics.disagreement import Agreement, agreement
from xai_ext.metrics.distances import emd, js_distance, kl, l2, sim
from xai_ext.metrics.fixations import auc_judd, nss
from xai_ext.metrics.imputation import LinearImputer
from xai_ext.metrics.localization import f_score, iou, precision, recall
from xai_ext.metrics.overlap_curves import au_iou, iou_curve, max_iou
from xai_ext.metrics.pixel_level import pixel_level
from xai_ext.metrics.pointing import box_iou, energy_pointing_game, mass_accuracy, pointing_accuracy, pointing_game
from xai_ext.metrics.relatives import adcc, average_drop, average_gain, average_increase, sensitivity_n
from xai_ext.metrics.road import RoadResult, road
from xai_ext.metrics.sanity import RandomizationResult, parameter_randomization
from xai_ext.metrics.separation import average_precision, rank_accuracy, roc_auc
from xai_ext.metrics.shapes import boxes_to_mask, resize_map
from xai_ext.metrics.thresholds import (
    Absolute,
    FractionOfMax,
    MaskArea,
    MassFraction,
    Mean,
    Otsu,
    RangeFraction,
    Threshold,
    TopFraction,
    TopK,
)

__all__ = [
    "Absolute", "Agreement", "AgreementMatrix", "Complexity", "Concordance", "CurveResult", "DeletionInsertion",
    "Details", "FractionOfMax", "LinearImputer", "MaskArea", "MassFraction", "Mean", "Metric", "Otsu", "Protocol",
    "RandomizationResult", "RangeFraction", "RoadResult", "Status", "Threshold", "TopFraction", "TopK", "adcc",
    "agreement", "agreement_matrix", "area_over_k", "au_iou", "auc_judd", "average_drop", "average_gain",
    "average_increase", "average_precision", "box_iou", "boxes_to_mask", "chance", "curve_auc", "deletion",
    "deletion_insertion", "effective_complexity", "emd", "energy_pointing_game", "entropy", "f_score", "from_shap",
    "gini", "hoyer", "infidelity", "insertion", "iou", "iou_curve", "js_distance", "kendall_w", "kl", "l2",
    "mass_accuracy", "max_iou", "noise_floor", "nss", "numpy_forward", "parameter_randomization", "pixel_level",
    "pointing_accuracy", "pointing_game", "precision", "rank_accuracy", "recall", "reference_maps", "resize_map",
    "road", "roc_auc", "sensitivity_max", "sensitivity_n", "sim", "srg", "top_mask",
]  # fmt: skip

_CAPTUMS = ("infidelity", "sensitivity_max")


def __getattr__(name: str) -> Any:  # Captum is imported with the first use of one of its metrics
    if name not in _CAPTUMS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module("xai_ext.attr._metrics"), name)


def __dir__() -> list[str]:
    return __all__
