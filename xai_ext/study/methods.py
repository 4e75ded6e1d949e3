"""All methods that can be compared, by name, group and setting."""

import importlib
import inspect
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from functools import partial
from typing import Any

import numpy as np

from xai_ext._checks import InputError, InputTypeError, check_choice
from xai_ext._task import MapResult, Method, Task, density

GROUPS = {"ours": "xai_ext", "captum": "captum", "shap": "shap", "lime": "lime", "reference": "reference"}
REFERENCE_DRAWS = 10
_EVERYTHING = ("all", "default")
_WORD = re.compile(r"[A-Za-z_][\w./-]*")

Wanted = str | Sequence[str | Method]
Settings = Mapping[str, Mapping[str, Any]]


def all_methods() -> list[Method]:
    """Ours, the hosts' own, and the references every method should beat."""
    from xai_ext import lime_image
    from xai_ext.attr import _builtin as captum_methods
    from xai_ext.explainers import _builtin as shap_methods

    references = [
        Method("random", "reference", "pixels", True, _random, 0),
        Method("random_segments", "reference", "segments", True, _random_segments, 0),
        Method("center", "reference", "pixels", False, _center, 0),
    ]
    return [*captum_methods.methods(), *shap_methods.methods(), *lime_image.methods(), *references]


def choose_methods(wanted: Wanted, settings: Settings | None = None) -> list[Method]:
    """The methods that a comma-separated list, or a sequence, names; ``-NAME`` takes away.

    Parameters
    ----------
    wanted : str or sequence of str and Method
        Names, globs (``captum.*``), groups (all or default, ours, captum, shap, lime, gradient, reference), names with
        settings (``rise:cells=7;keep_probability=0.3``: TOML values, words without quotes; the whole string is the
        method's name), and ``module:callable``, a function without arguments that returns a `Method`.
    settings : mapping, optional
        Name -> settings for a method that is wanted without any.

    Returns
    -------
    list of Method
        In the order of `all_methods`, variants behind the method they vary.
    """
    known = {method.name: method for method in all_methods()}
    chosen: dict[str, Method] = {}
    for token in _tokens(wanted):
        if isinstance(token, Method):
            chosen[token.name] = token
        elif token.startswith("-"):
            names = {*_matching(token[1:], [*known.values(), *chosen.values()])}
            chosen = {n: m for n, m in (chosen or known).items() if n not in names}
        else:
            chosen |= {m.name: m for m in _named(token, known)}
    if not chosen:
        raise InputError(f"no method is left of {wanted!r}; known: {', '.join(known)}")
    place = {name: i for i, name in enumerate(known)}
    ordered = sorted(chosen.values(), key=lambda m: place.get(m.name.partition(":")[0], len(place)))
    return _with_settings(ordered, settings or {}, known)


def setting_names(method: Method) -> list[str]:
    """What can be written behind the colon."""
    parameters = inspect.signature(method.run).parameters.values()
    return [p.name for p in parameters if p.kind is p.KEYWORD_ONLY]


def with_settings(method: Method, given: Mapping[str, Any], name: str) -> Method:
    """The method with other settings, under another name."""
    possible = setting_names(method)
    for key in given:
        if not possible:
            raise InputError(f"{method.name} has no settings, got {key!r}")
        check_choice(f"a setting of {method.name}", key, possible)
    return replace(method, name=name, run=partial(method.run, **given))


def _tokens(wanted: Wanted) -> list[str | Method]:
    if isinstance(wanted, str):
        return [t.strip() for t in wanted.split(",") if t.strip()]
    for item in wanted:
        if not isinstance(item, str | Method):
            raise InputTypeError(f"methods must be strings or Method, got {type(item).__name__}")
    return list(wanted)


def _named(token: str, known: Mapping[str, Method]) -> list[Method]:
    name, colon, rest = token.partition(":")
    if not colon:
        return [known[n] for n in _matching(token, list(known.values()))]
    if "=" not in rest:
        return [_imported(name, rest)]
    check_choice("method", name, known)
    return [with_settings(known[name], dict(map(_pair, filter(None, rest.split(";")))), token)]


def _pair(text: str) -> tuple[str, Any]:
    key, equals, value = (part.strip() for part in text.partition("="))
    if not equals or not key:
        raise InputError(f"a setting must be KEY=VALUE, got {text!r}")
    try:
        return key, tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError as error:
        if _WORD.fullmatch(value):
            return key, value
        raise InputError(f"the value of {key!r} must be a number, true, false, a word or a string, got {value!r}; "
                         f"fix: {key}=1.5 or {key}=\"text\"") from error  # fmt: skip


def _imported(module: str, name: str) -> Method:
    try:
        made = getattr(importlib.import_module(module), name)()
    except (ImportError, AttributeError) as error:
        raise InputError(
            f"cannot load the method {module}:{name} ({error}); settings are written as {module}:KEY=VALUE"
        ) from error
    if not isinstance(made, Method):
        raise InputTypeError(f"{module}:{name} must return an xai_ext.study.Method, got {type(made).__name__}")
    return made


def _with_settings(methods: Sequence[Method], settings: Settings, known: Mapping[str, Method]) -> list[Method]:
    for name in settings:
        check_choice("method", name, known)
    return [
        with_settings(m, settings[m.name], f"{m.name}:{';'.join(f'{k}={v}' for k, v in settings[m.name].items())}")
        if settings.get(m.name) else m
        for m in methods
    ]  # fmt: skip


def _matching(token: str, methods: Sequence[Method]) -> list[str]:
    if token in _EVERYTHING:
        return [m.name for m in methods]
    if token == "gradient":
        return [m.name for m in methods if "gradient" in m.needs]
    if token in GROUPS:
        return [m.name for m in methods if m.host == GROUPS[token]]
    found = [m.name for m in methods if fnmatchcase(m.name.lower(), token.lower())]
    if not found:
        check_choice("method", token, [*(m.name for m in methods), "all", "gradient", *GROUPS])
    return found


def _random(task: Task) -> MapResult:
    return MapResult(np.random.default_rng(task.seed).random(task.labels.shape))


def _random_segments(task: Task) -> MapResult:
    return MapResult(density(task.labels, np.random.default_rng(task.seed).random(task.n_regions)))


def _center(task: Task) -> MapResult:
    """A Gaussian at the centre, a quarter of the side wide: where photographers put the object."""
    height, width = task.labels.shape
    y, x = ((np.arange(side) - (side - 1) / 2) / (side / 4) for side in (height, width))
    return MapResult(np.exp(-(y[:, None] ** 2 + x[None, :] ** 2) / 2))
