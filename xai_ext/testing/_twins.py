"""Small correct methods, which the broken ones of `mutants` are made from."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import torch
from captum.attr import PerturbationAttribution

from xai_ext._captum_compat import log_usage
from xai_ext._checks import InputError, check_at_least
from xai_ext._types import BoolArray, FloatArray
from xai_ext.attr._call import Arguments, Call, Example, explained
from xai_ext.explanation import Explanation
from xai_ext.game import Game

CALLED = {
    "seed": "seed", "budget": "n_samples", "batch": "perturbations_per_eval", "feature_mask": True, "map": "player",
    "multi_output": True, "extra_args": True,
}  # fmt: skip
_BLOCK = 8


@dataclass
class Marginals:
    """Running sums of marginal contributions."""

    n: int = 0
    total: FloatArray = field(default_factory=lambda: np.zeros(()))
    squares: FloatArray = field(default_factory=lambda: np.zeros(()))

    def add(self, marginal: FloatArray) -> None:
        self.n, self.total, self.squares = self.n + 1, self.total + marginal, self.squares + marginal**2

    @property
    def mean(self) -> FloatArray:
        return np.asarray(self.total / self.n)

    @property
    def std_error(self) -> FloatArray:
        variance = np.maximum(self.squares / self.n - self.mean**2, 0) * self.n / max(self.n - 1, 1)
        return np.sqrt(variance / self.n)


def prefixes(orders: Any) -> BoolArray:
    """The coalitions (k, n - 1, n) on the way from nobody to everybody, of orders (k, n)."""
    places = np.argsort(orders, 1)
    return np.asarray(places[:, None] < np.arange(1, orders.shape[1])[:, None])


def permutation_shapley(
    game: Game, *, budget: int = 100, rng: np.random.Generator | None = None, tol: float | None = None
) -> Explanation:
    """Shapley values by sampled orders of the players."""
    n, rng, sums = game.n_players, rng or np.random.default_rng(), Marginals()
    check_at_least("budget", budget, n + 1, "f(x), f(baseline) and one order")
    full, base = game.full_value, game.base_value
    left = (budget - 2) // max(n - 1, 1)
    while sums.n < left:
        orders = rng.permuted(np.tile(np.arange(n), (min(_BLOCK, left - sums.n), 1)), axis=1)
        paths = game(prefixes(orders).reshape(-1, n)).reshape(len(orders), n - 1, len(full))
        for order, path in zip(orders, paths, strict=True):
            marginal = np.zeros((n, len(full)))
            marginal[order] = np.diff(np.concatenate([base[None], path, full[None]]), axis=0)
            sums.add(marginal)
        if tol is not None and sums.std_error.max() <= tol * np.abs(full - base).max():
            break
    return explanation_of(game, sums.mean, sums.std_error)


def occlusion(game: Game, *, budget: int = 100) -> Explanation:
    """What the score loses without each player."""
    n = game.n_players
    check_at_least("budget", budget, n + 2, "f(x), f(baseline) and one row per player")
    values = game.full_value - game(~np.eye(n, dtype=bool))
    return explanation_of(game, values, np.zeros_like(values))


def kernel_shap(game: Game, *, budget: int = 100, rng: np.random.Generator | None = None) -> Explanation:
    """Shapley values by least squares: pairs of coalitions whose sizes s are drawn like 1 / (s (n - s))."""
    return regression(game, budget, rng or np.random.default_rng(), lambda s, n: 1 / (s * (n - s)))


def regression(game: Game, budget: int, rng: np.random.Generator, law: Callable[..., Any]) -> Explanation:
    """Least squares on coalitions whose sizes are drawn from a law, with the sum held at f(x) - f(baseline)."""
    n = game.n_players
    check_at_least("budget", budget, 4, "f(x), f(baseline) and two coalitions")
    full, base = game.full_value, game.base_value
    sizes = np.arange(1, n)
    p = law(sizes, n)
    drawn = rng.choice(sizes, size=(budget - 2) // 2, p=p / p.sum()) if n > 1 else np.zeros(0, int)
    half = np.array([rng.permutation(n) < s for s in drawn], dtype=bool).reshape(-1, n)
    coalitions = np.concatenate([half, ~half])
    total = full - base
    a = coalitions[:, :-1].astype(float) - coalitions[:, -1:]
    b = game(coalitions) - base - coalitions[:, -1:] * total
    rest = np.linalg.lstsq(a, b, rcond=None)[0] if n > 1 else np.zeros((0, len(full)))
    values = np.concatenate([rest, (total - rest.sum(0))[None]])
    return explanation_of(game, values, np.zeros_like(values))


def explanation_of(game: Game, values: FloatArray, errors: FloatArray) -> Explanation:
    """Values (n, outputs) in the shape of the model's output."""
    shape = game.masked_model.output_shape
    base, full = (a.reshape(shape) for a in (game.base_value, game.full_value))
    values, errors = values.reshape(-1, *shape), errors.reshape(-1, *shape)
    return Explanation(values, errors, game.labels, base, full, game.n_evals, "Shapley")


