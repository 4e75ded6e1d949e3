"""Models to explain: loaders by name, and adapters between torch modules and NumPy functions."""

from xai_ext.models.adapters import LogitsOf, NumpyFunction, as_numpy_function
from xai_ext.models.preprocess import Preprocess
from xai_ext.models.zoo import Classifier, load

__all__ = ["Classifier", "LogitsOf", "NumpyFunction", "Preprocess", "as_numpy_function", "load"]
