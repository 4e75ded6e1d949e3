"""What every method returns."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xai_ext._checks import InputError, check_at_least, check_choice
from xai_ext._types import AnyArray, FloatArray, IntArray


@dataclass(frozen=True, eq=False)
class Explanation:
    """Values of the players of one input, with their standard errors.

    Attributes
    ----------
    values : array (n_players,) for a scalar model, else (n_players, n_outputs)
        In the unit of the explained score.
    std_error : array like `values`
        Standard error of sampling; 0 where nothing was sampled. It measures neither the bias of a penalty nor
        the misfit of a surrogate.
    labels : tuple of int64 arrays, one per input
        The player of each element.
    base_value, full_value : float or array (n_outputs,)
        f(baseline) and f(x).
    n_evals : int
        Model evaluations spent, f(x) and f(baseline) included.
    estimand : str
        What the values estimate, for example "LIME" or "Shapley". Only Shapley and Owen values sum to
        ``full_value - base_value``.
    diagnostics : mapping
        Method-specific numbers; each method documents its keys.
    """

    values: FloatArray
    std_error: FloatArray
    labels: tuple[IntArray, ...]
    base_value: AnyArray
    full_value: AnyArray
    n_evals: int
    estimand: str
    diagnostics: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))

    def region_map(self, index: int = 0) -> FloatArray:
        """Each element carries the whole value of its player: Captum's habit.

        Parameters
        ----------
        index : int
            Which input of a tuple.

        Returns
        -------
        array of the shape of `labels`, with a last axis for outputs unless the model is scalar
        """
        return self.values[self._labels(index)]

    def density_map(self, index: int = 0) -> FloatArray:
        """Each element carries its player's value divided by the player's number of elements: SHAP's habit.

        Sums to the sum of the values (over all inputs of a tuple). Elements are those of `labels`: positions of
        an image, not its channels.
        """
        sizes = np.bincount(np.concatenate([a.ravel() for a in self.labels]), minlength=len(self.values))
        scale = sizes.reshape(-1, *(1,) * (self.values.ndim - 1))
        return (self.values / scale)[self._labels(index)]

    def _repr_html_(self) -> str:
        from xai_ext._notebook import as_html

        return as_html(self)

    def _repr_png_(self) -> bytes | None:
        from xai_ext._notebook import as_png

        return as_png(self)

    def _labels(self, index: int) -> IntArray:
        if not -len(self.labels) <= index < len(self.labels):
            raise InputError(f"index must name one of {len(self.labels)} inputs, got {index}")
        return self.labels[index]


def segments_mask(
    labels: IntArray,
    values: FloatArray,
    *,
    sign: str = "positive",
    top: int | None = None,
    min_weight: float = 0.0,
) -> NDArray[np.int8]:
    """The regions that speak most for or against: those that lime's ``get_image_and_mask`` outlines.

    Parameters
    ----------
    labels : int array (H, W)
        Regions 0..n-1.
    values : array (n,)
        Of one output.
    sign : {"positive", "negative", "both"}
    top : int, optional
        At most so many regions, the largest absolute values first; ties go to the smaller region. With one sign,
        they are counted among the regions of that sign that pass `min_weight`; with "both" before it, as in lime.
    min_weight : float
        Absolute value that a region must exceed (with "both": reach).

    Returns
    -------
    int8 array (H, W)
        1 on regions for, -1 on regions against where both are asked for, 0 elsewhere. Regions against carry 1
        with ``sign="negative"``, as in lime.
    """
    check_choice("sign", sign, ("positive", "negative", "both"))
    if top is not None:
        check_at_least("top", top, 1)
    values = np.asarray(values)
    if values.ndim != 1 or (labels.size and not 0 <= labels.min() <= labels.max() < len(values)):
        raise InputError(f"values must be (n,), one per region, of one output, got shape {values.shape}")
    order = np.argsort(-np.abs(values), kind="stable")
    if sign == "both":
        chosen = [i for i in order[:top] if abs(values[i]) >= min_weight]
        marks = np.where(values < 0, -1, 1)
    else:
        side = values if sign == "positive" else -values
        chosen = [i for i in order if side[i] > max(0.0, min_weight)][:top]
        marks = np.ones(len(values))
    marked = np.zeros(len(values), dtype=np.int8)
    marked[chosen] = marks[chosen]
    return np.asarray(marked[labels])
