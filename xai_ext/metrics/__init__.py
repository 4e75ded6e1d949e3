"""Metrics of attribution maps: against the model, against a ground truth, and against each other.

Functions of Captum's and SHAP's maps alike, one value per example. What is undefined is NaN, with a `Status` that
says why; ties are never decided by the order of pixels. Every metric carries ``higher_is_better``, ``range``,
``label_aware`` and ``needs``.
"""

from xai_ext._forward import numpy_forward
from xai_ext.metrics._chance import chance
from xai_ext.metrics._measure import CurveResult
from xai_ext.metrics._metric import Metric, Status
from xai_ext.metrics._protocol import Protocol
from xai_ext.metrics._scenes import Details
from xai_ext.metrics._shap import from_shap
from xai_ext.metrics.deletion_insertion import DeletionInsertion, deletion, deletion_insertion, insertion, srg
from xai_ext.metrics.disagreement import Agreement, agreement
from xai_ext.metrics.localization import iou, max_iou, pointing_game
from xai_ext.metrics.shapes import boxes_to_mask, resize_map
from xai_ext.metrics.thresholds import (
    Absolute,
    FractionOfMax,
    MaskArea,
    Mean,
    Otsu,
    RangeFraction,
    Threshold,
    TopFraction,
    TopK,
)

__all__ = [
    "Absolute",
    "Agreement",
    "CurveResult",
    "DeletionInsertion",
    "Details",
    "FractionOfMax",
    "MaskArea",
    "Mean",
    "Metric",
    "Otsu",
    "Protocol",
    "RangeFraction",
    "Status",
    "Threshold",
    "TopFraction",
    "TopK",
    "agreement",
    "boxes_to_mask",
    "chance",
    "deletion",
    "deletion_insertion",
    "from_shap",
    "insertion",
    "iou",
    "max_iou",
    "numpy_forward",
    "pointing_game",
    "resize_map",
    "srg",
]
