"""Owen values from every context of every node."""

from dataclasses import dataclass

from xai_ext._checks import InputError, check_at_least
from xai_ext.methods._frontier import Frontier, Splits
from xai_ext.methods._owen_task import Solution, Task
from xai_ext.methods._summary import solution


@dataclass(frozen=True)
class Exact:
    """All contexts of all nodes, level by level: 2^(depth+1) evaluations per internal node.

    Parameters
    ----------
    limit : int
        Refuse trees that cost more evaluations than this, whatever the budget.
    """

    limit: int = 2**20

    def __post_init__(self) -> None:
        check_at_least("limit", self.limit, 2)

    def solve(self, task: Task) -> Solution:
        """Exact values; `InputError` where the tree costs more than the limit or the budget."""
        _check_cost(task.hierarchy.exact_cost, min(self.limit, task.budget + 2))
        splits = Splits(task)
        frontier = Frontier(task, splits, slice(None))
        while len(level := frontier.open):
            frontier.split(level)
        return solution(task, splits, [frontier])


def _check_cost(cost: int, affordable: int) -> None:
    if cost > affordable:
        # a deep tree's cost has more digits than Python prints
        written = f"{cost:,}" if cost.bit_length() < 64 else f"at least 2^{cost.bit_length() - 1}"
        raise InputError(
            f"exact Owen values of this hierarchy cost {written} evaluations, more than the {affordable:,} of the "
            "smaller of budget and limit; fix: hierarchy.cut(depth=...), or another estimator"
        )
