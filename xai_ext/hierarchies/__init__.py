"""Binary trees over players: ``(image or shape, labels) -> Hierarchy``."""

from xai_ext.hierarchies.axis_aligned import axis_aligned
from xai_ext.hierarchies.balanced import balanced
from xai_ext.hierarchies.bpt import bpt
from xai_ext.hierarchies.hierarchy import Hierarchy

__all__ = ["Hierarchy", "axis_aligned", "balanced", "bpt"]
