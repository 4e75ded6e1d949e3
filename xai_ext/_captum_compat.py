"""The only module that imports private names of Captum.

`tests/test_compat.py` pins their signatures, so that a changed host is noticed before a user does.
"""

from typing import Any

from captum._utils.progress import progress
from captum.attr._core.deep_lift import SUPPORTED_NON_LINEAR, nonlinear
from captum.attr._core.lime import get_exp_kernel_similarity_function
from captum.log import log_usage

RESCALE_RULES: dict[type[Any], Any] = SUPPORTED_NON_LINEAR  # the table itself, not a copy
rescale_rule = nonlinear

__all__ = ["RESCALE_RULES", "get_exp_kernel_similarity_function", "log_usage", "progress", "rescale_rule"]
