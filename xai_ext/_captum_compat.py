"""The only module that imports private names of Captum.

`tests/test_compat.py` pins their signatures, so that a changed host is noticed before a user does.
"""

from captum._utils.progress import progress
from captum.attr._core.lime import get_exp_kernel_similarity_function
from captum.log import log_usage

__all__ = ["get_exp_kernel_similarity_function", "log_usage", "progress"]
