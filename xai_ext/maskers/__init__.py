"""Maskers for SHAP: the parallel of ``shap.maskers``."""

from xai_ext.maskers.bpt import BPT
from xai_ext.maskers.segments import Segments

__all__ = ["BPT", "Segments"]
