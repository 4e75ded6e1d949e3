"""The contract of Captum's hosts, C1 to C18, for classes with the signature of ``captum.attr.Lime.attribute``.

C3, C4, C12, C14, C15 and C16 hold more than the checks `hooks`, `chunks`, `global_rng`, `budget_rows`, `copies` and
`later_training`; what they share with them is not repeated.
"""

import copy
import inspect
import io
from contextlib import redirect_stderr
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from xai_ext.testing import _fixtures as fixtures
from xai_ext.testing._case import Case, check
from xai_ext.testing._state import generators, restored, seed_globally
from xai_ext.testing.tags import Tags

X = torch.tensor([[20.0, 50.0, 30.0]])


def _lime_like(tags: Tags) -> bool:
    return tags.host == "captum" and tags.budget == "n_samples" and tags.batch is not None and tags.feature_mask


WHY = "is no Captum class with a budget, a batch and regions"


def basic_model() -> Any:
    """Captum's three-input test model."""
    with restored():
        from captum.testing.helpers.basic_models import BasicModel_MultiLayer

        return BasicModel_MultiLayer()


def attribute(case: Case, model: Any, x: Any, **kwargs: Any) -> Any:
    """The class itself, with the case's seed."""
    settings = {**case.subject.kwargs, "n_samples": 20, **kwargs}
    if case.tags.seed and "seed" not in settings:
        settings["seed"] = 0
    if not case.tags.seed:
        seed_globally(0)
    return case.subject.built(model).attribute(x, **settings)


@check("host", _lime_like, WHY)
def check_C1(case: Case) -> None:
    """The first parameters are those of captum.attr.Lime.attribute, further ones keyword-only; the class has a name."""
    from captum.attr import Lime, PerturbationAttribution

    method = case.subject.built(basic_model())
    ours = list(inspect.signature(method.attribute).parameters.values())
    captums = list(inspect.signature(Lime(lambda x: x).attribute).parameters.values())
    names = [(p.name, p.kind) for p in captums]
    case.require([(p.name, p.kind) for p in ours[: len(captums)]] == names, f"parameters {[p.name for p in ours]}")
    case.require(all(p.kind is p.KEYWORD_ONLY for p in ours[len(captums) :]), "own parameters must be keyword-only")
    case.require(isinstance(method, PerturbationAttribution), "is no PerturbationAttribution")
    case.require(method.has_convergence_delta() is False, "has_convergence_delta() must be False")
    case.require("  " not in method.get_name() and method.get_name(), f"name {method.get_name()!r}")
    case.raises(method.attribute_future, NotImplementedError, "attribute_future()")


@check("host", _lime_like, WHY)
def check_C2(case: Case) -> None:
    """With per-example targets, the batch gives what each example gives alone."""
    from captum.attr import Lime

    x, targets, model = torch.cat([X, X / 2, X - 40]), [0, 1, 1], basic_model()
    torch.manual_seed(1234)
    whole = attribute(case, model, x, target=targets, seed=None) if case.tags.seed else None
    if whole is None:
        return
    torch.manual_seed(1234)
    for i, target in enumerate(targets):
        if not isinstance(case.subject.built(model), Lime):
            torch.manual_seed(1234)
        alone = attribute(case, model, x[i : i + 1], target=target, seed=None)
        case.close(alone, whole[i : i + 1], 1e-4, f"example {i} alone")


@check("host", _lime_like, WHY)
def check_C3(case: Case) -> None:
    """A target that does not fit raises an error that is a ValueError and an AssertionError, and leaves no hook."""
    model = basic_model()
    for kind in (AssertionError, ValueError):
        case.raises(partial(attribute, case, model, X, target=(9999,) * 20), kind, "target (9999,) * 20")
    case.require(not any(m._forward_hooks for m in model.modules()), "a hook is left")