class Twin(PerturbationAttribution):  # type: ignore[misc]
    """`permutation_shapley` as a Captum class; its parts are what mutants change."""

    __attribution_tags__: ClassVar[dict[str, Any]] = {
        "estimand": "shapley", "complete": "always", "additive_exact": True, "dummy": True, "symmetric": True,
        "linear": True, "affine": True, "std_error": True, **CALLED,
    }  # fmt: skip

    @classmethod
    def get_name(cls) -> str:
        """Name in progress bars."""
        return "Twin"

    def attribute_future(self) -> None:
        """Not implemented."""
        raise NotImplementedError("attribute_future is not implemented")

    @log_usage(part_of_slo=True)  # type: ignore[untyped-decorator]
    @torch.no_grad()
    def attribute(
        self,
        inputs: Any,
        baselines: Any = None,
        target: Any = None,
        additional_forward_args: Any = None,
        feature_mask: Any = None,
        n_samples: int = 50,
        perturbations_per_eval: int | None = 1,
        return_input_shape: bool = True,
        show_progress: bool = False,
        *,
        seed: int | None = None,
        tol: float | None = None,
    ) -> Any:
        """Shapley values."""
        data = Arguments(inputs, baselines, target, additional_forward_args, feature_mask)
        call, examples, found = self.run(data, n_samples, perturbations_per_eval, show_progress, seed, tol)
        dtype = torch.promote_types(examples[-1].game.masked_model.dtype, torch.float32)
        if return_input_shape:
            return call.attributions(found, dtype)
        return call.coefficients(found, [e.ids for e in examples], dtype)

    @torch.no_grad()
    def explain(
        self,
        inputs: Any,
        baselines: Any = None,
        target: Any = None,
        additional_forward_args: Any = None,
        feature_mask: Any = None,
        n_samples: int = 50,
        perturbations_per_eval: int | None = 1,
        show_progress: bool = False,
        *,
        seed: int | None = None,
        tol: float | None = None,
    ) -> tuple[Explanation, ...]:
        """Explanations with standard errors."""
        data = Arguments(inputs, baselines, target, additional_forward_args, feature_mask)
        return tuple(self.run(data, n_samples, perturbations_per_eval, show_progress, seed, tol)[2])

    def run(
        self, data: Arguments, n_samples: int, rows: int | None, show: bool, seed: int | None, tol: float | None
    ) -> tuple[Call, list[Example], list[Explanation]]:
        """One explanation per example."""
        check_at_least("n_samples", n_samples, 3)
        if seed is not None and seed < 0:
            raise InputError(f"seed must not be negative, got {seed}")
        call = Call(self.forward_func, data, rows)
        if seed is None:
            seed = int(torch.randint(2**63 - 1, (), dtype=torch.int64))
        examples = list(call.examples())
        found = explained(examples, self.one(n_samples, seed, tol), self.get_name(), n_samples, show=show)
        return call, examples, found

    def one(self, budget: int, seed: int, tol: float | None) -> Callable[[Example], Explanation]:
        """The method for one example."""
        return lambda example: self.changed(
            permutation_shapley(self.game(example), budget=budget, rng=np.random.default_rng(seed), tol=tol)
        )

    def game(self, example: Example) -> Game:
        """The game that is explained."""
        return example.game

    def changed(self, explanation: Explanation) -> Explanation:
        """What is returned."""
        return explanation


class OcclusionTwin(Twin):
    """`occlusion` as a Captum class."""

    __attribution_tags__: ClassVar[dict[str, Any]] = {
        "estimand": "occlusion", "draws": False, "additive_exact": True, "dummy": True, "symmetric": True,
        "linear": True, "affine": True, **CALLED,
    }  # fmt: skip

    def run(
        self, data: Arguments, n_samples: int, rows: int | None, show: bool, seed: int | None, tol: float | None
    ) -> tuple[Call, list[Example], list[Explanation]]:
        return super().run(data, n_samples, rows, show, 0, tol)

    def one(self, budget: int, seed: int, tol: float | None) -> Callable[[Example], Explanation]:
        return lambda example: self.changed(occlusion(self.game(example), budget=budget))
