"""The only module that imports private names of Captum.

`tests/test_compat.py` pins their signatures, so that a changed host is noticed before a user does.
"""

from captum._utils.models.model import Model
from captum._utils.progress import progress
from captum.log import log_usage

__all__ = ["Model", "log_usage", "progress"]