@check("host", _lime_like, WHY)
def check_C4(case: Case) -> None:
    """perturbations_per_eval 1, 2, 3, 20 and None give the same."""
    x, model = torch.cat([X, X / 2]), basic_model()
    expected = attribute(case, model, x, target=[0, 1])
    for rows in (2, 3, 20, None):
        got = attribute(case, model, x, target=[0, 1], perturbations_per_eval=rows)
        case.close(got, expected, 1e-5, f"perturbations_per_eval={rows}")


@check("host", lambda t: _lime_like(t) and t.estimand in ("shapley", "owen") and not t.draws, "has no exact values")
def check_C5(case: Case) -> None:
    """Two players have the Shapley values computed by hand, with any baseline, mask per example, bool inputs."""
    model, mask = basic_model(), torch.tensor([[0, 0, 1]])
    for baseline, values in ((0, [275.0, 275, 115]), (4, [248.0, 248, 104])):
        got = attribute(case, model, X, baselines=baseline, target=0, feature_mask=mask)
        case.close(got, torch.tensor([values]), 1e-5, f"baseline {baseline}")
    x, masks = torch.tensor([[2.0, 10, 3], [20, 50, 30]]), torch.tensor([[0, 0, 1], [1, 1, 0]])
    got = attribute(case, model, x, target=0, feature_mask=masks)
    case.close(got, torch.tensor([[39.5, 39.5, 10.5], [275, 275, 115]]), 1e-5, "a mask per example")


@check("host", _lime_like, WHY)
def check_C6(case: Case) -> None:
    """A mask of any integral dtype, with gaps or negative ids, means what the plain int64 mask means."""
    model, plain = basic_model(), torch.tensor([[0, 0, 1]])
    expected = attribute(case, model, X, target=0, feature_mask=plain)
    masks = [plain.to(d) for d in (torch.int32, torch.uint8, torch.bool, torch.float32)]
    for mask in (*masks, 5 * plain, plain - 1, plain + 1):
        got = attribute(case, model, X, target=0, feature_mask=mask)
        case.close(got, expected, 0.0, f"mask {mask.tolist()} of {mask.dtype}")


@check("host", _lime_like, WHY)
def check_C7(case: Case) -> None:
    """Every form of a baseline, and inputs of every kind, mean the same after a cast."""
    model, x = basic_model(), torch.cat([X, X / 2])
    expected = attribute(case, model, x, baselines=torch.full_like(x, 4), target=0)
    for baseline in (4, 4.0, torch.full((1, 3), 4.0)):
        case.close(attribute(case, model, x, baselines=baseline, target=0), expected, 0.0, f"baseline {baseline!r}")
    case.raises(partial(attribute, case, model, X, baselines=torch.zeros(5, 3)), (ValueError, AssertionError), "5 rows")
    for kind in (X.long(), X.double(), X.clone().requires_grad_(), X[:, :1].expand(1, 3)):
        before, version = kind.detach().clone(), kind._version
        got = attribute(case, lambda t: t.double().square().sum(1), kind)
        case.require(torch.equal(kind.detach(), before) and kind._version == version, "the input was written to")
        case.require(got.shape == kind.shape and not got.requires_grad, f"result {got.shape}")


@check("host", _lime_like, WHY)
def check_C8(case: Case) -> None:
    """A model that gives one answer per batch is explained as a whole, in the output's length."""
    x = torch.cat([X, X])
    answers = (lambda t: float(t.sum()), lambda t: int(t.sum()), lambda t: t.sum(), lambda t: t.sum().reshape(1))
    for forward in answers:
        case.require(attribute(case, forward, x).shape == (1, 3), "one answer per batch: wrong shape")
    case.require(attribute(case, lambda t: t.sum(0)[:3], x).shape == (3, 3), "three answers per batch: wrong shape")
    case.raises(
        partial(attribute, case, answers[0], x, perturbations_per_eval=2), (ValueError, AssertionError), "2 rows"
    )


