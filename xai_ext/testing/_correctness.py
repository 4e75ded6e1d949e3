"""Correctness: values against closed forms and enumeration."""

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from xai_ext._types import FloatArray
from xai_ext.testing import _fixtures as fixtures
from xai_ext.testing import oracles
from xai_ext.testing._adapters import Problem
from xai_ext.testing._case import Case, check
from xai_ext.testing.tags import Tags

EXACT = ("shapley", "owen")


def _double(case: Case, model: nn.Module | None = None, **changes: Any) -> Problem:
    found = fixtures.net(dtype=torch.float64) if model is None else model
    return case.problem(found, dtype=torch.float64, **changes)


def game_problem(table: FloatArray, n: int) -> Problem:
    """A table as a problem; the value of a coalition is exact."""
    x, labels = fixtures.game_input(n)
    return Problem(fixtures.GameModel(table), x, labels, 0.0, None)


def ample(tags: Tags, n: int) -> int:
    """A budget that suffices to enumerate n players in any tree; the usual one where it counts something else."""
    return tags.typical if tags.budget_rows is not None else 2 ** (n + 2) + 2


def oracle_of(case: Case, table: FloatArray, n: int) -> FloatArray:
    """What the method should return in the limit."""
    value = oracles.value_of(table)
    if case.tags.estimand == "shapley":
        return oracles.shapley_by_subsets(value, n)
    if case.tags.estimand == "owen":
        problem = game_problem(table, n)
        image = problem.x[0].movedim(0, -1).numpy()
        return oracles.owen(value, case.tags.tree(image, problem.grid))  # type: ignore[misc]
    return oracles.cosine_surrogate(table, n)


def has_oracle(tags: Tags) -> bool:
    """Is there a definition that enumeration can compute?"""
    return (
        tags.estimand == "shapley"
        or (tags.estimand == "owen" and tags.tree is not None)
        or (tags.estimand == "surrogate" and tags.kernel == "cosine")
    )


@check("correctness", lambda t: t.additive_exact, "does not claim to be exact on additive models")
def check_linear_closed_form(case: Case) -> None:
    """On a linear model each player gets w (x - b)."""
    for dtype, tolerance in ((torch.float32, 1e-6), (torch.float64, 1e-10)):
        problem = case.problem(fixtures.Linear(dtype=dtype), n=2, dtype=dtype)
        weights = problem.model.weight[case.target].detach().double().numpy().reshape(3, 8, 8)
        x, base = problem.x.double().numpy(), float(torch.tensor(0.3, dtype=dtype))
        expected = np.stack([oracles.linear(weights, row, np.full_like(row, base), problem.grid) for row in x])
        case.close(case.explain(problem).players, expected, tolerance * 10, f"{dtype} linear model")


@check("correctness", lambda t: t.complete is not None, "does not claim to be complete")
def check_completeness(case: Case) -> None:
    """Values sum to f(x) - f(baseline), at every budget where that is claimed."""
    n = 16
    budgets: list[int | None] = [None]
    if case.tags.budget is not None:
        budgets = [3, 4, 7, 18, 33, 100, None] if case.tags.complete == "always" else [ample(case.tags, n)]
    for dtype, tolerance in ((torch.float32, 1e-5), (torch.float64, 1e-10)):
        problem = case.problem(fixtures.net(dtype=dtype), dtype=dtype)
        with torch.no_grad():
            full = float(problem.model(problem.x)[0, 2])
            base = float(problem.model(torch.full_like(problem.x, 0.3))[0, 2])
        for budget in budgets:
            try:
                players = case.explain(problem, budget=budget).players
            except ValueError:
                case.require(budget is not None and budget < 2 * n + 2, f"budget {budget} is refused")
                continue
            gap = abs(players.sum() - (full - base)) / (abs(full) + abs(base))
            case.measure(gap, tolerance, f"sum of the values at budget {budget}, {dtype}")


