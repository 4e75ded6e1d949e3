"""The same detector with another reducer."""

import warnings
from dataclasses import replace
from typing import TYPE_CHECKING

from xai_ext._checks import InputError
from xai_ext.anomaly._output import spearman
from xai_ext.anomaly.reducers import Reducer

if TYPE_CHECKING:
    from xai_ext.anomaly.scores import AnomalyScore

_FAITHFUL = 0.9


def surrogate_of(score: "AnomalyScore", reduce: Reducer) -> "AnomalyScore":
    """A copy that shares the network, without a threshold; warns where the two rank the kept normals differently."""
    if score.reduce is None:
        raise InputError(f"a score of {score.info.source} is not a reducer of a map: it has no surrogate")
    other = _copy(score)
    other.reduce, other.threshold = reduce, None
    decided = score.info.surrogate_of or str(score.reduce)
    other.info = replace(score.info, surrogate_of=decided, spearman_to_decision=None, threshold_source=None)
    rho = None if score.bank is None else spearman(score.bank[1], other.scores_of(score.bank[0]))
    other.info = replace(other.info, spearman_to_decision=rho)
    if rho is not None and not rho >= _FAITHFUL:
        warnings.warn(
            f"the surrogate {reduce} ranks the normals unlike the decision {decided} (Spearman {rho:.2f} < "
            f"{_FAITHFUL}): it explains another question",
            stacklevel=3,
        )
    return other


def _copy(score: "AnomalyScore") -> "AnomalyScore":
    other = object.__new__(type(score))
    other.__dict__.update(score.__dict__)
    other._modules = dict(score._modules)
    return other
