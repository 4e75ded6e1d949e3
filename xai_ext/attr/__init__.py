"""Attribution methods for Captum: the parallel of ``captum.attr``."""

from xai_ext.attr.bpt_owen import BPTOwen
from xai_ext.attr.iassa import IASSA
from xai_ext.attr.rise import RISE
from xai_ext.attr.stratified_lime import StratifiedLime

__all__ = ["IASSA", "RISE", "BPTOwen", "StratifiedLime"]