@check("correctness", lambda t: t.estimand in EXACT and has_oracle(t) and not t.gradients, "no enumerable oracle")
def check_enumeration(case: Case) -> None:
    """With an ample budget the values are those of the definition, computed by enumeration."""
    rng = np.random.default_rng(case.base_seed)
    for n in (3, 6) if case.tags.draws else (2, 3, 5, 6):
        for name, table in fixtures.games(n, rng).items():
            expected = oracle_of(case, table, n)
            if not case.tags.draws:
                got = _players(case, game_problem(table, n), budget=ample(case.tags, n))
                case.measure(float(np.abs(got - expected).max()), 1e-9, f"game {name} of {n}")
            elif name == "random":
                _mean_is(case, game_problem(table, n), expected, f"game {name} of {n}")


def _players(case: Case, problem: Problem, **settings: Any) -> FloatArray:
    """Of one run of several, whose rows are evaluated together."""
    return np.asarray(case.explain(problem, batch=case.together, **settings).players[0])


def _mean_is(case: Case, problem: Problem, expected: FloatArray, what: str, runs: int = 24) -> None:
    """The mean of runs lies within five of its standard errors: 1 in 10^4 to fail, over all players and games."""
    budget = None if case.tags.budget_rows is not None else 150
    draws = np.stack([_players(case, problem, seed=s + 100 * case.base_seed, budget=budget) for s in range(runs)])
    error = draws.std(0, ddof=1) / np.sqrt(runs) + 1e-9
    case.measure(
        float((np.abs(draws.mean(0) - expected) / error).max()), 6.0, f"{what}, in standard errors of the mean"
    )


@check("correctness", lambda t: t.dummy, "does not claim that a player without influence gets 0")
def check_null_player(case: Case) -> None:
    """A player that the model does not read gets 0."""
    players = case.explain(_double(case, fixtures.Blocks(fixtures.ignoring_four, torch.float64))).players[0]
    case.measure(float(np.abs(players[12:]).max() / np.abs(players).max()), 1e-9, "players that are not read")


@check("correctness", lambda t: t.symmetric, "does not claim that equal players get equal values")
def check_twins(case: Case) -> None:
    """Two players with the same part get the same value."""
    problem = _double(case, fixtures.Blocks(fixtures.with_twins, torch.float64))
    x = problem.x.clone()
    x[:, :, 4:6, 2:4] = x[:, :, 2:4, 0:2]
    players = case.explain(replace(problem, x=x)).players[0]
    if not case.tags.draws:
        case.measure(abs(players[4] - players[9]) / np.abs(players).max(), 1e-9, "difference of equal players")
        return
    runs = [_players(case, replace(problem, x=x), seed=s) for s in range(24)]
    gaps = np.array([r[4] - r[9] for r in runs])
    error = gaps.std(ddof=1) / np.sqrt(len(gaps)) + 1e-12
    case.measure(abs(gaps.mean()) / error, 5.0, "difference of equal players, in standard errors of the mean")


@check("correctness", lambda t: t.linear, "does not claim to be linear in the model")
def check_linear_in_model(case: Case) -> None:
    """The explanation of f - 2 g is that of f minus twice that of g, under one seed."""
    f, g = fixtures.net(dtype=torch.float64), fixtures.net(seed=1, dtype=torch.float64)
    both = fixtures.Affine(f, 1.0, -2.0, g)
    got, a, b = (case.explain(_double(case, m)).players for m in (both, f, g))
    case.close(got, a - 2 * b, 1e-5, "f - 2 g")


@check("correctness", lambda t: t.affine, "does not claim to scale with the model")
def check_affine_output(case: Case) -> None:
    """The explanation of 3 f + 7 is three times that of f."""
    f = fixtures.net(dtype=torch.float64)
    got, expected = (case.explain(_double(case, m)).players for m in (fixtures.Affine(f, 3.0, 7.0), f))
    case.close(got, 3 * expected, 1e-5, "3 f + 7")


def _needs_no_slope(tags: Tags) -> bool:
    return tags.estimand == "path" if tags.gradients else True


@check("correctness", lambda t: _needs_no_slope(t) and t.host != "function", "has no baseline, or is a gradient")
def check_zero_at_baseline(case: Case) -> None:
    """An input that equals its baseline is explained by zeros."""
    problem = _double(case)
    players = _quietly(case, replace(problem, baseline=problem.x.clone()))
    case.measure(float(np.abs(players).max()), 1e-9, "values at the baseline")


