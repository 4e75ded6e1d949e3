"""What an attribution method claims about itself; the battery holds it to its claims."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

from xai_ext._checks import InputError, InputTypeError, check_choice

Host = Literal["captum", "shap", "lime", "core", "function"]
HOSTS = ("captum", "shap", "lime", "core", "function")
ESTIMANDS = ("shapley", "owen", "surrogate", "path", "gradient", "occlusion", "importance")
MAPS = ("player", "density", "position", "layer")
POSITIVE = (
    "seed", "budget", "batch", "complete", "additive_exact", "dummy", "symmetric", "linear", "affine", "std_error",
    "feature_mask", "extra_args", "multi_output",
)  # fmt: skip


@dataclass(frozen=True)
class Tags:
    """What a method is and what it promises.

    Attributes
    ----------
    host : {"captum", "shap", "lime", "core", "function"}
        How it is called.
    estimand : str
        One of shapley, owen, surrogate, path, gradient, occlusion, importance.
    draws : bool
        Does it use random numbers?
    seed : str, optional
        The keyword that fixes them: of the call, for SHAP and lime of the constructor.
    budget, batch : str, optional
        Keywords of the budget and of the inner batch.
    budget_rows : callable, optional
        Budget and number of players -> the largest number of forward rows per example; None: the budget itself.
    typical : int
        The budget that most checks use; a method that cannot work with it says so here.
    complete : {"always", "full"}, optional
        Values sum to f(x) - f(baseline) at every budget, or once everything is enumerated.
    additive_exact, dummy, symmetric, linear, affine : bool
        Exact on additive models at any budget; a player without influence gets 0; equal players get equal values;
        linear in the model under one seed; scales with ``a * f + c``.
    gradients, hooks : bool
        Needs a differentiable module; installs hooks in it.
    std_error : bool
        Returns standard errors, in `xai_ext.Explanation` objects.
    feature_mask, extra_args, multi_output : bool
        Takes regions, extra forward arguments, models with several outputs and a target.
    map : {"player", "density", "position", "layer"}
        What an element carries: its player's whole value, its share of it, the value of its position, or that of a
        position in a layer.
    kernel : {"cosine"}, optional
        Of a surrogate whose limit is lime's weighted least squares over fair coins.
    tree : callable, optional
        Image (H, W, C) and labels (H, W) -> merges (n - 1, 4): the tree of Owen values.
    counterpart : str, optional
        ``module:Class`` of the same method in another host.
    columns : bool
        SHAP only: the players are the columns of a table instead of regions of an image.
    """

    host: str
    estimand: str = "importance"
    draws: bool = True
    seed: str | None = None
    budget: str | None = None
    budget_rows: Callable[[int, int], int] | None = None
    typical: int = 64
    batch: str | None = None
    complete: str | None = None
    additive_exact: bool = False
    dummy: bool = False
    symmetric: bool = False
    linear: bool = False
    affine: bool = False
    gradients: bool = False
    hooks: bool = False
    std_error: bool = False
    feature_mask: bool = False
    extra_args: bool = False
    multi_output: bool = False
    map: str = "density"
    kernel: str | None = None
    tree: Callable[..., Any] | None = None
    counterpart: str | None = None
    columns: bool = False

    def __post_init__(self) -> None:
        check_choice("host", self.host, HOSTS)
        check_choice("estimand", self.estimand, ESTIMANDS)
        check_choice("map", self.map, MAPS)
        if self.complete is not None:
            check_choice("complete", self.complete, ("always", "full"))

    @property
    def is_torch(self) -> bool:
        """Does the method see the user's torch module itself?"""
        return self.host in ("captum", "core", "function")

    @property
    def not_claimed(self) -> list[str]:
        """Positive tags that the method leaves out."""
        return [name for name in POSITIVE if not getattr(self, name)]

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {k: getattr(v, "__qualname__", v) if callable(v) else v for k, v in asdict(self).items()}


def infer_tags(cls: Any) -> Tags:
    """Tags of a class or function: its ``__attribution_tags__``, completed from its signature.

    Parameters
    ----------
    cls : class or function
        Captum: has ``attribute``; SHAP: derives from ``shap.Explainer``; lime: has ``explain_instance``; core: a
        function whose first parameter is named ``game``, ``masked`` or ``masked_model``; any other function is
        called as ``(forward, inputs, target, **kwargs)``.
    """
    declared = getattr(cls, "__attribution_tags__", {})
    if isinstance(declared, Tags):
        return declared
    host = host_of(cls)
    return made_tags(dict(_inferred(cls, host), host=host), declared)


def made_tags(inferred: Mapping[str, Any], declared: Mapping[str, Any]) -> Tags:
    """Tags from what was inferred and what was declared; unknown names are refused."""
    known = {f.name for f in fields(Tags)}
    for name in declared:
        check_choice("a tag", name, sorted(known))
    return Tags(**{**inferred, **declared})


def host_of(cls: Any) -> Host:
    """Which host's habits a class or function follows."""
    if hasattr(cls, "attribute"):
        return "captum"
    if hasattr(cls, "explain_instance"):
        return "lime"
    if any(base.__module__.partition(".")[0] == "shap" for base in getattr(cls, "__mro__", ())):
        return "shap"
    if isinstance(cls, type) or not callable(cls):
        raise InputTypeError(
            f"expected a class with attribute() or explain_instance(), a subclass of shap.Explainer or a function, got "
            f"{cls!r}"
        )
    first = next(iter(inspect.signature(cls).parameters), "")
    return "core" if first in ("game", "masked", "masked_model") else "function"


def _inferred(cls: Any, host: Host) -> dict[str, Any]:
    if host == "shap":
        own = "xai_ext" in {base.__module__.partition(".")[0] for base in cls.__mro__}
        return {"seed": "seed", "budget": "max_evals", "batch": "batch_size", "multi_output": True, "columns": not own}
    if host == "lime":
        return {
            "seed": "random_state", "budget": "num_samples", "batch": "batch_size", "feature_mask": True,
            "multi_output": True, "map": "player", "estimand": "surrogate",
        }  # fmt: skip
    names = inspect.signature(cls.attribute if host == "captum" else cls).parameters
    if host == "core":
        return {
            "seed": "rng", "budget": "budget" if "budget" in names else None, "batch": "batch_size",
            "feature_mask": True, "map": "player", "multi_output": True, "std_error": True,
        }  # fmt: skip
    return {
        "seed": "seed" if "seed" in names else None,
        "draws": "seed" in names or "n_samples" in names,
        "budget": next((n for n in ("n_samples", "budget") if n in names), None),
        "batch": next((n for n in ("perturbations_per_eval", "batch_size") if n in names), None),
        "feature_mask": "feature_mask" in names,
        "map": "player" if "feature_mask" in names else "density",
        "extra_args": "additional_forward_args" in names,
        "multi_output": "target" in names,
    }


def parse_tags(text: str) -> dict[str, Any]:
    """``draws=false,budget=n_samples`` as a dict of tags."""
    words: dict[str, Any] = {"true": True, "false": False, "none": None}
    known = {f.name for f in fields(Tags)} - {"budget_rows", "tree"}
    found: dict[str, Any] = {}
    for part in filter(None, text.split(",")):
        name, equals, value = part.partition("=")
        if not equals:
            raise InputError(f"tags must be name=value pairs joined by commas, got {part!r}")
        check_choice("a tag", name, sorted(known))
        found[name] = words.get(value.lower(), int(value) if value.isdigit() else value)
    return found
