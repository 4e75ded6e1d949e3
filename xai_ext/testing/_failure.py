"""Budget and failure: what is counted, and what happens when the model misbehaves."""

import re
import warnings
from dataclasses import replace

import torch

from xai_ext.testing import _fixtures as fixtures
from xai_ext.testing._case import Case, NotApplicable, check
from xai_ext.testing._determinism import in_subprocess
from xai_ext.testing.tags import Tags


def _budgeted(tags: Tags) -> bool:
    return tags.budget is not None


def _batched(tags: Tags) -> bool:
    return tags.batch is not None


def declared_rows(tags: Tags, budget: int, players: int) -> int:
    """The most forward rows per example."""
    return budget if tags.budget_rows is None else tags.budget_rows(budget, players)


@check("budget", _budgeted, "has no budget")
def check_budget_rows(case: Case) -> None:
    """The model never sees more rows than declared; a reported number is the counted one."""
    for budget in (3, 4, 5, 17, 19, 64, 100):
        spy = fixtures.Spy(fixtures.net())
        try:
            case.explain(case.problem(spy), budget=budget, batch=4 if case.tags.batch else None)
        except ValueError:
            case.require(budget < 34, f"budget {budget} is refused")  # two rows per player, and the ends
            case.require(spy.rows <= budget, f"budget {budget} is refused after {spy.rows} rows")
            continue
        over = spy.rows - declared_rows(case.tags, budget, 16)
        case.measure(over, 0, f"rows beyond budget {budget}")
    if case.tags.std_error:
        spy = fixtures.Spy(fixtures.net())
        found = case.estimates(case.problem(spy), budget=64, batch=4)[0]
        case.require(found.n_evals == spy.rows, f"n_evals is {found.n_evals}, the model saw {spy.rows} rows")


@check("budget", lambda t: t.std_error and t.draws and t.host != "lime", "has no tolerance")
def check_tol_stops(case: Case) -> None:
    """A tolerance stops a run that is precise enough before its budget is spent."""
    model = fixtures.Affine(fixtures.Linear(dtype=torch.float64), 1.0, 1e-3, fixtures.net(dtype=torch.float64))
    rows = []
    for tol in (None, 1e9):
        spy = fixtures.Spy(model)
        case.explain(case.problem(spy, dtype=torch.float64), budget=2000, tol=tol)
        rows.append(spy.rows)
    case.require(rows[1] < rows[0], f"{rows[1]} rows with a tolerance that always holds, {rows[0]} without")


@check("budget", _batched, "has no inner batch")
def check_batch_rows(case: Case) -> None:
    """No call gets more rows than the inner batch, times the examples of the call."""
    for n, batch in ((1, 1), (1, 4), (2, 3)):
        spy = fixtures.Spy(fixtures.net())
        case.explain(case.problem(spy, n=n), batch=batch)
        case.measure(max(spy.calls) - batch * n, 0, f"rows of a call beyond inner batch {batch} of {n} examples")


_MEMORY = """
import sys, pickle, resource, torch
import numpy as np
torch.set_num_threads(1)
from dataclasses import replace
from xai_ext.testing._case import Case
from xai_ext.testing import _fixtures as fixtures
class Free(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.unit = torch.nn.Parameter(torch.ones(()))
    def forward(self, x):
        return torch.stack([x[:, 0, 100 + i, 100] for i in range(5)], 1)
def peak():
    try:  # a child's ru_maxrss begins at that of its parent, which would hide what it keeps
        with open("/proc/self/status") as status:
            return next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
case = Case(pickle.load(sys.stdin.buffer))
block = np.arange(224) // 56
problem = replace(case.problem(Free()), x=fixtures.images(1, 1, (224, 224)), labels=block[:, None] * 4 + block)
for budget in (100, {small}, {large}):
    case.explain(problem, budget=budget, batch=8)
    print(1024 * peak())
"""


