"""Correctness of what samples: convergence, and standard errors that mean what they say."""

import warnings

import numpy as np

from xai_ext._types import FloatArray
from xai_ext.testing import _fixtures as fixtures
from xai_ext.testing._case import Case, check
from xai_ext.testing._correctness import game_problem, has_oracle, oracle_of
from xai_ext.testing.tags import Tags


def _samples(tags: Tags) -> bool:
    return tags.draws and tags.budget is not None and tags.budget_rows is None


@check("correctness", lambda t: _samples(t) and has_oracle(t) and not t.gradients, "does not sample towards an oracle")
def check_converges(case: Case) -> None:
    """The error falls with the budget, at least nearly as fast as one over its square root."""
    table = np.random.default_rng(case.base_seed).normal(size=2**10)
    problem, expected = game_problem(table, 10), oracle_of(case, table, 10)
    budgets = np.array([32, 64, 128, 256, 512])
    errors = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for budget in budgets:
            runs = [
                case.explain(problem, seed=s + 1000 * case.base_seed, budget=int(budget), batch=case.together)
                for s in range(case.repeats(64))
            ]
            errors.append(max(float(np.sqrt(np.mean([(r.players[0] - expected) ** 2 for r in runs]))), 1e-12))
    if errors[-1] <= 1e-9:
        case.measure(-9.0, -0.35, "slope of the error")
        return
    case.measure(float(np.polyfit(np.log(budgets), np.log(errors), 1)[0]), -0.35, "slope of log error in log budget")


@check("correctness", lambda t: t.std_error and t.draws and t.budget is not None, "has no standard errors")
def check_std_error(case: Case) -> None:
    """Standard errors are as large as the scatter, and 1.96 of them cover the truth."""
    n, budget = (6, 256) if case.tags.estimand == "shapley" else (8, 250)  # too few to enumerate all coalitions
    rng, inside, ratios, total = np.random.default_rng(case.base_seed), 0, [], 0
    for name, table in fixtures.games(n, rng).items():
        if name == "and":
            continue
        values, errors = _runs(case, table, n, budget)
        scatter, claimed = values.std(0, ddof=1), np.sqrt((errors**2).mean(0))
        varies = scatter > 1e-9
        if not varies.any():
            continue
        ratios.append(float(np.sqrt((claimed[varies] ** 2).mean() / (scatter[varies] ** 2).mean())))
        centre = oracle_of(case, table, n) if case.tags.estimand == "shapley" else values.mean(0)
        inside += int((np.abs(values - centre) <= 1.96 * errors + 1e-9)[:, varies].sum())
        total += values[:, varies].size
    if not total:
        return
    case.notes["ratios"] = ratios
    case.require(all(0.7 <= r <= 1.4 for r in ratios), f"standard error over scatter per game: {np.round(ratios, 2)}")
    case.measure(1 - inside / total, 0.12, "share of intervals that miss")


def _runs(case: Case, table: FloatArray, n: int, budget: int) -> tuple[FloatArray, FloatArray]:
    problem, values, errors = game_problem(table, n), [], []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for seed in range(case.repeats(200)):
            found = case.estimates(problem, seed=seed + 1000 * case.base_seed, budget=budget, batch=case.together)[0]
            values.append(np.ravel(found.values))
            errors.append(np.ravel(found.std_error))
    return np.array(values), np.array(errors)
