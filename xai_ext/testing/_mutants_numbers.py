"""Broken methods whose numbers or tags are wrong."""

from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import torch

from xai_ext.explanation import Explanation
from xai_ext.game import Game
from xai_ext.testing._mutant_kit import after, caught_by, changing, named, rebuilt, valued
from xai_ext.testing._twins import OcclusionTwin, Twin, permutation_shapley, regression


class _Count:
    calls = 0


def _next() -> int:
    _Count.calls += 1
    return _Count.calls


def _seeded(change: Any) -> Any:
    def attribute(self: Any, inputs: Any, *args: Any, seed: Any = None, **kwargs: Any) -> Any:
        return Twin.attribute(self, inputs, *args, seed=change(seed, inputs), **kwargs)

    return attribute


def _hash_seed(seed: Any, inputs: Any) -> Any:
    return None if seed is None else abs(hash("seed")) % 2**31


def _numpys(seed: Any, inputs: Any) -> Any:
    return None if seed is None else seed + int(np.random.randint(1000))  # noqa: NPY002 - what is to be caught


def _another(seed: Any, inputs: Any) -> Any:
    return None if seed is None else _next()


changing("counts its calls", "same_seed", "history", attribute=_seeded(lambda s, x: None if s is None else s + _next()))
changing("has one seed", "other_seed", attribute=_seeded(lambda s, x: 0))
changing("reads NumPy's generator", "seed_isolated", attribute=_seeded(_numpys))
changing("draws entropy without a seed", "C12", attribute=_seeded(lambda s, x: _next() if s is None else s))


class HashSeeded(Twin):
    """As above, importable by name."""

    attribute = _seeded(_hash_seed)


named("reads the hash seed, importable", HashSeeded, "processes")


@caught_by("rows_alone")
class OneStream(Twin):
    """The examples of a batch share one stream of random numbers."""

    def one(self, budget: int, seed: int, tol: Any) -> Any:
        rng = np.random.default_rng(seed)
        return lambda e: permutation_shapley(e.game, budget=budget, rng=rng, tol=tol)


named("flips the sign", valued(lambda v: -v), "linear_closed_form")
named("a hundredth too much", valued(lambda v: v * 1.01), "completeness", "linear_closed_form")
named("gives something to null players", valued(lambda v: v + 0.01), "null_player")
named("squares its values", valued(lambda v: np.sign(v) * v**2), "linear_in_model", "affine_output")
named("ignores small values", valued(lambda v: np.where(np.abs(v) < 1.0, 0, v)), "affine_output")
named("forgets the sign", valued(np.abs), "class_swap")
named("shifts by one player", valued(lambda v: np.roll(v, 1, 0)), "planted")


def _by_number(v: Any) -> Any:
    return v * (1 + np.arange(len(v)).reshape(-1, *(1,) * (v.ndim - 1)))


named("prefers late players", valued(_by_number), "twins")
named("a player's number counts", valued(_by_number, OcclusionTwin), "relabel")
named("is never zero", valued(lambda v: v + 1e-3), "zero_at_baseline", "constant_model")


@caught_by("zero_at_baseline")
class ExplainsTheInput(Twin):
    """Part of the value is the input itself."""

    def changed(self, explanation: Explanation) -> Explanation:
        return replace(explanation, values=explanation.values + 1e-3 * np.abs(explanation.full_value))


def _ramp(a: Any) -> Any:
    return torch.linspace(0, 1, a.numel()).reshape(a.shape).to(a)


def _to_the_right(a: Any) -> Any:
    return a * torch.linspace(1, 3, a.shape[-1]).to(a)


changing("prefers the right", "flip", attribute=after(_to_the_right))
changing("explains edges", "model_matters", attribute=after(_ramp))


@caught_by("converges")
class TwoOrders(Twin):
    """Spends the budget on two orders, whatever it is."""

    def one(self, budget: int, seed: int, tol: Any) -> Any:
        def explain(example: Any) -> Explanation:
            spent = min(budget, 2 + 2 * (example.game.n_players - 1))
            return permutation_shapley(example.game, budget=spent, rng=np.random.default_rng(seed))

        return explain


class _WrongErrors(Twin):
    factor: ClassVar[float] = 1.0

    def changed(self, explanation: Explanation) -> Explanation:
        return replace(explanation, std_error=explanation.std_error * self.factor)


named("errors half as large", type("SmallErrors", (_WrongErrors,), {"factor": 0.5}), "std_error")
named("errors twice as large", type("LargeErrors", (_WrongErrors,), {"factor": 2.0}), "std_error")


@caught_by("enumeration", estimand="shapley", std_error=False, complete="always")
def unweighted_kernel_shap(game: Game, *, budget: int = 100, rng: np.random.Generator | None = None) -> Explanation:
    """KernelSHAP that multiplies by s (n - s)."""
    return regression(game, budget, rng or np.random.default_rng(), lambda s, n: s * (n - s))


@caught_by("enumeration")
class DropsTheLast(Twin):
    """The last player's marginal contribution is given to the first."""

    def changed(self, explanation: Explanation) -> Explanation:
        values = explanation.values.copy()
        values[0] += values[-1]
        values[-1] = 0
        return replace(explanation, values=values)


@caught_by("budget_rows")
class OneTooMany(Twin):
    """Budgets that are full are exceeded by one."""

    def game(self, example: Any) -> Game:
        game = example.game
        game(np.ones((1, game.n_players), bool))
        return rebuilt(example, game.masked_model.forward)


@caught_by("tol_stops")
class IgnoresTol(Twin):
    """A tolerance has no effect."""

    def one(self, budget: int, seed: int, tol: Any) -> Any:
        return super().one(budget, seed, None)


class KeepsMasks(Twin):
    """All masks of a run are kept until its end."""

    kept: ClassVar[list[Any]] = []

    def game(self, example: Any) -> Game:
        self.kept.clear()
        game, shape = example.game, example.game.labels[0].shape
        masked = game.masked_model
        evaluate = masked.evaluate

        def keeping(size: int, keep: Any) -> Any:
            self.kept.append(np.ones((size, *shape), bool))
            return evaluate(size, keep)

        masked.evaluate = keeping
        return Game(masked, game.labels)


named("keeps all masks", KeepsMasks, "memory_bound")


# tags that lie
named("says it does not draw", Twin, "tags", "other_seed", draws=False)
named("says it is complete", valued(lambda v: v * 1.01), "tags", complete="always")
named("says it has a batch", OcclusionTwin, "tags", batch="return_input_shape")
changing("names a seed without effect", "tags", "same_seed", attribute=_seeded(_another))


@caught_by("C14")
class FixedBudget(Twin):
    """Names a budget without effect."""

    def attribute(self, inputs: Any, *args: Any, n_samples: int = 50, **kwargs: Any) -> Any:
        return super().attribute(inputs, *args, n_samples=40, **kwargs)
