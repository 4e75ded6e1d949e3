"""Comparisons of methods on one image, and of explanations of many."""

from xai_ext._task import MapResult, Method, Task
from xai_ext.study.compare import CompareResult, compare
from xai_ext.study.submodular_pick import appearance_clusters, submodular_pick

__all__ = ["CompareResult", "MapResult", "Method", "Task", "appearance_clusters", "compare", "submodular_pick"]
