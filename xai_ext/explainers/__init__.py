"""Explainers for SHAP: subclasses of ``shap.Explainer``."""

from xai_ext.explainers.bpt_owen import BPTOwen
from xai_ext.explainers.iassa import IASSA
from xai_ext.explainers.rise import RISE
from xai_ext.explainers.stratified_lime import StratifiedLime

__all__ = ["IASSA", "RISE", "BPTOwen", "StratifiedLime"]
