"""Life: threads, copies, other hosts, pictures."""

import copy
import json
import pickle
import sys
import threading
from dataclasses import replace
from importlib import import_module
from typing import Any

import numpy as np
import torch
from torch import Tensor

from xai_ext.testing import _fixtures as fixtures
from xai_ext.testing._adapters import Outcome, Problem
from xai_ext.testing._case import Case, NotApplicable, check
from xai_ext.testing._state import ModelState
from xai_ext.testing.tags import Tags


@check("life")
def check_threads(case: Case) -> None:
    """Four threads on one model get what one gets, and leave no hook."""
    model = fixtures.net(dtype=torch.float64)
    calls = 12 if case.profile != "fast" else 4
    problems = [case.problem(model, dtype=torch.float64, x=fixtures.images(1, seed=i).double()) for i in range(4)]
    serial = [case.explain(p, seed=i).players for i, p in enumerate(problems)]
    if case.tags.seed is None and case.tags.draws:
        raise NotApplicable("cannot be seeded: threads share the global generators")
    before = ModelState.of(model)
    found: dict[tuple[int, int], Any] = {}
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        _run_threads(case, problems, calls, found)
    finally:
        sys.setswitchinterval(interval)
    errors = [e for e in found.values() if isinstance(e, BaseException)]
    case.require(not errors, f"{len(errors)} of {len(found)} calls raised, the first {errors[:1]}")
    for (i, _), players in found.items():
        case.close(players, serial[i], 1e-6, "a thread")
    changed = before.changed(ModelState.of(model))
    case.require(not changed, f"changed: {', '.join(changed)}")


def _run_threads(case: Case, problems: list[Problem], calls: int, found: dict[tuple[int, int], Any]) -> None:
    def work(i: int) -> None:
        torch.set_num_threads(1)
        for j in range(calls):
            try:
                found[i, j] = case.explain(problems[i], seed=i).players
            except Exception as error:
                found[i, j] = error

    threads = [threading.Thread(target=work, args=(i,)) for i in range(len(problems))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _objects(tags: Tags) -> bool:
    return tags.host == "captum"


@check("life", _objects, "is not an object that keeps its model")
def check_copies(case: Case) -> None:
    """A deep copy and a pickle give the same; a copy with another forward_func calls that one."""
    problem = case.problem()
    expected = case.explain(problem).raw
    for name, duplicate in (("deepcopy", copy.deepcopy), ("pickle", lambda m: pickle.loads(pickle.dumps(m)))):
        got = _with(case, lambda f, d=duplicate: d(case.subject.built(f)), problem)
        case.same(got.raw, expected, name)
    other = fixtures.net(seed=1)

    def redirected(forward: Any) -> Any:
        method = copy.copy(case.subject.built(forward))
        method.forward_func = other
        return method

    if not case.tags.gradients:
        got = _with(case, redirected, problem)
        case.same(got.raw, case.explain(replace(problem, model=other)).raw, "a copy with another forward_func")


def _with(case: Case, make: Any, problem: Problem) -> Outcome:
    subject = copy.copy(case.subject)
    subject.make = make
    return replace(case, subject=subject).explain(problem)


@check("life", lambda t: t.counterpart is not None, "has no counterpart in another host")
def check_hosts_agree(case: Case) -> None:
    """The same method gives the same values through both hosts."""
    from xai_ext.testing.battery import subject_of

    module, _, name = str(case.tags.counterpart).partition(":")
    other = subject_of(getattr(import_module(module), name))
    problem = case.problem(fixtures.net(dtype=torch.float64), dtype=torch.float64)
    if case.tags.map == "position" or other.tags.map == "position":
        problem = replace(problem, labels=None)
        mine, theirs = (np.asarray(case_of.explain(problem).raw) for case_of in (case, replace(case, subject=other)))
        mine, theirs = (_positions(a) for a in (mine, theirs))
    else:
        mine, theirs = (case_of.explain(problem).players for case_of in (case, replace(case, subject=other)))
    case.close(mine, theirs, 1e-6, f"through {case.tags.counterpart}")


def _positions(values: Any) -> Any:
    """(H, W) of (1, C, H, W) with equal channels, or of (1, H, W, 1[, 1])."""
    return values[0, 0] if values.ndim == 4 and values.shape[-1] == 8 else values.reshape(8, 8)


@check("life")
def check_renders(case: Case) -> None:
    """The result can be drawn without a screen, printed, and written to JSON and back."""
    outcome = case.explain(case.problem())
    numbers = outcome.players.tolist()
    case.require(json.loads(json.dumps(numbers)) == numbers, "JSON does not give the values back")
    case.require(isinstance(repr(outcome.raw), str), "no repr")
    raw = outcome.raw.detach().numpy() if isinstance(outcome.raw, Tensor) else np.asarray(outcome.raw)
    import matplotlib as mpl
    from matplotlib.figure import Figure

    case.require(mpl.get_backend() is not None, "no backend")
    axes = Figure().subplots()
    axes.imshow(np.atleast_2d(np.squeeze(raw[0]).reshape(-1, raw.shape[-1])))
    axes.figure.canvas.draw()


@check("contract")
def check_tags(case: Case) -> None:
    """What the method declares about itself agrees with what it does."""
    tags = case.tags
    if tags.seed is not None and tags.host != "captum":
        case.explain(case.problem(), seed=3)
    case.explain(case.problem())
    problem = case.problem(dtype=torch.float64, model=fixtures.net(dtype=torch.float64))
    if not tags.draws:
        budget = None if tags.budget is None else min(tags.typical, 40)
        one, two = (case.explain(problem, seed=s, budget=budget).players for s in (1, 2))
        case.require((one == two).all(), "draws=False, but two seeds give different values")
    if tags.complete == "always":
        _complete(case, problem)
    if tags.batch is not None:
        spy = fixtures.Spy(fixtures.net())
        case.explain(case.problem(spy), batch=1)
        single = max(spy.calls)
        spy.calls.clear()
        case.explain(case.problem(spy), batch=8)
        case.require(max(spy.calls) > single, f"batch={tags.batch!r} has no influence on calls of {single} rows")
    if tags.budget is not None:
        _budget_counts(case)
    if tags.seed is not None and tags.draws:
        one, two = (case.explain(problem, seed=4).players for _ in range(2))
        case.require((one == two).all(), f"seed={tags.seed!r} does not reproduce")


def _complete(case: Case, problem: Problem) -> None:
    with torch.no_grad():
        ends = [float(problem.model(x)[0, 2]) for x in (problem.x, torch.full_like(problem.x, 0.3))]
    gap = abs(case.explain(problem).players.sum() - (ends[0] - ends[1]))
    case.require(gap <= 1e-6 * sum(map(abs, ends)), f"complete='always', but the sum is off by {gap:.3g}")


def _budget_counts(case: Case) -> None:
    rows = []
    for budget in (20, 100):
        spy = fixtures.Spy(fixtures.net())
        case.explain(case.problem(spy), budget=budget)
        rows.append(spy.rows)
    grows = rows[1] > rows[0] if case.tags.draws else rows[1] >= rows[0]  # what is enumerated may be finished at 20
    case.require(grows, f"budget={case.tags.budget!r}: {rows[1]} rows for 100, {rows[0]} for 20")
