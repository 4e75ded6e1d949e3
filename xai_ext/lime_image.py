"""lime's image explainer: a drop-in with better coalitions, and lime's own for comparison.

The only module that imports lime.
"""

import contextlib
import copy
import io
from collections.abc import Callable
from types import MappingProxyType
from typing import Any

import numpy as np
from lime.lime_base import LimeBase
from lime.lime_image import ImageExplanation, LimeImageExplainer
from lime.wrappers.scikit_image import SegmentationAlgorithm
from skimage.color import gray2rgb

from xai_ext._checks import InputError, check_at_least, check_choice
from xai_ext._superpixels import TwoDimensional, scores, segment_means
from xai_ext._task import MapResult, Method, Task, density
from xai_ext._types import AnyArray, BoolArray, FloatArray, IntArray
from xai_ext.methods import _diagnostics as diagnostics
from xai_ext.methods._rows import Rows
from xai_ext.methods._standard_error import standard_error
from xai_ext.methods._weightings import PublishedCode, Weighting, check_weighting, importance_ratio
from xai_ext.methods.lime import Cosine, Ridge
from xai_ext.samplers import Bernoulli, Sampler, named_sampler
from xai_ext.segmentation import relabelled

__all__ = ["StratifiedLimeImageExplainer", "methods"]


class StratifiedLimeImageExplainer(LimeImageExplainer):  # type: ignore[misc]
    """A `lime.lime_image.LimeImageExplainer` that draws balanced coalitions and says how sure it is.

    Parameters
    ----------
    kernel_width, kernel, verbose, feature_selection, random_state
        As in lime.
    sampler : name or Sampler
        How coalitions are drawn, with the names of `xai_ext.attr.StratifiedLime`; "host" gives what lime gives, bit
        by bit.
    weighting : {"kernel", "importance", "none"} or PublishedCode
        What the kernel's weight is multiplied with, see `xai_ext.methods.lime.lime`: nothing; the ratio of fair
        coins to the sampler's law; every row weighs 1; the adjustment of the published code, on the distance
        (``PublishedCode(None)``: as often for each label as published). The first row, the image itself, is not a
        draw and keeps the kernel's weight.

    Notes
    -----
    Beyond lime: segments may have any numbers, images any number of channels, and a classifier that returns one
    score per image is one label. The result has ``scores`` and ``local_preds`` per label (lime keeps the last
    label's alone) and ``details``, see `explain_instance`.

    References
    ----------
    .. [1] Ribeiro, Singh, Guestrin, "Why should I trust you?", KDD 2016.
    .. [2] Rashid, Amparore, Ferrari, Verda, "Using stratified sampling to improve LIME image explanations",
       AAAI 2024.
    """

    def __init__(
        self,
        kernel_width: float = 0.25,
        kernel: Callable[..., Any] | None = None,
        verbose: bool = False,
        feature_selection: str = "auto",
        random_state: Any = None,
        *,
        sampler: str | Sampler = "foldover",
        weighting: Weighting = "kernel",
    ) -> None:
        super().__init__(kernel_width, kernel, verbose, feature_selection, random_state)
        if check_weighting(weighting) == "kernelshap":
            raise InputError(
                "weighting='kernelshap' is not a fit of lime's; fix: xai_ext.attr or xai_ext.explainers.StratifiedLime"
            )
        self._is_host = isinstance(sampler, str) and sampler == "host"
        self.sampler = Bernoulli() if self._is_host else named_sampler(sampler, _kernel(kernel, kernel_width))
        self.base: _WeightedBase = _WeightedBase(self.base, self.sampler, weighting)

    def explain_instance(
        self,
        image: AnyArray,
        classifier_fn: Callable[[AnyArray], AnyArray],
        labels: Any = (1,),
        hide_color: Any = None,
        top_labels: int | None = 5,
        num_features: int = 100000,
        num_samples: int = 1000,
        batch_size: int = 10,
        segmentation_fn: Callable[[AnyArray], IntArray] | None = None,
        distance_metric: str = "cosine",
        model_regressor: Any = None,
        random_seed: int | None = None,
    ) -> ImageExplanation:
        """Explain labels of one image, as lime does.

        Takes lime's arguments; `num_samples` counts the image itself.

        Returns
        -------
        lime.lime_image.ImageExplanation
            With, beyond lime's: ``scores`` and ``local_preds``, dicts per label; ``details``, a mapping with
            ``law``, ``weighting``, ``n_evals``, ``ess``, ``ess_ratio``, ``std_error`` (dict per label of arrays
            (n_segments,); empty where lime selected features or `model_regressor` replaced the ridge), and the draws
            themselves: ``coalitions`` (m, n packed into bits), ``weights`` (m,), ``scores`` (m, n_labels).
        """
        check_at_least("num_samples", num_samples, 2)
        image = gray2rgb(image) if image.ndim == 2 else image
        if random_seed is None:
            random_seed = self.random_state.randint(0, high=1000)
        segments = self._segments(image, segmentation_fn, random_seed)
        call = copy.copy(self)
        call.base = self.base.recording()
        result = super(StratifiedLimeImageExplainer, call).explain_instance(
            image, TwoDimensional(classifier_fn), labels,
            segment_means(image, segments) if hide_color is None else hide_color,
            top_labels, num_features, num_samples, batch_size, lambda _: segments,
            distance_metric, model_regressor, random_seed,
        )  # fmt: skip
        explanation = _ImageExplanation(image, segments)
        explanation.__dict__.update(vars(result))
        explanation.scores, explanation.local_preds = call.base.scores, call.base.local_preds
        explanation.details = call.base.details()
        if not any(value for pairs in result.local_exp.values() for _, value in pairs):
            diagnostics.warn_of_zeros("model_regressor", stacklevel=3)
        return explanation

    def data_labels(
        self,
        image: AnyArray,
        fudged_image: AnyArray,
        segments: IntArray,
        classifier_fn: Callable[[AnyArray], AnyArray],
        num_samples: int,
        batch_size: int = 10,
        **kwargs: Any,
    ) -> tuple[IntArray, AnyArray]:
        """Coalitions (num_samples, n_segments), the first all ones, and their scores: lime's hook for samplers."""
        if self._is_host:
            host: tuple[IntArray, AnyArray] = super().data_labels(
                image, fudged_image, segments, classifier_fn, num_samples, batch_size=batch_size, **kwargs
            )
            return host
        n = int(segments.max()) + 1
        rng = np.random.default_rng(self.random_state.randint(2**31 - 1))
        drawn = self.sampler.ask(n, num_samples - 1, rng)
        coalitions = np.concatenate([np.ones((1, n), bool), drawn])
        return coalitions.astype(np.int64), scores(image, fudged_image, segments, classifier_fn, coalitions, batch_size)

    def _segments(
        self, image: AnyArray, segmentation_fn: Callable[[AnyArray], IntArray] | None, random_seed: int
    ) -> IntArray:
        """Segments 0..n-1, whatever their numbers were."""
        if segmentation_fn is None:
            lab = {} if image.shape[-1] == 3 else {"convert2lab": False}
            segmentation_fn = SegmentationAlgorithm(
                "quickshift", kernel_size=4, max_dist=200, ratio=0.2, random_seed=random_seed, **lab
            )
        segments = np.asarray(segmentation_fn(image))
        if segments.shape != image.shape[:2]:
            raise InputError(f"segmentation_fn must return one label per pixel {image.shape[:2]}, got {segments.shape}")
        return relabelled(segments)


