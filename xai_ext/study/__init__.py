"""Comparisons of methods on one image."""

from xai_ext._task import MapResult, Method, Task
from xai_ext.study.compare import CompareResult, compare

__all__ = ["CompareResult", "MapResult", "Method", "Task", "compare"]
