"""The row of one method in a comparison."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from xai_ext._task import Method
from xai_ext.study.unit import UnitResult


@dataclass(frozen=True)
class Score:
    """One method on one image and target.

    Attributes
    ----------
    status : str
        "ok"; "over_budget" and "degenerate" (shown all the same); "unsupported" (the host refuses this model),
        "skipped" (the budget is below the method's least), "failed" (it raised an error), "interrupted".
    cost : int
        Forward rows plus twice the backward rows of one run, counted at the model.
    model_seconds, other_seconds : float
        Inside and outside the model, of one run.
    runs : int
        Maps that were drawn, each at the whole budget; evaluations and seconds are those of the first.
    metrics : dict
        Name -> mean over the runs.
    std_errors : dict
        Name -> standard error over the runs; 0 for a method that draws nothing, absent for a single draw.
    values : dict
        Name -> one value per run.
    metric_rows : int
        Of all runs.
    completeness_gap : float, optional
        ``|sum - (f(x) - f(baseline))| / |f(x) - f(baseline)|`` of the first map, where the method promises 0.
    same_as : str
        An earlier method whose map differs by at most 1e-6 of its maximum.
    note : str
    error : str
        The traceback of a failure.
    """

    name: str
    host: str
    features: str
    status: str
    cost: int = 0
    n_forward: int = 0
    n_backward: int = 0
    model_seconds: float = 0.0
    other_seconds: float = 0.0
    std_error_max: float | None = None
    metrics: dict[str, float] = field(default_factory=dict)
    runs: int = 1
    std_errors: dict[str, float] = field(default_factory=dict)
    values: dict[str, list[float]] = field(default_factory=dict)
    metric_rows: int = 0
    completeness_gap: float | None = None
    same_as: str = ""
    note: str = ""
    error: str = ""

    def variance_of_mean(self, metric: str) -> float:
        """Squared standard error over runs; 0 for one run."""
        return self.std_errors.get(metric, 0.0) ** 2


def score_of(method: Method, runs: Sequence[UnitResult], planned: int, gain: float) -> Score:
    """The row of a method that had `planned` runs before it; a failed run ends it."""
    if not runs:
        return Score(method.name, method.host, method.features, "interrupted", runs=0)
    bad = next((r for r in runs if r.values is None), None)
    if bad is not None:
        return Score(
            method.name, method.host, method.features, bad.status, runs=0, note=bad.note, error=bad.error
        )  # fmt: skip
    first, worst = runs[0], next((r for r in runs if r.status != "ok"), runs[0])
    values = {name: [r.metrics[name] for r in runs] for name in first.metrics}
    short = f"interrupted after {len(runs)} of {planned} runs" if len(runs) < planned else ""
    return Score(
        name=method.name,
        host=method.host,
        features=method.features,
        status=worst.status,
        cost=max(r.cost for r in runs),
        n_forward=first.n_forward,
        n_backward=first.n_backward,
        model_seconds=first.model_seconds,
        other_seconds=max(0.0, first.seconds - first.model_seconds),  # two passes of a host may overlap
        std_error_max=first.std_error_max,
        runs=len(runs),
        metrics={name: float(np.mean(v)) for name, v in values.items()},
        std_errors={name: _std_error(v) for name, v in values.items() if len(v) > 1 or not method.draws},
        values=values,
        metric_rows=sum(r.metric_rows for r in runs),
        completeness_gap=_gap(first, gain) if method.complete else None,
        note="; ".join(filter(None, (worst.note, short))),
    )


def _std_error(values: Sequence[float]) -> float:
    return float(np.std(values, ddof=1) / np.sqrt(len(values))) if len(values) > 1 else 0.0


def _gap(run: UnitResult, gain: float) -> float | None:
    return None if run.values is None or not gain else float(abs(run.values.sum() - gain) / abs(gain))