class _WeightedBase(LimeBase):  # type: ignore[misc]
    """lime's fit with other weights: each call builds a `LimeBase` whose kernel is the weight of these rows."""

    def __init__(self, base: LimeBase, sampler: Sampler, weighting: Weighting) -> None:
        super().__init__(base.kernel_fn, base.verbose, base.random_state)
        self.sampler, self.weighting = sampler, weighting
        self.scores: dict[int, float] = {}
        self.local_preds: dict[int, float] = {}
        self._std_error: dict[int, FloatArray] = {}
        self._rows: Rows | None = None

    def recording(self) -> "_WeightedBase":
        """One for a single call of the explainer, with nothing in it."""
        return _WeightedBase(self, self.sampler, self.weighting)

    def explain_instance_with_data(
        self,
        neighborhood_data: IntArray,
        neighborhood_labels: AnyArray,
        distances: FloatArray,
        label: int,
        num_features: int,
        feature_selection: str = "auto",
        model_regressor: Any = None,
    ) -> Any:
        """The result of lime for one label."""
        n_labels = neighborhood_labels.shape[1]
        if not -n_labels <= label < n_labels:
            raise InputError(f"labels must index the classifier's {n_labels} outputs, got {label}")
        weights = self._weights(neighborhood_data.astype(bool), distances)
        base = LimeBase(lambda _: weights, self.verbose, self.random_state)
        result = base.explain_instance_with_data(
            neighborhood_data, neighborhood_labels, distances, label, num_features, feature_selection, model_regressor
        )
        _, coefficients, score, local_pred = result
        self.scores[label], self.local_preds[label] = float(score), float(np.ravel(local_pred)[0])
        self._rows = Rows(neighborhood_data.astype(bool), np.asarray(neighborhood_labels, dtype=np.float64), weights, 1)
        if model_regressor is None and len(coefficients) == neighborhood_data.shape[1]:
            self._std_error[label] = self._ridges_error(self._rows.output(label))
        return result

    def details(self) -> MappingProxyType[str, Any]:
        """What the fits of one call had in common, and their standard errors."""
        if self._rows is None:  # no label was asked for
            return MappingProxyType({})
        draws = slice(1, None)
        return MappingProxyType(
            {
                "law": str(self.sampler),
                "weighting": self.weighting,
                "n_evals": len(self._rows.coalitions),
                **diagnostics.of_weights(self._rows, draws),
                "std_error": self._std_error,
                "coalitions": diagnostics.packed(self._rows.coalitions[draws]),
                "weights": self._rows.weights[draws],
                "scores": self._rows.scores[draws],
            }
        )

    def _weights(self, coalitions: BoolArray, distances: FloatArray) -> FloatArray:
        n, sizes = coalitions.shape[1], coalitions.sum(1)
        if self.weighting == "none":
            return np.ones(len(coalitions))
        if isinstance(self.weighting, PublishedCode):
            repeats = self.weighting.repeats or len(self.scores) + 1  # a score for each label fitted before
            with np.errstate(over="ignore"):  # an infinite distance weighs nothing
                return np.asarray(self.kernel_fn(distances * np.exp(PublishedCode(repeats).log_factor(n))[sizes]))
        weights = np.asarray(self.kernel_fn(distances))
        if self.weighting == "importance":
            weights[1:] *= importance_ratio(self.sampler.log_law(n))[sizes[1:]]
        return weights

    def _ridges_error(self, rows: Rows) -> FloatArray:
        surrogate = Ridge(1.0)
        fit = surrogate.fit(rows)
        diagnostics.warn_of_shrinkage(fit.shrinkage, stacklevel=7)
        return standard_error(surrogate, rows, fit, self.sampler, np.random.default_rng(0))[:, 0]


