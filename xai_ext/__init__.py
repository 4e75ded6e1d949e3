"""Black-box explanations for Captum and SHAP, with error bars and honest metrics.

`xai_ext.attr` parallels ``captum.attr``, `xai_ext.explainers` and `xai_ext.maskers` parallel SHAP's, and
`xai_ext.metrics` parallels ``captum.metrics``.
"""

from xai_ext.explanation import Explanation
from xai_ext.game import Game, MaskedModel

__all__ = ["Explanation", "Game", "MaskedModel", "__version__"]
__version__ = "0.1.0.dev0"
