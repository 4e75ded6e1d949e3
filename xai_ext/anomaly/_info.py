"""What a score says about itself, and what it refuses."""

from dataclasses import dataclass, field

import numpy as np

from xai_ext._checks import InputError, InputTypeError
from xai_ext._types import FloatArray


class NoMapError(InputError):
    """The score has no spatial evidence."""


class NotDifferentiableError(InputTypeError):
    """A gradient was asked of a score that has none."""


@dataclass(frozen=True)
class Calibration:
    """How a threshold came from normal samples.

    Attributes
    ----------
    n : int
        Number of normals.
    alpha : float
        Bound of the false-alarm rate.
    ids_digest : str
        sha256 of the sorted ids.
    scores : float64 array (n,)
        Ascending.
    """

    n: int
    alpha: float
    ids_digest: str
    scores: FloatArray = field(repr=False, compare=False)


@dataclass(frozen=True)
class ScoreInfo:
    """What is known about an `AnomalyScore`; None: not known (yet).

    Attributes
    ----------
    kind, source, unit : str
        For example "reconstruction", the name of the wrapped class, "residual".
    sign : int
        What the source's own score was multiplied by, so that higher is more anomalous.
    threshold_source : float or None
        The source's own threshold, in the unit of this score; a calibrated one never overwrites it.
    differentiable, deterministic, batch_invariant : bool or None
        As probed.
    cost_per_row : int
        Forward rows of the source per row of this score.
    surrogate_of : str or None
        The reducer that decides, where another one is explained.
    spearman_to_decision : float or None
        Rank correlation of the two over the kept normals.
    calibration : Calibration or None
    probe_rows : int or None
        Rows that probes have spent; None: not probed.
    """

    kind: str
    source: str
    unit: str
    sign: int = 1
    threshold_source: float | None = None
    differentiable: bool | None = None
    deterministic: bool | None = None
    batch_invariant: bool | None = None
    cost_per_row: int = 1
    surrogate_of: str | None = None
    spearman_to_decision: float | None = None
    calibration: Calibration | None = None
    probe_rows: int | None = None


@dataclass(frozen=True)
class ReferenceCheck:
    """Is a baseline a normal counterpart? See `AnomalyScore.check_reference`.

    Attributes
    ----------
    s_x, s_reference : float64 arrays (N,)
    anomalous : bool array (N,)
        The baseline scores above the threshold, or not below the input.
    no_contrast : bool array (N,)
        The baseline is not anomalous, but scores nearly like the input.
    """

    s_x: FloatArray
    s_reference: FloatArray
    anomalous: np.ndarray
    no_contrast: np.ndarray

    @property
    def ok(self) -> np.ndarray:
        """(N,) bool: neither."""
        return np.asarray(~(self.anomalous | self.no_contrast))
