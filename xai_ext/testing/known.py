"""What is known of methods that do not say it themselves: tags, constructors and keywords of the hosts' built-ins."""

import json
from importlib import resources
from typing import Any

from xai_ext.testing._builtins import BUILTINS, Known


def image_tree(image: Any, labels: Any) -> Any:
    """Merges (n - 1, 4) of the tree that BPTOwen builds by default."""
    from xai_ext.hierarchies import bpt

    return bpt(image, labels).merges


EXACT = {"additive_exact": True, "dummy": True, "symmetric": True, "linear": True, "affine": True}
OWEN = {
    "estimand": "owen", "draws": False, "complete": "always", "additive_exact": True, "dummy": True, "affine": True,
    "tree": image_tree, "typical": 300,
}  # fmt: skip
LIME = {"estimand": "surrogate", "kernel": "cosine", "draws": True, "std_error": True, "linear": True, "affine": True}
RISE = {"estimand": "importance", "draws": True, "std_error": True, "affine": True}
OCCLUSION = {"estimand": "occlusion", "draws": False, "affine": True}
OURS = {
    "xai_ext.attr.bpt_owen:BPTOwen": Known(OWEN | {"std_error": True, "counterpart": "xai_ext.explainers:BPTOwen"}),
    "xai_ext.attr.stratified_lime:StratifiedLime": Known(LIME | {"counterpart": "xai_ext.explainers:StratifiedLime"}),
    "xai_ext.attr.rise:RISE": Known(RISE | {"counterpart": "xai_ext.explainers:RISE"}),
    "xai_ext.attr.iassa:IASSA": Known(OCCLUSION | EXACT | {"counterpart": "xai_ext.explainers:IASSA"}),
    "xai_ext.explainers.bpt_owen:BPTOwen": Known(OWEN | {"std_error": True, "feature_mask": True}),
    "xai_ext.explainers.stratified_lime:StratifiedLime": Known(LIME | {"feature_mask": True}),
    "xai_ext.explainers.rise:RISE": Known(RISE | {"map": "position"}),
    "xai_ext.explainers.iassa:IASSA": Known(OCCLUSION | {"map": "position"}),
    "xai_ext.lime_image:StratifiedLimeImageExplainer": Known(LIME),
    "xai_ext.methods.lime:lime": Known(LIME | {"multi_output": True}),
    "xai_ext.methods._owen:owen": Known(OWEN),
    "xai_ext.methods._feedback:owen_with_feedback": Known(OWEN | {"tree": None, "typical": 300}),
    "xai_ext.methods._several_trees:owen_over_trees": Known(
        # its standard error is that between few trees: no interval of a sampling error
        OWEN | {"tree": None, "draws": True, "typical": 1200, "std_error": False}
    ),
    "xai_ext.methods.rise:rise": Known(RISE),
    "xai_ext.methods.iassa:iassa": Known(OCCLUSION | EXACT),
    "xai_ext.testing._twins:permutation_shapley": Known(EXACT | {"estimand": "shapley", "complete": "always"}),
    "xai_ext.testing._twins:kernel_shap": Known(
        {"estimand": "shapley", "complete": "always", "std_error": False, "linear": True, "affine": True}
    ),
    "xai_ext.testing._twins:occlusion": Known(OCCLUSION | EXACT | {"seed": None, "std_error": False}),
}


def known_of(cls: Any) -> Known | None:
    """What is known of a class or function."""
    name = f"{getattr(cls, '__module__', '')}:{getattr(cls, '__qualname__', '')}"
    return OURS.get(name) or BUILTINS.get(name)


def measured_failures() -> dict[str, Any]:
    """What the built-ins fail, as measured: versions, and per ``module:Class`` the checks and their reasons."""
    text = resources.files("xai_ext.testing").joinpath("builtin_failures.json").read_text("utf-8")
    found: dict[str, Any] = json.loads(text)
    return found
