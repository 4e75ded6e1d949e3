"""Owen values: Shapley values of players that join and leave by the branches of a tree."""

from typing import Any

import numpy as np

from xai_ext._checks import InputError, InputTypeError, check_at_least, check_choice, check_positive
from xai_ext._progress import progress
from xai_ext.explanation import Explanation
from xai_ext.game import Game
from xai_ext.hierarchies.hierarchy import Hierarchy
from xai_ext.methods._best_first import BestFirst
from xai_ext.methods._designed import Designed
from xai_ext.methods._exact import Exact
from xai_ext.methods._owen_task import Estimator, Solution, Task
from xai_ext.methods._report import extended

_BEST_FIRST = BestFirst()
ESTIMATORS: dict[str, type[BestFirst] | type[Designed] | type[Exact]] = {
    "best_first": BestFirst,
    "designed": Designed,
    "exact": Exact,
}


def owen(
    game: Game,
    hierarchy: Hierarchy,
    *,
    budget: int = 1000,
    estimator: str | Estimator = _BEST_FIRST,
    tol: float | None = None,
    rng: np.random.Generator | int | None = None,
    show_progress: bool = False,
) -> Explanation:
    """Owen values of the players under a binary tree, refined from the root as the budget allows.

    The value of a player is its mean marginal contribution over the 2^(n-1) orders of the players that come from
    flipping the children of each node of the tree. A region that the budget does not split shares its value among
    its players by area, so that values sum to f(x) - f(baseline) at every budget.

    Parameters
    ----------
    game : Game
    hierarchy : Hierarchy
        Over the game's players.
    budget : int
        Model evaluations, f(x) and f(baseline) included; splits take two each, so that an odd budget leaves one.
    estimator : {"best_first", "designed", "exact"} or estimator
        `BestFirst`, `Designed` (few contexts per node, standard errors) or `Exact`.
    tol : float, optional
        Stop early: `BestFirst` once the diagnostic ``leftover``, `Designed` once the largest standard error of a
        region relative to ``abs(f(x) - f(baseline))``, is at most this for every output.
    rng : numpy Generator or int, optional
        Not used: all three estimators are deterministic.
    show_progress : bool
        A tqdm bar of evaluations.

    Returns
    -------
    Explanation
        ``std_error`` is 0 for `BestFirst` and `Exact`, which sample nothing. Diagnostics: ``leftover``
        (n_outputs,), the share of f(x) - f(baseline) in regions that could still be split, an indicator of the
        error and not a bound; ``leftover_map`` (n, n_outputs), the same mass where it lies; ``converged``, True
        when every value is exact; ``n_regions``, ``max_depth``, ``evals_by_depth``; ``exact_cost``, the
        evaluations that exactness takes; ``nodes``, (ids, values) of the nodes visited; ``structure``, the tree.

    Notes
    -----
    ``converged`` asks that no region of several players is left whole. A leftover of 0 alone does not make the
    values exact: effects of two halves of a region may cancel.

    References
    ----------
    .. [1] Owen, "Values of games with a priori unions", in: Mathematical Economics and Game Theory (1977).
    .. [2] Winter, "A value for cooperative games with levels structure of cooperation", IJGT 18 (1989).
    .. [3] Rashid, Amparore et al., "ShapBPT", AAAI 2026.
    """
    del rng
    check_at_least("budget", budget, 2, "f(x) and f(baseline)")
    _check_tree(hierarchy, game.n_players)
    if tol is not None:
        check_positive("tol", tol)
    estimator = named_estimator(estimator)
    with progress(game.masked_model, "Owen", budget, enabled=show_progress):
        task = Task(game, hierarchy, budget, tol)
        solution = estimator.solve(task)
    return _explanation(task, solution)


def named_estimator(estimator: str | Estimator) -> Estimator:
    """The estimator of that name with its default settings, or the given one."""
    if isinstance(estimator, str):
        return ESTIMATORS[check_choice("estimator", estimator, ESTIMATORS)]()
    if isinstance(estimator, type) or not isinstance(estimator, Estimator):
        given = f"the class {estimator.__name__}" if isinstance(estimator, type) else type(estimator).__name__
        raise InputTypeError(
            f"estimator must be one of {', '.join(map(repr, ESTIMATORS))} or an instance such as BestFirst(), "
            f"got {given}"
        )
    return estimator


def _check_tree(hierarchy: Any, n_players: int) -> None:
    if not isinstance(hierarchy, Hierarchy):
        raise InputTypeError(
            f"hierarchy must be a Hierarchy, got {type(hierarchy).__name__}; fix: Hierarchy.from_merges(linkage)"
        )
    if hierarchy.n_players != n_players:
        raise InputError(
            f"hierarchy must be over the game's {n_players} players, got a tree of {hierarchy.n_players}; "
            "fix: build it from the labels of the game"
        )


def _explanation(task: Task, solution: Solution) -> Explanation:
    tree, shape = task.hierarchy, task.game.masked_model.output_shape
    std_error = np.zeros(solution.values.shape) if solution.std_error is None else solution.std_error
    return Explanation(
        values=solution.values.reshape(-1, *shape),
        std_error=std_error.reshape(-1, *shape),
        labels=task.game.labels,
        base_value=task.base.reshape(shape),
        full_value=task.full.reshape(shape),
        n_evals=task.n_evals,
        estimand="Owen",
        diagnostics=extended(solution.diagnostics, exact_cost=tree.exact_cost, structure=tree.structure),
    )