def _kernel(kernel: Callable[..., Any] | None, width: float) -> Callable[[BoolArray], FloatArray]:
    """The kernel of coalitions that lime's of cosine distances amounts to."""
    if kernel is None:
        return Cosine(width)
    return lambda coalitions: np.asarray(kernel(Cosine(width).distance(coalitions), kernel_width=width))


class _ImageExplanation(ImageExplanation):  # type: ignore[misc]
    """lime's, for images of one channel too."""

    def get_image_and_mask(self, *args: Any, **kwargs: Any) -> tuple[AnyArray, IntArray]:
        """As in lime; an image of one channel is drawn in grey."""
        if self.image.shape[-1] > 1:
            drawn: tuple[AnyArray, IntArray] = super().get_image_and_mask(*args, **kwargs)
            return drawn
        grey = ImageExplanation(np.repeat(self.image, 3, axis=-1), self.segments)
        grey.local_exp = self.local_exp
        image, mask = grey.get_image_and_mask(*args, **kwargs)
        return image, mask


def methods() -> list[Method]:
    """lime's, on the shared segments instead of its own."""
    return [Method("lime.Image", "lime", "segments", True, _lime_image)]


def _lime_image(task: Task, *, segments: str = "shared", fill: str = "baseline") -> MapResult:
    """Regions: shared, or lime's "quickshift"; absent ones become the baseline or, lime's default, their "mean"."""
    check_choice("segments", segments, ("shared", "quickshift"))
    check_choice("fill", fill, ("baseline", "mean"))
    explainer = LimeImageExplainer(random_state=np.random.RandomState(task.seed % 2**32))
    with contextlib.redirect_stderr(io.StringIO()):  # its own progress bar
        explanation = explainer.explain_instance(
            task.array(task.x),
            task.column,
            labels=(0,),
            top_labels=None,
            hide_color=task.array(task.baseline) if fill == "baseline" else None,
            num_samples=task.budget,
            batch_size=task.batch_size,
            segmentation_fn=_quickshift if segments == "quickshift" else lambda _: task.labels,
        )
    values = np.array([value for _, value in sorted(explanation.local_exp[0])])
    return MapResult(density(explanation.segments, values))


def _quickshift(image: AnyArray) -> IntArray:
    from xai_ext.segmentation import quickshift

    scaled = (image - image.min()) / max(float(np.ptp(image)), 1e-12)  # to 0..1, which it needs
    return quickshift(scaled, kernel_size=4, max_dist=200, ratio=0.2)