@check("host", _lime_like, WHY)
def check_C9(case: Case) -> None:
    """Extra arguments with a row per example go with their example; others arrive unchanged."""
    model, x = fixtures.WithArguments(), fixtures.images(2)
    table, scale = torch.arange(7.0), torch.tensor([[1.0], [2.0]])
    mask = torch.from_numpy(fixtures.grid_labels())
    call = partial(attribute, case, model, feature_mask=mask[None, None], target=1, perturbations_per_eval=3)
    whole = call(x, additional_forward_args=(scale, table))
    case.require(all(t is table for t in model.tables), "a table (7,) did not arrive unchanged")
    if case.tags.seed:
        alone = call(x[1:], additional_forward_args=(scale[1:], table))
        case.close(alone, whole[1:], 1e-5, "example 1 alone")


@check("host", lambda t: _lime_like(t) and t.std_error, "has no explain()")
def check_C10(case: Case) -> None:
    """attribute() is a projection of explain(); without the input's shape there is one column per id."""
    model, mask = basic_model(), torch.tensor([[1, 1, 4]])
    settings = {"target": 0, "feature_mask": mask, "n_samples": 20, "seed": 0}
    method = case.subject.built(model)
    found, explained = method.attribute(X, **settings), method.explain(X, **settings)
    case.close(found[0], explained[0].region_map().reshape(3), 1e-6, "attribute() and explain()")
    flat = method.attribute(X, return_input_shape=False, **settings)
    case.require(flat.shape == (1, 4) and not flat[0, 1:3].any(), f"columns {flat.tolist()}")


@check("host", _lime_like, WHY)
def check_C11(case: Case) -> None:
    """The progress bar carries the method's name and ends at 100 %."""
    name = case.subject.built(basic_model()).get_name()
    for rows in (1, 2, 3):
        with redirect_stderr(io.StringIO()) as err:
            attribute(case, basic_model(), X, target=0, show_progress=True, perturbations_per_eval=rows)
        case.require(f"{name} attribution: 100%" in err.getvalue(), f"progress: {err.getvalue()[-80:]!r}")


@check("host", _lime_like, WHY)
def check_C12(case: Case) -> None:
    """torch.manual_seed reproduces a call without a seed; only a class that draws moves torch's generator."""
    x = torch.rand(1, 12, generator=torch.Generator().manual_seed(0))
    unseeded = {"seed": None} if case.tags.seed else {}
    results, moved = [], []
    for _ in range(2):
        torch.manual_seed(0)
        before = generators()["torch"]
        results.append(attribute(case, lambda t: t.sum(1) ** 2, x, **unseeded))
        moved.append(generators()["torch"] != before)
    case.same(results[0], results[1], "after torch.manual_seed")
    case.require(moved[0] == case.tags.draws, f"draws={case.tags.draws}, but the generator moved: {moved[0]}")


@check("host", _lime_like, WHY)
def check_C13(case: Case) -> None:
    """NoiseTunnel takes the class; every result is an ordinary tensor."""
    from captum.attr import NoiseTunnel

    x = torch.cat([X, X / 2])
    for kind in ("smoothgrad", "smoothgrad_sq", "vargrad"):
        tunnel = NoiseTunnel(case.subject.built(basic_model()))
        got = tunnel.attribute(x, nt_type=kind, nt_samples=4, nt_samples_batch_size=2, target=0, n_samples=20)
        case.require(got.shape == x.shape and bool(got.isfinite().all()), f"{kind}: {got}")
        case.require(
            got.is_contiguous() and not got.requires_grad and not got.is_inference(), f"{kind}: no plain tensor"
        )


