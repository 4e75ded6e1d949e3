"""The names of this package's explainers for ``shap.Explainer(..., algorithm=)``."""

import functools
import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

_KNOWN = (
    "self", "model", "masker", "link", "algorithm", "output_names", "feature_names", "linearize_link", "seed", "kwargs",
)  # fmt: skip

_explainers: dict[str, type] = {}  # by name, empty while nothing is registered


@dataclass(frozen=True)
class _Wrapped:
    """SHAP's constructor and ours around it."""

    original: Callable[..., None]
    ours: Callable[..., None]


_in_chain: list[_Wrapped] = []  # at most one


def register() -> None:
    """Let ``shap.Explainer(f, masker, algorithm="bpt_owen")`` make our explainers, by their ``algorithm`` names.

    What "auto" and SHAP's own names choose stays the same. Calling it again changes nothing; `unregister` undoes it.

    Raises
    ------
    RuntimeError
        When ``shap.Explainer`` has other parameters than those of the versions supported; the classes in
        `xai_ext.explainers` work without it.
    """
    import shap

    from xai_ext import explainers

    found = (getattr(explainers, name) for name in explainers.__all__)
    by_name = {cls.algorithm: cls for cls in found}
    current = shap.Explainer.__init__
    # under somebody else's wrapper ours is still there
    if not _in_chain or current is _in_chain[0].original:
        _check_signature(current, by_name)
        _in_chain[:] = [_Wrapped(current, _wrapper(current, shap.Explainer))]
        shap.Explainer.__init__ = _in_chain[0].ours
    _explainers.update(by_name)


def unregister() -> None:
    """Undo `register`: SHAP is as it was, except for what others did to it since."""
    _explainers.clear()
    if not _in_chain:
        return
    import shap

    if shap.Explainer.__init__ is _in_chain[0].ours:
        shap.Explainer.__init__ = _in_chain.pop().original


@contextmanager
def registered() -> Iterator[None]:
    """`register` for the length of a ``with`` block; leaves the state it found."""
    before = bool(_explainers)
    register()
    try:
        yield
    finally:
        (register if before else unregister)()


def _check_signature(constructor: Callable[..., None], by_name: dict[str, type]) -> None:
    got = tuple(inspect.signature(constructor).parameters)
    if got != _KNOWN:
        classes = ", ".join(f"xai_ext.explainers.{cls.__name__}" for cls in by_name.values())
        raise RuntimeError(
            f"shap.Explainer.__init__ must have the parameters {_KNOWN}, got {got}: a version or a patch that "
            f"register() does not know; fix: use the classes directly, {classes}"
        )


def _wrapper(original: Callable[..., None], base: type) -> Callable[..., None]:
    signature = inspect.signature(original)

    @functools.wraps(original)
    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        given = _arguments(signature, self, args, kwargs) if _explainers and type(self) is base else {}
        algorithm = given.pop("algorithm", None)
        if not (isinstance(algorithm, str) and algorithm in _explainers):
            original(self, *args, **kwargs)
            return
        self.__class__ = _explainers[algorithm]
        self.__init__(**given)

    return __init__


def _arguments(signature: inspect.Signature, self: Any, args: Any, kwargs: Any) -> dict[str, Any]:
    """By name; empty where they do not fit, which the original constructor says better."""
    try:
        bound = signature.bind(self, *args, **kwargs).arguments
    except TypeError:
        return {}
    more: dict[str, Any] = bound.get("kwargs", {})
    return {name: value for name, value in bound.items() if name not in ("self", "kwargs")} | more
