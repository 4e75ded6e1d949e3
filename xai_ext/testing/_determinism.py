"""Determinism: the same call gives the same result, in whatever company."""

import os
import pickle
import subprocess
import sys
from dataclasses import replace

import numpy as np
import torch

from xai_ext.testing import _fixtures as fixtures
from xai_ext.testing._case import Case, NotApplicable, check
from xai_ext.testing._state import seed_globally
from xai_ext.testing.tags import Tags


def _batched(tags: Tags) -> bool:
    return tags.batch is not None


@check("determinism")
def check_same_seed(case: Case) -> None:
    """Two calls with one seed give the same bits."""
    problem = case.problem(n=2)
    case.same(case.explain(problem).raw, case.explain(problem).raw, "a second call")


@check("determinism")
def check_other_seed(case: Case) -> None:
    """Another seed gives another result if the method draws, and only then."""
    problem = case.problem(fixtures.net(dtype=torch.float64), dtype=torch.float64)
    budget = None if case.tags.budget is None else min(case.tags.typical, 40)
    first = case.explain(problem, seed=1, budget=budget).players
    differs = any((case.explain(problem, seed=s, budget=budget).players != first).any() for s in (2, 3, 4))
    case.require(differs == case.tags.draws, f"draws={case.tags.draws}, but results of other seeds differ: {differs}")


@check("determinism", lambda t: t.seed is not None, "cannot be seeded")
def check_seed_isolated(case: Case) -> None:
    """Under a seed, the global generators have no influence."""
    problem = case.problem()
    results = []
    for state in (1, 2):
        seed_globally(state)
        results.append(case.explain(problem).raw)
    case.same(results[0], results[1], "with other global seeds")


@check("determinism", _batched, "has no inner batch")
def check_chunks(case: Case) -> None:
    """The inner batch changes nothing: the same bits where the model's scores do not depend on it."""
    problem = case.exact_problem()
    expected = case.explain(problem, batch=1).players
    sizes = (3, 8, 1000) if case.tags.host in ("lime",) or case.tags.columns else (3, 8, 1000, None)
    for batch in sizes:
        case.same(case.explain(problem, batch=batch).players, expected, f"inner batch {batch}")
    loose = case.problem()
    expected = case.explain(loose, batch=1).players
    for batch in sizes:
        case.close(case.explain(loose, batch=batch).players, expected, 1e-5, f"inner batch {batch} of a convolution")


@check("determinism")
def check_rows_alone(case: Case) -> None:
    """An example alone gives what it gives in a batch, in any order."""
    problem = case.exact_problem(n=3)
    expected = case.explain(problem).players
    order = [2, 0, 1]
    seeded = case.tags.seed is not None or not case.tags.draws
    if seeded:
        permuted = case.explain(replace(problem, x=problem.x[order])).players
        case.close(permuted, expected[order], 1e-10, "a permuted batch")
    for i in range(3 if seeded else 1):
        alone = case.explain(problem.example(i)).players
        case.close(alone[0], expected[i], 1e-10, f"example {i} alone")


@check("determinism")
def check_history(case: Case) -> None:
    """Earlier calls leave no trace, failed ones neither."""
    problem = case.problem()
    expected = case.explain(problem).raw
    for seed in (7, 8):
        case.explain(replace(problem, x=fixtures.images(1, seed=seed)), seed=seed)
    try:
        case.explain(replace(problem, model=fixtures.Spy(problem.model, at=2, error=RuntimeError("mine"))))
    except RuntimeError:
        pass
    case.same(case.explain(problem).raw, expected, "after other calls")


_SCRIPT = """
import sys, pickle, torch
torch.set_num_threads({threads})
from xai_ext.testing._case import Case
case = Case(pickle.load(sys.stdin.buffer))
players = case.explain(case.exact_problem()).players
sys.stdout.buffer.write(players.astype("<f8").tobytes())
"""


@check("determinism", full_only=True)
def check_processes(case: Case) -> None:
    """Other processes, with other hash seeds and one or two threads, give the same."""
    expected = case.explain(case.exact_problem()).players  # the automatic batch may be another one there
    for threads, hash_seed, tolerance in ((1, "1", 0.0), (1, "2", 0.0), (2, "3", 1e-5)):
        players = np.frombuffer(_elsewhere(case, threads, hash_seed), "<f8").reshape(expected.shape)
        case.close(players, expected, tolerance, f"another process with {threads} threads")


def _elsewhere(case: Case, threads: int, hash_seed: str) -> bytes:
    return in_subprocess(case, _SCRIPT.format(threads=threads), PYTHONHASHSEED=hash_seed)


def in_subprocess(case: Case, script: str, **environment: str) -> bytes:
    """What a script prints that reads the pickled method from its standard input."""
    try:
        pickled = pickle.dumps(case.subject)
    except Exception as error:
        raise NotApplicable(f"cannot be sent to another process: {error}") from error
    path = os.pathsep.join(p for p in sys.path if p)
    run = subprocess.run(
        [sys.executable, "-c", script], input=pickled, capture_output=True, timeout=500, check=False,
        env={**os.environ, "PYTHONPATH": path, **environment},
    )  # fmt: skip
    case.require(run.returncode == 0, f"the other process failed: {run.stderr.decode()[-300:]}")
    return run.stdout