@check("host", lambda t: _lime_like(t) and t.budget_rows is None, "has a budget of something else")
def check_C14(case: Case) -> None:
    """A batch costs at most n_samples rows per example, in calls of perturbations_per_eval rows per example."""
    for n, rows, budget in ((1, 1, 7), (1, 4, 30), (3, 2, 11)):
        spy = fixtures.Spy(nn.Linear(12, 2))
        x = torch.rand(n, 12, generator=torch.Generator().manual_seed(1))
        try:
            attribute(case, spy, x, target=0, n_samples=budget, perturbations_per_eval=rows)
        except ValueError:  # too little for every scalar
            continue
        case.measure(spy.rows - budget * n, 0, f"rows beyond {budget} for each of {n} examples")
        case.measure(max(spy.calls) - rows * n, 0, f"rows of a call beyond {rows} for each of {n} examples")


@check("host", _lime_like, WHY)
def check_C15(case: Case) -> None:
    """A call leaves nothing on the object, and a copy with another forward_func leaves the original alone."""
    method = case.subject.built(basic_model())
    before = dict(vars(method))
    settings = {"target": 0, "n_samples": 20} | ({"seed": 0} if case.tags.seed else {})
    torch.manual_seed(0)
    expected = method.attribute(X, **settings)
    same = vars(method).keys() == before.keys() and all(vars(method)[k] is v for k, v in before.items())
    case.require(same, "the call left something on the object")
    copied = copy.copy(method)
    copied.forward_func = lambda x: 100 * basic_model()(x)
    torch.manual_seed(0)
    case.require(not torch.equal(copied.attribute(X, **settings), expected), "the copy calls the original's function")
    torch.manual_seed(0)
    case.same(method.attribute(X, **settings), expected, "the original after a call of its copy")


@check("host", _lime_like, WHY)
def check_C16(case: Case) -> None:
    """The model runs under no_grad, not inference_mode: a tensor it caches can be trained with."""
    enabled, inference = [], []

    def forward(x: Tensor) -> Tensor:
        enabled.append(torch.is_grad_enabled())
        inference.append(torch.is_inference_mode_enabled())
        return x.sum(1)

    attribute(case, forward, X)
    case.require(not any(enabled), "the model ran with gradients")
    case.require(not any(inference), "the model ran in inference mode")


@check("host", lambda t: _lime_like(t) and t.estimand == "surrogate", "is no Lime")
def check_C17(case: Case) -> None:
    """LLMAttribution accepts the class, which takes its bool token inputs and their aggregate scores."""
    from captum.attr import Lime

    method = case.subject.built(lambda x: x.sum(1))
    case.require(isinstance(method, Lime), "LLMAttribution takes only subclasses of Captum's classes")
    tokens = torch.ones(1, 4, dtype=torch.int64)
    got = attribute(case, lambda t: (t.float() * torch.arange(4.0)).sum(1), tokens, n_samples=40)
    case.require(got.shape == (1, 4) and bool(got.isfinite().all()), f"tokens: {got}")


@check("host", _lime_like, WHY)
def check_C18(case: Case) -> None:
    """Captum's infidelity and visualization take the result; a traced model is explained like the original."""
    from captum.attr import visualization
    from captum.metrics import infidelity

    model, x = nn.Sequential(nn.Flatten(), nn.Linear(100, 2)).eval(), torch.rand(1, 1, 10, 10)
    mask = torch.arange(100).reshape(1, 1, 10, 10) // 25
    found = attribute(case, model, x, target=0, feature_mask=mask)
    score = infidelity(model, lambda i: (torch.full_like(i, 0.01), i - 0.01), x, found, target=0)
    case.require(score.shape == (1,), f"infidelity {score}")
    figure, _ = visualization.visualize_image_attr(found[0].movedim(0, -1).numpy(), sign="all", use_pyplot=False)
    case.require(figure.axes, "nothing was drawn")
    if case.tags.seed:
        traced = torch.jit.trace(model, x)  # type: ignore[no-untyped-call]
        case.close(attribute(case, traced, x, target=0, feature_mask=mask), found, 1e-4, "a traced model")