@check("correctness", _needs_no_slope, "is a gradient, not a difference")
def check_constant_model(case: Case) -> None:
    """A model that reads nothing is explained by zeros."""
    players = _quietly(case, _double(case, fixtures.Blocks(fixtures.constant, torch.float64)))
    case.measure(float(np.abs(players).max()), 1e-9, "values of a constant")


def _quietly(case: Case, problem: Problem) -> FloatArray:
    import warnings

    with warnings.catch_warnings():  # of all-zero maps, which is right
        warnings.simplefilter("ignore")
        return case.explain(problem).players


@check("correctness", lambda t: t.multi_output and t.linear, "does not claim to be linear in the model")
def check_class_swap(case: Case) -> None:
    """Swapping the two outputs of a two-class difference flips the sign."""

    class Difference(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = fixtures.net(dtype=torch.float64)

        def forward(self, x: Tensor) -> Tensor:
            scores = self.net(x)
            gap = scores[:, 0] - scores[:, 1]
            return torch.stack([gap, -gap], 1)

    model = Difference().eval()
    one, two = (case.explain(_double(case, model, target=t)).players for t in (0, 1))
    case.close(one, -two, 1e-6, "the other class")


@check("correctness", lambda t: t.feature_mask and not t.draws, "has no regions, or draws")
def check_relabel(case: Case) -> None:
    """Renumbering the players renumbers their values and changes nothing else."""
    problem = _double(case)
    if case.tags.estimand == "owen":
        return  # ties between merges may be broken by number; enumeration pins the values
    order = np.random.default_rng(0).permutation(16)
    renumbered = case.explain(replace(problem, labels=order[problem.grid])).players
    case.close(renumbered[:, order], case.explain(problem).players, 1e-6, "renumbered players")


def _has_sides(tags: Tags) -> bool:
    return tags.estimand != "owen" and not tags.columns and tags.map != "layer"


@check("correctness", _has_sides, "depends on the order of pixels by a tree, or has columns instead of pixels")
def check_flip(case: Case) -> None:
    """A mirrored image under a mirrored model, with mirrored regions, has the mirrored map."""
    problem = _double(case)
    mirrored = replace(
        problem, model=fixtures.Flipped(problem.model), x=problem.x.flip(-1), labels=problem.grid[:, ::-1].copy()
    )
    if not case.tags.draws:
        case.close(case.explain(mirrored).players, case.explain(problem).players, 1e-5, "the mirrored problem")
        return
    runs = case.repeats(24)
    one, two = (
        np.stack([_players(case, p, seed=first + s) for s in range(runs)])
        for p, first in ((problem, 0), (mirrored, 1000))
    )
    error = np.sqrt((one.var(0, ddof=1) + two.var(0, ddof=1)) / runs) + 1e-9 * np.abs(one).max() + 1e-300
    case.measure(float((np.abs(one.mean(0) - two.mean(0)) / error).max()), 7.0, "in standard errors of the difference")


@check("correctness", lambda t: t.map != "layer", "gives a map of a layer")
def check_planted(case: Case) -> None:
    """Where only a 2x2 patch is read, the maximum lies in it; with the null-player claim nearly all of the mass."""
    problem = _double(case, fixtures.Blocks(fixtures.of_patch, torch.float64))
    players = np.abs(case.explain(replace(problem, x=problem.x.abs() + 1)).players[0])
    if players.size != 16:
        return
    case.require(players.argmax() == 6, f"the largest value is that of player {players.argmax()}, planted is 6")
    if case.tags.dummy:
        case.measure(float(1 - players[6] / players.sum()), 0.1, "share of the mass outside the patch")


@check("correctness")
def check_model_matters(case: Case) -> None:
    """A model with other weights is explained otherwise."""
    from scipy.stats import spearmanr

    correlations = []
    for pair in range(8):
        x = fixtures.images(1, seed=pair + 10).double()
        maps = [
            np.abs(_players(case, _double(case, fixtures.net(seed=s, dtype=torch.float64), x=x))).ravel()
            for s in (2 * pair, 2 * pair + 1)
        ]
        correlations.append(0.0 if any(np.ptp(m) == 0 for m in maps) else float(spearmanr(*maps).statistic))
    flat = all(c == 0.0 for c in correlations)
    case.require(not flat, "the maps are constant whatever the model is")
    case.measure(float(np.mean(correlations)), 0.5, "rank correlation between explanations of unrelated models")
