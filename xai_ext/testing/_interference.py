"""Non-interference: everything of the user's is as it was."""

import gc
import weakref
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import torch

from xai_ext.testing import _fixtures as fixtures
from xai_ext.testing._adapters import Problem
from xai_ext.testing._case import Case, CheckFailed, check
from xai_ext.testing._state import ModelState, differences, generators, grad_state, process, restored, same_bits
from xai_ext.testing.tags import Tags


def on_torch(tags: Tags) -> bool:
    """Does the method see the module?"""
    return tags.is_torch


def _sees_modules(tags: Tags) -> bool:
    """Does it see the module, itself or in a NumPy function that names it?"""
    return tags.is_torch or not tags.columns


WHY = "does not see the module"


@check("non-interference")
def check_inputs_unchanged(case: Case) -> None:
    """Inputs, baselines and regions keep their bits, version, gradient and requires_grad."""
    problem = case.problem(n=2)
    baseline = torch.full_like(problem.x, 0.3)
    given = {"inputs": problem.x, "baselines": baseline}
    labels = problem.grid.copy()
    before = {k: (v.clone(), v._version, v.requires_grad) for k, v in given.items()}
    case.explain(replace(problem, baseline=baseline))
    for name, tensor in given.items():
        bits, version, needs = before[name]
        case.require(same_bits(tensor, bits), f"{name} were written to")
        case.require(tensor._version == version or case.tags.gradients, f"the version of {name} moved")
        case.require(tensor.requires_grad == needs, f"requires_grad of {name} changed")
        case.require(tensor.grad is None, f"{name} have a gradient")
    case.require(same_bits(problem.grid, labels), "the regions were written to")


@check("non-interference", _sees_modules, WHY)
def check_weights_unchanged(case: Case) -> None:
    """Parameters and buffers of a model in eval mode keep their bits."""
    _model_unchanged(case, case.problem(n=2), "tensors")


@check("non-interference", _sees_modules, WHY)
def check_train_mode_buffers(case: Case) -> None:
    """Buffers of a model in training mode (batch statistics, counters) keep their bits."""
    problem = case.problem(n=2)
    problem.model.train()
    _model_unchanged(case, problem, "tensors")


@check("non-interference", _sees_modules, WHY)
def check_mode_flags(case: Case) -> None:
    """Every module is in the mode it was in, also where modes are mixed."""
    for training in (True, False, None):
        problem = case.problem(n=2)
        problem.model.train(bool(training))
        if training is None:
            problem.model[3].train()
        _model_unchanged(case, problem, "modes")


def _model_unchanged(case: Case, problem: Problem, kinds: str) -> None:
    before = ModelState.of(problem.model)
    case.explain(problem)
    changed = before.changed(ModelState.of(problem.model), kinds)
    case.require(not changed, f"changed: {', '.join(changed)}")


@check("non-interference", on_torch, WHY)
def check_hooks(case: Case) -> None:
    """No hook is left on the model: after success, a wrong target, a model that raises."""
    for name, change in _endings():
        problem = change(case.problem())
        before = ModelState.of(problem.model)
        _swallowed(partial(case.explain, problem), Exception)
        changed = before.changed(ModelState.of(problem.model), "hooks")
        case.require(not changed, f"after {name}: {', '.join(changed)}")


def _endings() -> list[tuple[str, Callable[[Problem], Problem]]]:
    return [
        ("success", lambda p: p),
        ("a wrong target", lambda p: replace(p, target=99)),
        ("an error", lambda p: replace(p, model=fixtures.Spy(p.model, at=2, error=RuntimeError("mine")))),
    ]


def _swallowed(call: Callable[[], Any], kinds: Any) -> BaseException | None:
    try:
        call()
    except kinds as error:
        return error  # type: ignore[no-any-return]
    return None


@check("non-interference", on_torch, WHY)
def check_grad_state(case: Case) -> None:
    """Gradients, requires_grad and torch's modes are as before."""
    problem = case.problem()
    for parameter in problem.model.parameters():
        parameter.grad = torch.ones_like(parameter)
    problem.model[1].weight.requires_grad_(False)
    before, modes = ModelState.of(problem.model), grad_state()
    case.explain(problem)
    changed = before.changed(ModelState.of(problem.model), "needs grads") + differences(modes, grad_state())
    case.require(not changed, f"changed: {', '.join(changed)}")