@check("budget", lambda t: t.budget is not None and t.batch is not None, "has no budget and batch", full_only=True)
def check_memory_bound(case: Case) -> None:
    """Memory does not grow with the budget: 3,500 more evaluations cost less than a tenth of their masks."""
    if case.tags.budget_rows is not None:
        raise NotApplicable("its budget counts something else")
    printed = in_subprocess(case, _MEMORY.format(small=500, large=4000), OMP_NUM_THREADS="1").decode().split()
    growth = int(printed[-1]) - int(printed[-2])
    case.measure(growth / (3500 * 224**2), 0.1, "growth of the resident memory per mask of one byte per pixel")


@check("failure", _batched, "has no inner batch")
def check_oom_halves(case: Case) -> None:
    """Out of memory, the batch is halved with one warning; where nothing fits, the error says so."""
    model = fixtures.Rows(fixtures.net(dtype=torch.float64))
    problem = case.problem(model, dtype=torch.float64)
    expected = case.explain(problem, batch=4).players
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        got = case.explain(replace(problem, model=fixtures.Spy(model, limit=4)), batch=16).players
    case.close(got, expected, 1e-9, "after out of memory")
    about = [w for w in caught if "memory" in str(w.message)]
    case.require(len(about) == 1, f"{len(about)} warnings of memory, expected one")
    nothing = replace(problem, model=fixtures.Spy(model, limit=0))
    error = case.raises(lambda: case.explain(nothing, batch=4), Exception, "no row fits into memory")
    text = str(error)
    case.require(
        "memory" in text and re.search(r"batch|row", text), f"the error does not name memory and batch: {text}"
    )


@check("failure")
def check_nonfinite_output(case: Case) -> None:
    """A score that is NaN or infinite is a ValueError that names the evaluation; never a map."""
    spy = fixtures.Spy(fixtures.net())
    case.explain(case.problem(spy), batch=4 if case.tags.batch else None)
    for value in (float("nan"), float("inf"), float("-inf")):
        for at in sorted({0, spy.rows // 2, spy.rows - 1}):
            _nonfinite(case, value, at)


def _nonfinite(case: Case, value: float, at: int) -> None:
    model = fixtures.Spy(fixtures.net(), at=at, value=value)
    what = f"{value} at evaluation {at}"
    error = case.raises(
        lambda: case.explain(case.problem(model), batch=4 if case.tags.batch else None), ValueError, what
    )
    numbers = set(re.findall(r"\d+", str(error)))
    case.require(re.search("nan|inf", str(error), re.I), f"{what}: the error does not say what was returned: {error}")
    case.require(numbers & {str(at), str(at + 1)}, f"{what}: the error does not name the evaluation: {error}")


class _MineError(Exception):
    """Of the user's model."""


@check("failure")
def check_model_error(case: Case) -> None:
    """An exception of the model arrives with its type and message; no partial result is returned."""
    for at in (1, 2):
        error = _MineError("mine")
        spy = fixtures.Spy(fixtures.net(), at=at, error=error)
        try:
            case.explain(case.problem(spy))
        except _MineError as raised:
            case.require(raised is error or raised.args == error.args, f"at call {at}: {raised!r}")
        except Exception as other:
            case.require(False, f"at call {at}: the model's exception became {other!r}")
        else:
            case.require(not spy.raised, f"at call {at}: the exception was swallowed")


@check("failure")
def check_cancel(case: Case) -> None:
    """An interrupt stops at once: it is not swallowed, and the model is not called again."""
    spy = fixtures.Spy(fixtures.net(), at=3, error=KeyboardInterrupt())
    swallowed = True
    try:
        case.explain(case.problem(spy))
    except KeyboardInterrupt:
        swallowed = False
    case.require(not (swallowed and spy.raised), "KeyboardInterrupt was swallowed")
    case.measure(max(spy.raised - 1, 0), 0, "calls after the interrupt")
