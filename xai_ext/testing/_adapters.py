"""One way to call methods of every host: a problem and settings in, maps and players' values out."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from xai_ext._checks import InputError
from xai_ext._types import FloatArray, IntArray
from xai_ext.explanation import Explanation
from xai_ext.testing._state import seed_globally
from xai_ext.testing.tags import Tags


@dataclass(frozen=True, eq=False)
class Problem:
    """What is explained: a module, inputs (N, C, H, W), the regions of all of them, a baseline, an output."""

    model: Any
    x: Tensor
    labels: IntArray | None = None
    baseline: Any = 0.0
    target: Any = None

    def example(self, i: int) -> "Problem":
        """One example of the batch."""
        rows = self.baseline
        if isinstance(rows, Tensor) and rows.dim() and len(rows) == len(self.x):
            rows = rows[i : i + 1]
        return replace(self, x=self.x[i : i + 1], baseline=rows)

    @property
    def grid(self) -> IntArray:
        """The labels, or one region that is everything."""
        return np.zeros(self.x.shape[2:], np.int64) if self.labels is None else self.labels


@dataclass(frozen=True)
class Settings:
    """How it is explained. `seed` None leaves the generators to the method; `budget` None is the typical one."""

    seed: int | None = 0
    budget: int | None = None
    batch: int | None = None
    tol: float | None = None
    more: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Outcome:
    """What came back: the host's own result, and the players' values (N, n)."""

    raw: Any
    players: FloatArray
    explanations: tuple[Explanation, ...] = ()


class Subject(ABC):
    """A method under test, with everything that its host wants to be asked."""

    def __init__(self, cls: Any, tags: Tags, make: Callable[..., Any] | None, kwargs: Mapping[str, Any]) -> None:
        self.cls, self.tags, self.kwargs = cls, tags, dict(kwargs)
        self.make: Callable[..., Any] = make or cls

    @property
    def name(self) -> str:
        """``module:Class``."""
        return f"{self.cls.__module__}:{self.cls.__qualname__}"

    @abstractmethod
    def explain(self, problem: Problem, settings: Settings) -> Outcome:
        """Explain all examples."""

    @abstractmethod
    def estimates(self, problem: Problem, settings: Settings) -> tuple[Explanation, ...]:
        """One explanation per example, for methods with standard errors."""

    def built(self, *args: Any, **kwargs: Any) -> Any:
        """The ready object; a class that needs more says so in the words of this package."""
        try:
            return self.make(*args, **kwargs)
        except TypeError as error:
            raise InputError(
                f"{self.name} cannot be constructed as {self.make.__name__}(forward_func): {error}; "
                "fix: pass make=, a function of forward_func"
            ) from error

    def call_settings(self, settings: Settings) -> dict[str, Any]:
        """Keywords of one call: budget, batch, seed and tolerance under the names that the tags give them."""
        tags, found = self.tags, dict(self.kwargs)
        if tags.budget:
            found[tags.budget] = settings.budget or tags.typical
        if tags.batch and settings.batch is not None:
            found[tags.batch] = settings.batch
        if settings.tol is not None:
            found["tol"] = settings.tol
        return {**found, **settings.more}

    def seeded(self, settings: Settings) -> dict[str, Any]:
        """The keyword of the seed; without one the global generators are seeded, where a seed is wanted."""
        if self.tags.seed:
            return {} if settings.seed is None else {self.tags.seed: settings.seed}
        if settings.seed is not None:
            seed_globally(settings.seed)
        return {}


def _players_of_maps(maps: FloatArray, labels: IntArray, kind: str) -> FloatArray:
    """Values (N, n) of regions from maps (N, C, H, W)."""
    n = int(labels.max()) + 1
    flat, ids = maps.reshape(len(maps), -1, labels.size), labels.ravel()
    if kind == "player":
        first = np.unique(ids, return_index=True)[1]
        return np.asarray(flat[:, 0, first], dtype=np.float64)
    sums = np.stack([np.bincount(ids, row.sum(0).astype(np.float64), n) for row in flat])
    return np.asarray(sums / np.bincount(ids, minlength=n) / flat.shape[1] if kind == "position" else sums, np.float64)


class CaptumSubject(Subject):
    """``cls(forward).attribute(inputs, baselines=, target=, feature_mask=, ...)``."""

    def explain(self, problem: Problem, settings: Settings) -> Outcome:
        import inspect

        method = self.built(problem.model)
        known = inspect.signature(method.attribute).parameters
        sinks = any(p.kind is p.VAR_KEYWORD for p in known.values())
        kwargs = self.call_settings(settings) | self.seeded(settings)
        if ("baselines" in known and "baselines" not in kwargs) or (sinks and self.tags.feature_mask):
            kwargs["baselines"] = problem.baseline
        if isinstance(kwargs.get("baselines"), str):  # a distribution of images around the baseline
            noise = torch.linspace(-0.1, 0.1, 3, dtype=problem.x.dtype).reshape(3, 1, 1, 1)
            level = noise + float(torch.as_tensor(problem.baseline).mean())
            kwargs["baselines"] = level.expand(3, *problem.x.shape[1:]).contiguous()
        if problem.target is not None and ("target" in known or sinks):
            kwargs["target"] = problem.target
        has_mask = self.tags.feature_mask and problem.labels is not None
        if has_mask:
            labels = torch.from_numpy(problem.labels)
            kwargs["feature_mask"] = labels.expand(1, *problem.x.shape[1:]).contiguous()
        raw = method.attribute(problem.x, **kwargs)
        return Outcome(raw, self._players(raw, problem, has_mask))

    def estimates(self, problem: Problem, settings: Settings) -> tuple[Explanation, ...]:
        """The explanations, where the class has them."""
        kwargs = self.call_settings(settings) | self.seeded(settings)
        kwargs |= {"baselines": problem.baseline, "target": problem.target}
        if self.tags.feature_mask and problem.labels is not None:
            labels = torch.from_numpy(problem.labels)
            kwargs["feature_mask"] = labels.expand(1, *problem.x.shape[1:]).contiguous()
        return tuple(self.built(problem.model).explain(problem.x, **kwargs))

    def _players(self, raw: Any, problem: Problem, has_mask: bool) -> FloatArray:
        array = raw.detach().double().cpu().numpy() if isinstance(raw, Tensor) else np.asarray(raw)
        if array.shape != tuple(problem.x.shape):
            return array.reshape(len(array), -1)
        kind = self.tags.map if has_mask or self.tags.map != "player" else "density"
        return _players_of_maps(array, problem.grid, kind)


class FunctionSubject(CaptumSubject):
    """``cls(forward, inputs, target, **kwargs) -> map``."""

    def explain(self, problem: Problem, settings: Settings) -> Outcome:
        kwargs = self.call_settings(settings) | self.seeded(settings)
        if self.tags.feature_mask and problem.labels is not None:
            kwargs["feature_mask"] = torch.from_numpy(problem.labels)
        raw = self.make(problem.model, problem.x, problem.target, **kwargs)
        return Outcome(raw, self._players(raw, problem, self.tags.feature_mask))


class CoreSubject(Subject):
    """``cls(game or masked model, ..., budget=, rng=) -> Explanation``, example by example."""

    def explain(self, problem: Problem, settings: Settings) -> Outcome:
        found = tuple(self._one(problem.example(i), settings) for i in range(len(problem.x)))
        values = np.stack([np.asarray(e.values) for e in found]) if found else np.zeros((0, 1))
        players = np.stack([_players_of_maps(e.region_map()[None], problem.grid, "player")[0] for e in found])
        return Outcome(values, players, found)

    def estimates(self, problem: Problem, settings: Settings) -> tuple[Explanation, ...]:
        """The explanations."""
        return self.explain(problem, settings).explanations

    def _one(self, problem: Problem, settings: Settings) -> Explanation:
        import inspect

        from xai_ext._forward import BoundForward
        from xai_ext.game import Game, MaskedModel

        forward = BoundForward(problem.model, problem.target)
        masked = MaskedModel(forward, problem.x, problem.baseline, batch_size=settings.batch)
        kwargs = self.call_settings(replace(settings, batch=None)) | self._rng(settings)
        names = list(inspect.signature(self.cls).parameters)
        image = problem.x[0].detach().movedim(0, -1).numpy()
        offered: dict[str, Any] = {"labels": problem.grid, "image": image}
        if "masks" in names:
            from xai_ext.methods.rise import RegionMasks

            offered["masks"] = RegionMasks(problem.grid)
        if self.tags.tree is not None and "game" in names:
            from xai_ext.hierarchies import Hierarchy

            offered["hierarchy"] = Hierarchy.from_merges(self.tags.tree(image, problem.grid))
        kwargs |= {name: value for name, value in offered.items() if name in names}
        explained: Explanation = self.make(Game(masked, problem.grid) if names[0] == "game" else masked, **kwargs)
        return explained

    def _rng(self, settings: Settings) -> dict[str, Any]:
        return {} if settings.seed is None or self.tags.seed is None else {"rng": np.random.default_rng(settings.seed)}
