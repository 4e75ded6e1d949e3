"""Maskers for SHAP: the parallel of ``shap.maskers``."""

from xai_ext.maskers.segments import Segments

__all__ = ["Segments"]
