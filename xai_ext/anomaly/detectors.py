"""Detectors of other libraries as anomaly scores; none of them is imported."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor, nn

from xai_ext._checks import InputError, InputTypeError, check_choice
from xai_ext._forward import on_host
from xai_ext._randomness import preserved_generators
from xai_ext.anomaly._info import ScoreInfo
from xai_ext.anomaly._output import check_samples
from xai_ext.anomaly.reconstruction import ReconstructionScore
from xai_ext.anomaly.reducers import Reducer
from xai_ext.anomaly.scores import AnomalyScore

__all__ = ["DetectorScore", "as_score"]

Rows = Callable[[Tensor], Tensor | np.ndarray]
_CHOICES = (
    "ReconstructionScore(model) for a torch autoencoder; DetectorScore.from_sklearn, from_pyod, from_anomalib; "
    "DetectorScore.from_callable(fn, higher_is_anomalous=True)"
)


class DetectorScore(AnomalyScore):
    """A detector of another library; made by its class methods."""

    def __init__(
        self,
        score_fn: Callable[[Tensor], Tensor],
        info: ScoreInfo,
        *,
        map_fn: Callable[[Tensor], Tensor] | None = None,
        reduce: Reducer | None = None,
        reference: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        super().__init__(info, reduce=reduce, reference=reference)
        self._score_fn, self._map_fn = score_fn, map_fn

    @classmethod
    def from_sklearn(cls, est: Any, *, output: str = "score_samples", features: Rows | None = None) -> Self:
        """A fitted outlier detector of scikit-learn, or a pipeline that ends in one.

        Parameters
        ----------
        est : estimator
            Scores are float64: the negative of its own, for which lower is more anomalous. The threshold is that of
            its ``predict``.
        output : {"score_samples", "decision_function"}
            The latter also where there is no ``score_samples``; its threshold is 0.
        features : callable, optional
            Inputs -> rows (N, D), for images; None flattens.
        """
        check_choice("output", output, ("score_samples", "decision_function"))
        last = est.steps[-1][1] if hasattr(est, "steps") else est
        if getattr(last, "novelty", True) is False:
            raise InputError(
                "LocalOutlierFactor(novelty=False) scores its training data only; fix: LocalOutlierFactor(novelty=True)"
            )
        name = output if hasattr(est, output) else "decision_function"
        if not hasattr(est, name):
            raise InputTypeError(f"{type(est).__name__} has neither score_samples nor decision_function")
        own = getattr(last, "offset_", None) if name == "score_samples" else 0.0
        threshold = None if own is None else -float(np.ravel(own)[0])
        method = getattr(est, name)
        info = ScoreInfo(
            "scikit-learn", type(last).__name__, f"-{name}", -1, threshold_source=threshold, differentiable=False
        )
        return cls(_host_score(lambda rows: -np.asarray(method(rows)), features), info)

    @classmethod
    def from_pyod(cls, clf: Any, *, features: Rows | None = None) -> Self:
        """A fitted detector of PyOD: its ``decision_function`` as it is, its ``threshold_``.

        That threshold was set on the training data; `calibrate` sets one on held-out normals.
        """
        info = ScoreInfo(
            "pyod", type(clf).__name__, "decision_function", 1, threshold_source=float(clf.threshold_),
            differentiable=False,
        )  # fmt: skip

        def run(rows: np.ndarray) -> np.ndarray:
            with preserved_generators():  # its deep detectors read rows with a torch loader, which draws a seed
                return np.asarray(clf.decision_function(rows))

        return cls(_host_score(run, features), info)

    @classmethod
    def from_anomalib(cls, model: nn.Module, *, output: str | Reducer = "pred_score") -> Self:
        """A trained model of anomalib, without its post-processor, which clamps scores to 0..1.

        Parameters
        ----------
        model : nn.Module
            With ``pre_processor`` and ``model``, or the inner torch model alone. It is put into evaluation mode for
            each call, and back.
        output : "pred_score" or Reducer
            A reducer is applied to its anomaly map instead.
        """
        inner: Any = model.model if isinstance(getattr(model, "model", None), nn.Module) else model
        before: Any = getattr(model, "pre_processor", None)

        def run(x: Tensor) -> Any:
            with _evaluating(model):
                return inner(x if before is None else before(x))

        def map_fn(x: Tensor) -> Tensor:
            return _map_of(run(x))

        info = ScoreInfo("anomalib", type(inner).__name__, "pred_score" if isinstance(output, str) else str(output))
        if isinstance(output, str):
            check_choice("output", output, ("pred_score",))
            score = cls(lambda x: run(x).pred_score.reshape(len(x)), info, map_fn=map_fn)
        else:
            score = cls(lambda x: _reduced(score, x), info, map_fn=map_fn, reduce=output)
        score.detector = model
        return score

    @classmethod
    def from_callable(
        cls,
        fn: Callable[..., Any],
        *,
        map_fn: Callable[[Tensor], Tensor] | None = None,
        higher_is_anomalous: bool = True,
        numpy: bool = False,
        layout: str = "channels_first",
        differentiable: str | bool = "auto",
        reference: Callable[[Tensor], Tensor] | None = None,
    ) -> Self:
        """Any function of samples.

        Parameters
        ----------
        fn : callable
            Samples (N, ...) -> scores (N,) or (N, 1).
        map_fn : callable, optional
            Samples, a tensor -> evidence (N, 1, h, w).
        higher_is_anomalous : bool
            False turns the sign.
        numpy : bool
            `fn` takes and returns arrays.
        layout : {"channels_first", "channels_last"}
            Where `fn` expects the channels of images.
        differentiable : "auto" or bool
            "auto" lets `probe` find out.
        reference : callable, optional
            Inputs -> normal counterparts.
        """
        check_choice("layout", layout, ("channels_first", "channels_last"))
        sign = 1 if higher_is_anomalous else -1

        def score_fn(x: Tensor) -> Tensor:
            images = x.movedim(1, -1) if layout == "channels_last" else x
            made: Any = fn(on_host(images) if numpy else images)
            if numpy and np.asarray(made).dtype.kind in "biuf":
                made = torch.from_numpy(np.array(made)).to(x.device)
            return sign * made if isinstance(made, Tensor) else made

        known = False if numpy else (None if differentiable == "auto" else bool(differentiable))
        source = getattr(fn, "__name__", type(fn).__name__)
        info = ScoreInfo("callable", source, "score", sign, differentiable=known)
        score = cls(score_fn, info, map_fn=map_fn, reference=reference)
        if isinstance(fn, nn.Module):
            score.detector = fn
        return score

    def map(self, x: Tensor) -> Tensor:
        """See `AnomalyScore.map`."""
        if self._map_fn is None:
            return super().map(x)
        made = self._map_fn(check_samples(x))
        if made.dim() != 4 or made.shape[:2] != (len(x), 1):
            raise InputError(f"the map must be ({len(x)}, 1, h, w), got {tuple(made.shape)}")
        return made

    def surrogate(self, reduce: Reducer) -> AnomalyScore:
        """See `AnomalyScore.surrogate`."""
        other = super().surrogate(reduce)
        assert isinstance(other, DetectorScore)
        other._score_fn = lambda x: _reduced(other, x)
        return other

    def _scores(self, x: Tensor) -> Tensor:
        return self._score_fn(x)


def as_score(obj: Any, **options: Any) -> AnomalyScore:
    """The anomaly score of a detector, told by where its class comes from.

    Parameters
    ----------
    obj : AnomalyScore, or a detector of scikit-learn, PyOD or anomalib, `VAEGAN`, module or callable
        Of a plain module or callable the options must say what it is: ``residual=`` or ``reduce=`` (an autoencoder),
        or ``higher_is_anomalous=`` (a score).
    **options
        Of the constructor that is chosen.
    """
    from xai_ext.anomaly.vae_gan import VAEGAN

    if isinstance(obj, AnomalyScore):
        return obj
    homes = {c.__module__.partition(".")[0] for c in type(obj).__mro__}
    named: dict[str, Callable[..., AnomalyScore]] = {
        "pyod": DetectorScore.from_pyod,
        "anomalib": DetectorScore.from_anomalib,
        "sklearn": DetectorScore.from_sklearn,
    }
    for home, make in named.items():
        if home in homes:
            return make(obj, **options)
    if isinstance(obj, VAEGAN) or (isinstance(obj, nn.Module) and {"residual", "reduce", "decode"} & options.keys()):
        return ReconstructionScore(obj, **options)
    if callable(obj) and "higher_is_anomalous" in options:
        return DetectorScore.from_callable(obj, **options)
    raise InputTypeError(f"cannot tell what a {type(obj).__name__} is; fix: one of {_CHOICES}")


def _host_score(score: Callable[[np.ndarray], np.ndarray], features: Rows | None) -> Callable[[Tensor], Tensor]:
    """A function of float64 rows as one of tensors."""

    def run(x: Tensor) -> Tensor:
        if not len(x):
            return x.new_zeros(0, dtype=torch.float64)
        rows = x.flatten(1) if features is None else torch.as_tensor(features(x.detach()))
        return torch.from_numpy(score(rows.detach().cpu().double().numpy())).to(x.device)

    return run


def _map_of(output: Any) -> Tensor:
    made: Tensor | None = getattr(output, "anomaly_map", None)
    if made is None:
        raise InputError("this anomalib model returns no anomaly_map")
    return made if made.dim() == 4 else made[:, None]


def _reduced(score: DetectorScore, x: Tensor) -> Tensor:
    assert score.reduce is not None
    return score.reduce(score.map(x))


@contextmanager
def _evaluating(module: nn.Module) -> Iterator[None]:
    modes = [(m, m.training) for m in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for m, training in modes:
            m.training = training
