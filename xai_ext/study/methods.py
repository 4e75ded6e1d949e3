"""All methods that can be compared, by name and group."""

from collections.abc import Sequence
from fnmatch import fnmatchcase
from functools import partial

import numpy as np

from xai_ext._checks import InputError, check_choice
from xai_ext._task import MapResult, Method, Task, density

GROUPS = {"ours": "xai_ext", "captum": "captum", "shap": "shap", "lime": "lime", "reference": "reference"}
REFERENCE_DRAWS = 10


def all_methods() -> list[Method]:
    """Ours, the hosts' own, and the references every method should beat."""
    from xai_ext import lime_image
    from xai_ext.attr import _builtin as captum_methods
    from xai_ext.explainers import _builtin as shap_methods

    references = [
        Method("random", "reference", "pixels", True, _random, 0),
        Method("random_segments", "reference", "segments", True, partial(_random, segments=True), 0),
        Method("center", "reference", "pixels", False, _center, 0),
    ]
    return [*captum_methods.methods(), *shap_methods.methods(), *lime_image.methods(), *references]


def choose_methods(wanted: str) -> list[Method]:
    """The methods that a comma-separated list of names, globs and groups names; ``-NAME`` takes away.

    Groups: all (or default), ours, captum, shap, lime, reference.
    """
    known = {method.name: method for method in all_methods()}
    chosen: dict[str, Method] = {}
    for token in filter(None, (t.strip() for t in wanted.split(","))):
        names = _matching(token.removeprefix("-"), list(known.values()))
        if token.startswith("-"):
            chosen = {n: m for n, m in (chosen or known).items() if n not in names}
        else:
            chosen |= {n: known[n] for n in names}
    if not chosen:
        raise InputError(f"no method is left of {wanted!r}; known: {', '.join(known)}")
    return [m for m in known.values() if m.name in chosen]


def _matching(token: str, methods: Sequence[Method]) -> list[str]:
    if token in ("all", "default"):
        return [m.name for m in methods]
    if token in GROUPS:
        return [m.name for m in methods if m.host == GROUPS[token]]
    found = [m.name for m in methods if fnmatchcase(m.name.lower(), token.lower())]
    if not found:
        check_choice("method", token, [*(m.name for m in methods), "all", *GROUPS])
    return found


def _random(task: Task, *, segments: bool = False) -> MapResult:
    rng = np.random.default_rng(task.seed)
    if segments:
        return MapResult(density(task.labels, rng.random(int(task.labels.max()) + 1)))
    return MapResult(rng.random(task.labels.shape))


def _center(task: Task) -> MapResult:
    """A Gaussian at the centre, a quarter of the side wide: where photographers put the object."""
    height, width = task.labels.shape
    y, x = ((np.arange(side) - (side - 1) / 2) / (side / 4) for side in (height, width))
    return MapResult(np.exp(-(y[:, None] ** 2 + x[None, :] ** 2) / 2))