@check("non-interference")
def check_global_rng(case: Case) -> None:
    """No global generator moves under a seed; without one, torch's moves by one draw per call or example at most."""
    problem = case.problem()
    case.explain(problem)
    if case.tags.seed:
        before = generators()
        case.explain(problem)
        changed = differences(before, generators())
        case.require(not changed, f"under a seed, moved: {', '.join(changed)}")
    torch.manual_seed(5)
    before = generators()
    case.explain(problem, seed=None)
    changed = differences(before, generators())
    after = generators()["torch"]
    torch.manual_seed(5)
    torch.randint(2**63 - 1, (), dtype=torch.int64)
    allowed = {"torch"} if after == generators()["torch"] else set()
    if case.tags.host == "lime":  # random_state=None is NumPy's global generator, as everywhere around scikit-learn
        allowed.add("numpy")
    moved = set(changed) - allowed
    case.require(not moved, f"without a seed, moved by more than one draw: {', '.join(sorted(moved))}")


@check("non-interference")
def check_process_state(case: Case) -> None:
    """Settings of the process (warnings, NumPy's errors, threads, plots, environment, ...) are as before."""
    problem = case.problem()
    with restored():  # the first call imports and compiles
        case.explain(problem)
    before = process()
    case.explain(problem)
    changed = differences(before, process())
    case.require(not changed, f"changed: {', '.join(changed)}")


@check("non-interference")
def check_after_exception(case: Case) -> None:
    """All of that holds too after a model that raises, at its first, second or last call, or is interrupted."""
    count = fixtures.Spy(fixtures.net())
    case.explain(case.problem(count))
    for error in (RuntimeError("mine"), KeyboardInterrupt("mine")):
        for at in sorted({1, 2, len(count.calls)}):
            _after(case, fixtures.Spy(fixtures.net().train(), at=at, error=error), error)


def _after(case: Case, spy: fixtures.Spy, error: BaseException) -> None:
    problem = case.problem(spy)
    x, model, settings, state = problem.x.clone(), ModelState.of(spy), process(), generators()
    raised = _swallowed(lambda: case.explain(problem), BaseException)
    where = f"{type(error).__name__} at call {spy.at}"
    if spy.raised:
        case.require(raised is error or _chained(raised, error), f"{where}: got {raised!r} instead")
    changed = differences(settings, process())
    if case.tags.seed:
        changed += differences(state, generators())
    if case.tags.is_torch:
        changed += model.changed(ModelState.of(spy))
    if not same_bits(problem.x, x) or problem.x.requires_grad or problem.x.grad is not None:
        changed.append("the input or its requires_grad")
    case.require(not changed, f"{where}: changed {', '.join(changed)}")


def _chained(raised: BaseException | None, error: BaseException) -> bool:
    while raised is not None:
        if raised is error:
            return True
        raised = raised.__cause__ or raised.__context__
    return False


@check("non-interference")
def check_no_leak(case: Case) -> None:
    """The model can be collected after the call, and fifty calls keep no tensor alive."""
    gc.freeze()  # only what is made from here on is collected and counted, which takes a tenth of the time
    try:
        _no_leak(case)
    finally:
        gc.unfreeze()


def _no_leak(case: Case) -> None:
    problem = case.problem()
    case.explain(problem)
    reference = weakref.ref(problem.model)
    del problem
    gc.collect()
    case.require(reference() is None, "the model is still alive after the call and a collection")
    problem = case.problem()
    calls = {"fast": 8, "default": 20, "full": 50}[case.profile]
    counts = []
    for i in range(calls):
        case.explain(problem, budget=None)
        if i in (2, calls - 1):
            gc.collect()
            counts.append(sum(issubclass(type(o), torch.Tensor) for o in gc.get_objects()))
    case.measure(counts[-1] - counts[0], 4, f"live tensors after {calls} calls")


@check("non-interference", on_torch, WHY)
def check_later_training(case: Case) -> None:
    """The model can be trained afterwards, also one that caches a tensor in its forward."""
    for model in (fixtures.net(), fixtures.Caching()):
        if case.tags.hooks and isinstance(model, fixtures.Caching):
            continue
        problem = case.problem(model)
        case.explain(problem)
        model.zero_grad()
        try:
            model(problem.x).sum().backward()
        except RuntimeError as error:
            raise CheckFailed(f"backward fails afterwards: {error}") from error
        weights = [p for p in model.parameters() if p.dim()]
        case.require(all(p.grad is not None for p in weights), "parameters have no gradient")
