"""Detectors as models: one number per sample, higher = more anomalous."""

import abc
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Self

import numpy as np
import torch
from torch import Tensor, nn

from xai_ext._checks import InputError, check_at_least
from xai_ext._types import AnyArray, BoolArray, FloatArray, IntArray
from xai_ext.anomaly import _probes
from xai_ext.anomaly._calibration import (
    as_samples,
    calibration_of,
    check_unseen,
    conformal_p_values,
    conformal_threshold,
)
from xai_ext.anomaly._frozen import Frozen, closed_forms
from xai_ext.anomaly._info import NoMapError, NotDifferentiableError, ReferenceCheck, ScoreInfo
from xai_ext.anomaly._output import FrozenScore, check_samples, checked
from xai_ext.anomaly._surrogates import surrogate_of
from xai_ext.anomaly.reducers import Max, Reducer, Region
from xai_ext.explanation import Explanation

__all__ = ["AnomalyScore", "FrozenScore"]


class AnomalyScore(nn.Module, abc.ABC):
    """One number per sample, higher = more anomalous: a model that Captum, SHAP, lime and this package explain.

    The module's output is the decision function itself, before any clamp or threshold. Captum: no ``target``.

    Attributes
    ----------
    info : ScoreInfo
    threshold : float or None
        A sample is anomalous if its score is above it (strictly). From the source, or from `calibrate`.
    reduce : Reducer or None
        Map -> score, where the score is made so.
    """

    def __init__(
        self,
        info: ScoreInfo,
        *,
        reduce: Reducer | None = None,
        reference: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        super().__init__()
        self.info, self.threshold, self.reduce = info, info.threshold_source, reduce
        self.row_by_row = False
        self._reference = reference
        self._bank: tuple[Tensor, FloatArray] | None = None
        self.training = False  # the wrapped model's own mode counts

    @abc.abstractmethod
    def _scores(self, x: Tensor) -> Tensor:
        """Raw scores, one per row."""

    def forward(self, x: Tensor) -> Tensor:
        """Scores (N,) of samples (N, C, H, W) or (N, D).

        Raises
        ------
        NotDifferentiableError
            A gradient is asked for and the score has none.
        NonFiniteScoreError
            A score is NaN or infinite.
        """
        check_samples(x)
        if self.row_by_row and len(x) > 1:
            return torch.cat([self.scores_together(row) for row in torch.split(x, 1)])
        return self.scores_together(x)

    def scores_together(self, x: Tensor) -> Tensor:
        """`forward` in one call of the source, whatever was probed."""
        wants_gradient = torch.is_grad_enabled() and x.requires_grad
        if wants_gradient and self.info.differentiable is False:
            raise self._not_differentiable()
        scores = checked(self._scores(x), len(x))
        if wants_gradient and not scores.requires_grad:
            raise self._not_differentiable()
        return scores

    def map(self, x: Tensor) -> Tensor:
        """Evidence (N, 1, h, w) at the detector's own resolution; `NoMapError` where there is none."""
        raise NoMapError(f"a score of {self.info.source} has no map; fix: from_callable(fn, map_fn=...)")

    def reference(self, x: Tensor) -> Tensor:
        """The normal counterpart of each sample, detached: a valid ``baselines=``."""
        if self._reference is None:
            raise InputError(
                "this score has no reference; fix: reference=NearestNormal(bank), or another function of inputs"
            )
        with torch.no_grad():
            return self._reference(check_samples(x).detach())

    def margin(self, x: Tensor) -> Tensor:
        """Score minus threshold, (N,)."""
        margin: Tensor = self(x) - self._needed_threshold()
        return margin

    @torch.no_grad()
    def decide(self, x: Tensor) -> Tensor:
        """Is each sample anomalous? bool (N,)."""
        decided: Tensor = self(x).double() > self._needed_threshold()
        return decided

    @torch.no_grad()
    def p_value(self, x: Tensor) -> Tensor:
        """Conformal p-value under "normal", float64 (N,); needs `calibrate`."""
        calibration = self.info.calibration
        if calibration is None:
            raise InputError("a p-value needs normals; fix: calibrate(normals)")
        return torch.from_numpy(conformal_p_values(self.scores_of(x), calibration))

    @torch.no_grad()
    def scores_of(self, x: Tensor, batch_size: int | None = None) -> FloatArray:
        """Scores (N,) as float64 on the host, ``batch_size`` rows at a time."""
        size = len(check_samples(x)) if batch_size is None else check_at_least("batch_size", batch_size, 1)
        return np.concatenate([self(part).double().cpu().numpy() for part in torch.split(x, max(1, size))])

    def calibrate(
        self,
        normals: Tensor | AnyArray,
        alpha: float = 0.05,
        *,
        ids: Sequence[str] | None = None,
        keep_bank: int = 128,
        batch_size: int | None = None,
    ) -> Self:
        """Set the threshold from held-out normals: a false alarm has probability at most ``alpha`` [1]_.

        There are no labels: a threshold that has seen defects is `xai_ext.metrics.detection.oracle_threshold`.

        Parameters
        ----------
        normals : Tensor or array (n, ...)
            Not used in training; exchangeable with what is to be judged.
        alpha : float
            The threshold is the k-th smallest score, k = n + 1 - floor((n + 1) alpha).
        ids : sequence of str, optional
            Names of the normals; None: digests of their values.
        keep_bank : int
            So many normals are kept for references, surrogates and `right_reason`.
        batch_size : int, optional
            Rows per call.

        Returns
        -------
        AnomalyScore
            The score itself.

        Raises
        ------
        InputError
            Fewer than 1/alpha - 1 normals; normals that the model was trained on.

        References
        ----------
        .. [1] Vovk, Gammerman, Shafer, "Algorithmic learning in a random world", Springer (2005), ch. 2.
        """
        self._refuse_surrogate("calibrate")
        x = as_samples("normals", normals)
        names = check_unseen(x, ids, self.trained_on)
        self.probe(x)
        scores = self.scores_of(x, batch_size)
        threshold = conformal_threshold(scores, alpha)
        rows = _probes.check_sign(self, x, float(np.median(scores)))
        probe_rows = (self.info.probe_rows or 0) + rows
        self.info = replace(self.info, calibration=calibration_of(scores, alpha, names), probe_rows=probe_rows)
        self.threshold = threshold
        self._bank = (x[:keep_bank].detach().clone(), scores[:keep_bank].copy())
        return self

    def probe(self, x: Tensor) -> ScoreInfo:
        """Check on up to three samples that the score can be explained, and remember what was found.

        One row must score the same alone and in a batch; where it does not, `forward` goes row by row from now on,
        with a warning. Two calls must agree. A score without gradients is remembered as such.
        """
        return _probes.remembered(self, as_samples("x", x))

    @torch.no_grad()
    def check_reference(self, x: Tensor, baseline: Tensor | None = None) -> ReferenceCheck:
        """Is the baseline normal, and does it differ from the input? Warns where it is not.

        A baseline that is itself anomalous turns attributions around; one that scores like the input leaves nothing
        to attribute.

        Parameters
        ----------
        x : Tensor (N, ...)
        baseline : Tensor like x, optional
            None: `reference`.
        """
        return _probes.reference_check(self, x, self.reference(x) if baseline is None else baseline.expand_as(x))

    def surrogate(self, reduce: Reducer) -> "AnomalyScore":
        """The same detector with another reducer, to be explained instead of the decision, never to decide.

        Warns where the two rank the kept normals differently (Spearman below .9).
        """
        return surrogate_of(self, reduce)

    def region(self, mask: BoolArray) -> "AnomalyScore":
        """The surrogate that looks at a part of the map, bool (h, w): one defect of several."""
        return self.surrogate(Region(mask, self.reduce or Max()))

    def frozen(self) -> "FrozenScore":
        """The game that keeps the reconstruction: ``forward(x, reference)`` does not run the model again."""
        raise InputError(f"a score of {self.info.source} has no reconstruction to freeze")

    def closed_form(
        self, x: Tensor, *, labels: IntArray | None = None, above_threshold: bool = False
    ) -> tuple[Explanation, ...]:
        """Exact Shapley values of the frozen game, one `Explanation` per sample; the model sees each row once.

        Parameters
        ----------
        x : Tensor (N, C, H, W)
        labels : int array (h, w), optional
            Regions 0..n-1 as players; None: positions of the map.
        above_threshold : bool
            Of `Max` only: what exceeds the threshold; sums to the margin of a flagged sample, else all zero.

        Notes
        -----
        The frozen game asks which positions of this residual make the score; sampling methods on the score itself
        also ask how the model reacts. For `Max` and `TopK` the values rank positions as the map does.
        """
        return closed_forms(self, check_samples(x), labels, above_threshold=above_threshold)

    def save(self, folder: str | Path) -> None:
        """Write score.json and score.safetensors; never pickle."""
        from xai_ext.anomaly._saving import save

        save(self, Path(folder))

    @staticmethod
    def load(folder: str | Path, *, model: nn.Module | None = None) -> "AnomalyScore":
        """Read what `save` wrote.

        Parameters
        ----------
        folder : path
        model : nn.Module, optional
            An instance of the saved network's class, whose weights are replaced; a `VAEGAN` needs none.
        """
        from xai_ext.anomaly._saving import load

        return load(Path(folder), model)

    @property
    def trained_on(self) -> frozenset[str]:
        """Ids of the samples that the wrapped model was trained on, as far as it says."""
        return frozenset()

    @property
    def bank(self) -> tuple[Tensor, FloatArray] | None:
        """The normals kept by `calibrate`, (m, ...), and their scores (m,)."""
        return self._bank

    def _frozen_evidence(self, x: Tensor) -> Frozen:
        evidence = self.map(x)[:, 0].double().cpu().numpy()
        return Frozen(evidence, None, "map")

    def _needed_threshold(self) -> float:
        self._refuse_surrogate("decide with")
        if self.threshold is None:
            raise InputError("this score has no threshold; fix: calibrate(normals)")
        return self.threshold

    def _refuse_surrogate(self, verb: str) -> None:
        if self.info.surrogate_of is not None:
            raise InputError(f"cannot {verb} a surrogate: {self.info.surrogate_of} decides; fix: use the score itself")

    def _not_differentiable(self) -> NotDifferentiableError:
        return NotDifferentiableError(
            f"a score of {self.info.source} has no gradient; fix: a perturbation method, such as BPTOwen, "
            "StratifiedLime, RISE, IASSA, captum's FeatureAblation or ShapleyValueSampling"
        )
