"""The only module that imports private names of SHAP; `tests/test_compat.py` pins their signatures."""

from shap._serializable import Deserializer, Serializer
from shap.utils import MaskedModel as ShapMaskedModel
from shap.utils import OpChain

__all__ = ["Deserializer", "OpChain", "Serializer", "ShapMaskedModel"]
