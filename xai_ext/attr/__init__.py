"""Attribution methods for Captum: the parallel of ``captum.attr``."""

from xai_ext.attr.bpt_owen import BPTOwen
from xai_ext.attr.stratified_lime import StratifiedLime

__all__ = ["BPTOwen", "StratifiedLime"]
