"""Detectors as models to explain, and evidence that a detector is right for the right reason."""

from xai_ext.anomaly._info import Calibration, NoMapError, NotDifferentiableError, ReferenceCheck, ScoreInfo
from xai_ext.anomaly.detectors import DetectorScore, as_score
from xai_ext.anomaly.evidence import RightReason, evidence, right_reason
from xai_ext.anomaly.reconstruction import ReconstructionScore, normal_deviations
from xai_ext.anomaly.reducers import KthLargest, LogSumExp, Max, Mean, Quantile, Reducer, Region, Sum, TopK
from xai_ext.anomaly.references import Constant, MeanNormal, NearestNormal, Reconstruction
from xai_ext.anomaly.scores import AnomalyScore, FrozenScore
from xai_ext.anomaly.textures import TextureDefects, texture_defects
from xai_ext.anomaly.vae_gan import VAEGAN, train_vae_gan

__all__ = [
    "VAEGAN",
    "AnomalyScore",
    "Calibration",
    "Constant",
    "DetectorScore",
    "FrozenScore",
    "KthLargest",
    "LogSumExp",
    "Max",
    "Mean",
    "MeanNormal",
    "NearestNormal",
    "NoMapError",
    "NotDifferentiableError",
    "Quantile",
    "Reconstruction",
    "ReconstructionScore",
    "Reducer",
    "ReferenceCheck",
    "Region",
    "RightReason",
    "ScoreInfo",
    "Sum",
    "TextureDefects",
    "TopK",
    "as_score",
    "evidence",
    "normal_deviations",
    "right_reason",
    "texture_defects",
    "train_vae_gan",
]
