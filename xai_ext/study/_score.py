"""The row of one method in a comparison."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Score:
    """One method on one image.

    Attributes
    ----------
    status : str
        "ok", "unsupported" (the host refuses this model), "failed" (it raised an error), or "over_budget" (shown
        all the same).
    cost : int
        Forward rows plus twice the backward rows, counted at the model.
    model_seconds, other_seconds : float
        Inside and outside the model.
    runs : int
        Maps that were drawn, each at the whole budget; evaluations and seconds are those of the first.
    metrics : dict
        Name -> mean over the runs.
    std_errors : dict
        Name -> standard error over the runs; 0 for a method that draws nothing, absent for a single draw.
    note : str
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
    note: str = ""
