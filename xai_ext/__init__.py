"""Black-box explanations for Captum and SHAP, with error bars and honest metrics.

`xai_ext.attr` parallels ``captum.attr``, `xai_ext.explainers` and `xai_ext.maskers` parallel SHAP's, and
`xai_ext.metrics` parallels ``captum.metrics``.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from xai_ext._register import register, registered, unregister
    from xai_ext.explanation import Explanation
    from xai_ext.game import Game, MaskedModel

__all__ = ["Explanation", "Game", "MaskedModel", "__version__", "register", "registered", "unregister"]
__version__ = "0.1.0.dev0"

_HOMES = {"Explanation": "explanation", "Game": "game", "MaskedModel": "game"}
_HOMES |= dict.fromkeys(("register", "registered", "unregister"), "_register")


def __getattr__(name: str) -> Any:  # torch is imported with the first name that needs it, not by ``xai-ext --help``
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
