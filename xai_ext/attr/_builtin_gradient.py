"""Captum's own methods that need gradients, for comparison; those that hook activations on a copy they understand."""

import copy
from collections.abc import Callable

import captum.attr as ca

from xai_ext._task import MapResult, Method, Size, Skipped, Task, Unsupported
from xai_ext.attr._builtin_parts import differentiable, for_hooks, for_relu_hooks, gap, rules, summed, told
from xai_ext.attr._prepare import same_layer

_MOST_STEPS = 200
_DEEPLIFT_GAP = 0.01  # of f(x) - f(baseline), beyond which the rules have missed something
_LRP_GAP = 0.5  # of f(x)
_CONVERGED = 0.05
_GRADIENT = frozenset({"gradient"})


def methods() -> list[Method]:
    """Captum's, in the order of their cost."""
    plain, relu, layer = _GRADIENT, _GRADIENT | {"relu"}, _GRADIENT | {"layer"}

    def of(
        name: str, run: Callable[..., MapResult], cost: int, needs: frozenset[str], complete: bool = False
    ) -> Method:
        features = "layer" if needs == layer else "pixels"
        return Method(f"captum.{name}", "captum", features, False, run, cost, needs, complete)

    return [
        Method("captum.IntegratedGradients", "captum", "pixels", False, _integrated_gradients, None, plain, True,
               lambda size: 3 * _steps(size)),
        of("Saliency", _saliency, 3, plain),
        of("InputXGradient", _input_x_gradient, 3, plain),
        of("GuidedBackprop", _guided_backprop, 3, relu),
        of("DeepLift", _deep_lift, 6, plain, complete=True),
        of("LRP", _lrp, 4, plain),
        of("GuidedGradCam", _guided_gradcam, 6, relu | layer),
        of("LayerGradCam", _layer_gradcam, 3, layer),
    ]  # fmt: skip


def _integrated_gradients(task: Task, *, method: str = "gausslegendre") -> MapResult:
    steps = _steps(task.size)
    with differentiable(task):
        attributions = ca.IntegratedGradients(task.model).attribute(
            task.x, task.baseline, task.target, n_steps=steps, internal_batch_size=task.batch_size, method=method
        )
    values = summed(attributions)
    missing = gap(values, task)
    notes = {"not converged: the values miss f(x) - f(baseline) by": f"{missing:.1%}"} if missing > _CONVERGED else {}
    return MapResult(values, notes={"steps": steps, **notes})


def _steps(size: Size) -> int:
    if size.budget < 5:
        raise Skipped("integrated gradients: the method needs a budget of at least 5")
    return min(_MOST_STEPS, (size.budget - 2) // 3)


def _saliency(task: Task, *, abs: bool = True) -> MapResult:
    with differentiable(task):
        return MapResult(summed(ca.Saliency(task.model).attribute(task.x, task.target, abs=abs)))


def _input_x_gradient(task: Task) -> MapResult:
    with differentiable(task):
        return MapResult(summed(ca.InputXGradient(task.model).attribute(task.x, task.target)))


def _guided_backprop(task: Task) -> MapResult:
    found = for_relu_hooks(task)
    with differentiable(task), task.model.shown_as(found.module):
        return MapResult(summed(ca.GuidedBackprop(task.model).attribute(task.x, task.target)), notes=told(found))


def _guided_gradcam(task: Task) -> MapResult:
    task.layer_module()
    found = for_relu_hooks(task)
    layer = same_layer(found, task.model.module, str(task.layer), task.x)
    if layer is None:
        raise Unsupported(
            f"no module of the prepared copy returns what {task.layer} returns; fix: --layer NAME of another, or "
            "--hosts as-is"
        )
    with differentiable(task), task.model.shown_as(found.module):
        method = ca.GuidedGradCam(task.model, layer)
        attributions = method.attribute(task.x.clone().requires_grad_(), task.target, interpolate_mode="bilinear")
    return MapResult(summed(attributions), notes=told(found))


def _deep_lift(task: Task) -> MapResult:
    found = for_hooks(task)
    try:
        with differentiable(task), task.model.shown_as(found.module), rules(task):
            attributions = ca.DeepLift(task.model).attribute(task.x, task.baseline, task.target)
    except RuntimeError as error:
        if "DeepLift computations" not in str(error):
            raise
        raise Unsupported(str(error)) from error  # an activation that is used more than once
    values = summed(attributions)
    missing = gap(values, task)
    if missing > _DEEPLIFT_GAP:
        notes = {"the values miss f(x) - f(baseline) by": f"{missing:.1%}"}
        return MapResult(values, notes=notes | told(found), status="degenerate")
    return MapResult(values, notes=told(found))


def _lrp(task: Task) -> MapResult:
    """On a deep copy: it exchanges weights, and where it refuses a module it leaves its rules behind."""
    try:
        with differentiable(task), task.model.shown_as(copy.deepcopy(task.model.module)):
            values = summed(ca.LRP(task.model).attribute(task.x, task.target))
    except TypeError as error:
        if "no rule" not in str(error):
            raise
        raise Unsupported(str(error)) from error
    missing = abs(values.sum() - task.f_input)
    if missing > _LRP_GAP * abs(task.f_input):
        notes = {"the values miss f(x) by": f"{missing:.3g} of {abs(task.f_input):.3g}"}
        return MapResult(values, notes=notes, status="degenerate")
    return MapResult(values)


def _layer_gradcam(task: Task) -> MapResult:
    layer = task.layer_module()
    with differentiable(task):
        attributions = ca.LayerGradCam(task.model, layer).attribute(
            task.x.clone().requires_grad_(), task.target, relu_attributions=True
        )
    return MapResult(summed(ca.LayerAttribution.interpolate(attributions, tuple(task.x.shape[2:]), "bilinear")))
