"""SHAP and lime: hosts that call a function of NumPy images."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from xai_ext._superpixels import TwoDimensional
from xai_ext._types import AnyArray, FloatArray
from xai_ext.explanation import Explanation
from xai_ext.models import as_numpy_function
from xai_ext.testing._adapters import Outcome, Problem, Settings, Subject, _players_of_maps


def channels_last(x: Tensor) -> AnyArray:
    """(N, H, W, C), sharing memory with ``x``."""
    return np.asarray(x.detach().movedim(1, -1).numpy())


def baseline_image(problem: Problem, i: int) -> AnyArray:
    """The baseline of an example, (H, W, C)."""
    rows = torch.as_tensor(problem.baseline, dtype=problem.x.dtype)
    full = rows.expand_as(problem.x) if rows.dim() else rows.expand(problem.x.shape)
    return np.asarray(channels_last(full)[i])


@dataclass(frozen=True, eq=False)
class Columns:
    """A problem as a table: column j is 0 where player j is absent, and 1 + the example's index where present."""

    problem: Problem

    def __call__(self, rows: AnyArray) -> AnyArray:
        """Scores of rows (k, n)."""
        rows = np.asarray(rows)
        index = np.maximum(rows.max(1).round().astype(int) - 1, 0)
        keep = torch.from_numpy((rows > 0)[:, self.problem.grid])[:, None]
        x = self.problem.x.detach()[index]
        base = torch.as_tensor(self.problem.baseline, dtype=x.dtype)
        base = base[index] if base.dim() and len(base) == len(self.problem.x) else base.expand_as(x)
        with torch.no_grad():
            scores = self.problem.model(torch.where(keep, x, base))
        return np.asarray(scores.numpy())


class ShapSubject(Subject):
    """``cls(function, masker, seed=)(rows, max_evals=, batch_size=, outputs=)``."""

    def explain(self, problem: Problem, settings: Settings) -> Outcome:
        result = self._columns(problem, settings) if self.tags.columns else self._images(problem, settings)
        values = np.asarray(result.values)
        picks_last = values.ndim > (2 if self.tags.columns else 4)
        column = 0 if not self.tags.columns or problem.target is None else int(problem.target)
        chosen = values[..., column] if picks_last else values
        if self.tags.columns:
            return Outcome(values, np.asarray(chosen, dtype=np.float64))
        players = _players_of_maps(np.moveaxis(chosen, -1, 1), problem.grid, self.tags.map)
        return Outcome(values, players, tuple(getattr(result, "details", ())))

    def estimates(self, problem: Problem, settings: Settings) -> tuple[Explanation, ...]:
        """The explanations, where the class has them."""
        return self.explain(problem, settings).explanations

    def masker(self, problem: Problem) -> Any:
        """Of this package: the problem's regions, and its baseline."""
        from xai_ext.maskers import BPT

        return BPT(channels_last(problem.x)[0], baseline_image(problem, 0), problem.labels)

    def _images(self, problem: Problem, settings: Settings) -> Any:
        explainer = self.built(as_numpy_function(problem.model), self.masker(problem), **self.seeded(settings))
        target = problem.target
        outputs = None if target is None else [int(target)]
        return explainer(channels_last(problem.x), outputs=outputs, silent=True, **self.call_settings(settings))

    def _columns(self, problem: Problem, settings: Settings) -> Any:
        n = int(problem.grid.max()) + 1
        rows = np.ones((len(problem.x), n)) * np.arange(1, len(problem.x) + 1)[:, None]
        explainer = self.built(Columns(problem), n, **self.seeded(settings))
        return explainer(rows, silent=True, **self.call_settings(settings))


class LimeSubject(Subject):
    """``cls(random_state=).explain_instance(image, classifier, hide_color=, segmentation_fn=, ...)``, one by one."""

    def explain(self, problem: Problem, settings: Settings) -> Outcome:
        results = [self._one(problem, i, settings) for i in range(len(problem.x))]
        label = problem.target or 0
        values = [self._values(r, label, problem) for r in results]
        stacked = np.stack(values) if values else np.zeros((0, 1))
        return Outcome(stacked[:, problem.grid] if values else stacked, stacked)

    def estimates(self, problem: Problem, settings: Settings) -> tuple[Explanation, ...]:
        """The explanations, put together from lime's results."""
        label, labels = problem.target or 0, (problem.grid,)
        results = [self._one(problem, i, settings) for i in range(len(problem.x))]
        return tuple(
            Explanation(
                self._values(r, label, problem), r.details["std_error"][label], labels, np.array(np.nan),
                np.array(np.nan), r.details["n_evals"], "LIME",
            )
            for r in results
        )  # fmt: skip

    def _one(self, problem: Problem, i: int, settings: Settings) -> Any:
        explainer = self.built(**self.seeded(settings))
        labels = problem.grid
        return explainer.explain_instance(
            channels_last(problem.x)[i], TwoDimensional(as_numpy_function(problem.model)),
            labels=(problem.target or 0,), top_labels=None, hide_color=baseline_image(problem, i),
            segmentation_fn=lambda _: labels, **self.call_settings(settings),
        )  # fmt: skip

    @staticmethod
    def _values(result: Any, label: int, problem: Problem) -> FloatArray:
        values = np.zeros(int(problem.grid.max()) + 1)
        for segment, value in result.local_exp[label]:
            values[segment] = value
        return values
