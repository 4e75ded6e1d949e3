"""Tags, constructors and keywords of the attribution methods that Captum, SHAP and lime bring."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Known:
    """How a method is built and called, and what its documentation claims."""

    tags: Mapping[str, Any] = field(default_factory=dict)
    make: Callable[..., Any] | None = None
    kwargs: Mapping[str, Any] = field(default_factory=dict)


def noise_tunnel(forward: Any) -> Any:
    """NoiseTunnel around Saliency."""
    from captum.attr import NoiseTunnel, Saliency

    return NoiseTunnel(Saliency(forward))


def grad_cam(forward: Any) -> Any:
    """LayerGradCam of the first convolution."""
    from captum.attr import LayerGradCam
    from torch import nn

    return LayerGradCam(forward, next(m for m in forward.modules() if isinstance(m, nn.Conv2d)))


def shap_partition(function: Any, n: int, seed: int | None = None) -> Any:
    """Over a balanced tree of n columns."""
    import shap

    from xai_ext.hierarchies import balanced

    masker = _background(n)
    masker.clustering = balanced(n).merges
    return shap.explainers.Partition(function, masker, seed=seed)


def shap_permutation(function: Any, n: int, seed: int | None = None) -> Any:
    """Over n columns."""
    import shap

    return shap.explainers.Permutation(function, _background(n), seed=seed)


def shap_kernel(function: Any, n: int, **_: Any) -> Any:
    """Over n columns; it has no seed."""
    import shap

    return _KernelCalled(lambda: shap.explainers.Kernel(function, _zeros(n)))


class _KernelCalled:
    """KernelExplainer with the call of the others."""

    def __init__(self, explainer: Callable[[], Any]) -> None:
        self.explainer = explainer

    def __call__(self, rows: Any, max_evals: int = 64, **more: Any) -> Any:
        import shap

        if set(more) - {"silent"}:
            raise TypeError(f"unexpected keyword {sorted(more)}")
        return shap.Explanation(self.explainer().shap_values(rows, nsamples=max_evals, silent=True))


def _zeros(n: int) -> Any:
    import numpy as np

    return np.zeros((1, n))


def _background(n: int) -> Any:
    import shap

    return shap.maskers.Independent(_zeros(n))


def ablation_rows(budget: int, players: int) -> int:
    """One row per player and the input."""
    return players + 1


def without_ends(budget: int, players: int) -> int:
    """`budget` leaves out f(x) and f(baseline)."""
    return budget + 2


def permutations(budget: int, players: int) -> int:
    """`budget` counts orders."""
    return budget * players + 1


GRADIENT = {"draws": False, "gradients": True, "estimand": "gradient"}
HOOKED = GRADIENT | {"hooks": True}
PATH = {"draws": False, "gradients": True, "estimand": "path"}
OCCLUSION = {
    "estimand": "occlusion", "draws": False, "additive_exact": True, "dummy": True, "linear": True, "affine": True,
}  # fmt: skip
SHAPLEY = {"estimand": "shapley", "draws": True, "linear": True, "affine": True}
COLUMNS = {"columns": True, "estimand": "shapley", "linear": True, "affine": True, "feature_mask": False}
KERNEL_KEYWORDS = {"seed": None, "batch": None, "linear": False, "budget_rows": without_ends}
BUILTINS: dict[str, Known] = {
    "captum.attr._core.saliency:Saliency": Known(GRADIENT),
    "captum.attr._core.input_x_gradient:InputXGradient": Known(GRADIENT),
    "captum.attr._core.deep_lift:DeepLift": Known(PATH | {"hooks": True}),
    "captum.attr._core.guided_backprop_deconvnet:GuidedBackprop": Known(HOOKED),
    "captum.attr._core.deep_lift:DeepLiftShap": Known(
        GRADIENT | {"hooks": True}, kwargs={"baselines": "images"}
    ),
    "captum.attr._core.integrated_gradients:IntegratedGradients": Known(
        PATH | {"budget": None, "batch": None, "linear": True}
    ),
    "captum.attr._core.gradient_shap:GradientShap": Known(
        GRADIENT | {"draws": True, "budget": None}, kwargs={"baselines": "images"}
    ),
    "captum.attr._core.noise_tunnel:NoiseTunnel": Known(
        GRADIENT | {"draws": True, "multi_output": True}, noise_tunnel, {"nt_samples": 4}
    ),
    "captum.attr._core.feature_ablation:FeatureAblation": Known(OCCLUSION),
    "captum.attr._core.feature_permutation:FeaturePermutation": Known({"estimand": "importance", "draws": True}),
    "captum.attr._core.occlusion:Occlusion": Known(
        {"estimand": "occlusion", "draws": False, "linear": True, "affine": True, "feature_mask": False},
        kwargs={"sliding_window_shapes": (1, 2, 2), "strides": (1, 2, 2)},
    ),
    "captum.attr._core.shapley_value:ShapleyValueSampling": Known(
        SHAPLEY
        | {"complete": "always", "dummy": True, "additive_exact": True, "typical": 5, "budget_rows": permutations}
    ),
    "captum.attr._core.kernel_shap:KernelShap": Known(SHAPLEY),
    "captum.attr._core.lime:Lime": Known({"estimand": "surrogate", "draws": True, "affine": True}),
    "captum.attr._core.layer.grad_cam:LayerGradCam": Known(HOOKED | {"map": "layer"}, grad_cam),
    "shap.explainers._partition:PartitionExplainer": Known(
        COLUMNS | {"estimand": "owen", "draws": False, "complete": "always", "linear": False}, shap_partition
    ),
    "shap.explainers._permutation:PermutationExplainer": Known(
        COLUMNS | {"complete": "always", "dummy": True, "additive_exact": True}, shap_permutation
    ),
    "shap.explainers._kernel:KernelExplainer": Known(
        COLUMNS | KERNEL_KEYWORDS | {"complete": "always", "additive_exact": True}, shap_kernel
    ),
    "lime.lime_image:LimeImageExplainer": Known({"estimand": "surrogate", "draws": True, "kernel": "cosine"}),
}  # fmt: skip
