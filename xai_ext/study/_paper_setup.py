"""The three setups of the published study, for reproduction."""

import contextlib
import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from xai_ext._checks import InputError, check_at_least, check_choice
from xai_ext._types import AnyArray, FloatArray, IntArray
from xai_ext.anomaly import ReconstructionScore
from xai_ext.study._explain_table import PaperMap, _mask

SETUPS = ("S1", "S2", "S3")
VARIANTS = ("code", "text", "decision")
_SEED, _BATCH, _STEPS = 1234, 200, 40


def paper_setup(
    score: ReconstructionScore,
    x: Tensor,
    mask: Tensor | AnyArray | None = None,
    *,
    setup: str,
    variant: str = "code",
    n_samples: int = 5000,
    n_segments: int = 100,
) -> PaperMap:
    """A map as the published study [1]_ made it, with lime's and SHAP's own explainers.

    Parameters
    ----------
    score : ReconstructionScore
    x : Tensor (1, C, H, W)
    mask : bool array (H, W)
        The truth, which setup S2 puts into its segmentation.
    setup : {"S1", "S2", "S3"}
        lime on quickshift segments of the mean of image and reconstruction (variant "text": of the image); the same
        with the truth mixed in, an oracle; SHAP's partition explainer on pixels. The reconstruction stands for what is
        absent.
    variant : {"code", "text", "decision"}
        What is explained: the sum of squared residuals, run again for every masked image (of S3's map the first
        channel is taken alone); the mean squared difference between x and the masked image, sign turned so that
        positive is anomalous; the decision function.
    n_samples, n_segments : int
        Of lime (SHAP: evaluations); quickshift's ``max_dist`` is bisected until there are so many segments, at most
        40 times.

    References
    ----------
    .. [1] Rashid, Amparore, Ferrari, Verda, "Can I trust my anomaly detection system?", arXiv 2407.19951 (2024).
    """
    check_choice("setup", setup, SETUPS)
    check_choice("variant", variant, VARIANTS)
    check_at_least("n_samples", n_samples, 4)
    if setup == "S2" and mask is None:
        raise InputError("setup S2 needs mask=: its segmentation looks at the truth, which makes it an oracle")
    scene = _Scene(score, x, score.reference(x))
    explained = _EXPLAINED[variant](scene)
    if setup == "S3":
        values = _partition(scene, explained, n_samples, first_channel=variant == "code")
        return PaperMap(values, setup, variant, False, None, explained.rows)
    labels = _segments(_picture(scene, setup, variant, mask), n_segments)
    values = _lime(scene, explained, labels, n_samples)
    return PaperMap(values, setup, variant, setup == "S2", int(labels.max()) + 1, explained.rows)


@dataclass(frozen=True, eq=False)
class _Scene:
    score: ReconstructionScore
    x: Tensor
    reference: Tensor

    def array(self, tensor: Tensor) -> FloatArray:
        """(H, W, C) float64."""
        return np.ascontiguousarray(tensor[0].movedim(0, -1).cpu().double().numpy())


class _Counted:
    """A function of arrays (k, H, W, C or 3) -> (k, 1); counts its rows."""

    def __init__(self, scene: _Scene, function: Callable[[Tensor], Tensor]) -> None:
        self.scene, self.function, self.rows = scene, function, 0

    def __call__(self, images: AnyArray) -> FloatArray:
        self.rows += len(images)
        z = torch.from_numpy(np.ascontiguousarray(images)).movedim(-1, 1)[:, : self.scene.x.shape[1]]
        with torch.no_grad():
            return self.function(z.to(self.scene.x)).double().cpu().numpy()[:, None]


def _code(scene: _Scene) -> _Counted:
    return _Counted(scene, lambda z: ((scene.score.reconstruct(z) - z) ** 2).flatten(1).sum(1))


def _text(scene: _Scene) -> _Counted:
    """Grows as pixels of x are taken away, so its negative is positive on anomalous pixels."""
    return _Counted(scene, lambda z: -((scene.x - z) ** 2).flatten(1).mean(1))


def _decision(scene: _Scene) -> _Counted:
    return _Counted(scene, scene.score)


_EXPLAINED: dict[str, Callable[[_Scene], _Counted]] = {"code": _code, "text": _text, "decision": _decision}


def _picture(scene: _Scene, setup: str, variant: str, mask: Any) -> FloatArray:
    """What is segmented, (H, W, 3)."""
    x, reference = scene.array(scene.x), scene.array(scene.reference)
    if setup == "S2":
        picture = 0.33 * x + 0.33 * reference + 0.34 * _mask(mask, scene.x)[:, :, None]
    else:
        picture = x if variant == "text" else 0.5 * x + 0.5 * reference
    return _rgb(picture)


def _segments(picture: FloatArray, n_segments: int) -> IntArray:
    """Quickshift with as many segments as asked for, or as close as the bisection came."""
    from skimage.segmentation import quickshift

    low, high = 0.0, 100.0
    best: IntArray | None = None
    for _ in range(_STEPS):
        middle = (low + high) / 2
        labels = quickshift(picture, kernel_size=2, max_dist=middle, ratio=0.95, sigma=0.05, rng=_SEED)
        count = int(labels.max()) + 1
        if best is None or abs(count - n_segments) < abs(int(best.max()) + 1 - n_segments):
            best = labels.astype(np.int64)
        if count == n_segments:
            break
        low, high = (middle, high) if count > n_segments else (low, middle)
    assert best is not None
    return best


def _lime(scene: _Scene, explained: _Counted, labels: IntArray, n_samples: int) -> FloatArray:
    from xai_ext.lime_image import StratifiedLimeImageExplainer

    explainer = StratifiedLimeImageExplainer(random_state=_SEED, sampler="host")
    with contextlib.redirect_stderr(io.StringIO()):  # its progress bar
        found = explainer.explain_instance(
            _rgb(scene.array(scene.x)), explained, labels=(0,), top_labels=None, num_samples=n_samples,
            batch_size=_BATCH, hide_color=_rgb(scene.array(scene.reference)), segmentation_fn=lambda _: labels,
            random_seed=_SEED,
        )  # fmt: skip
    coefficients = np.zeros(int(labels.max()) + 1)
    for segment, coefficient in found.local_exp[0]:
        coefficients[segment] = coefficient
    return np.asarray(coefficients[labels])


def _partition(scene: _Scene, explained: _Counted, n_samples: int, *, first_channel: bool) -> FloatArray:
    from xai_ext.explainers._builtin import partition_values

    image, reference = scene.array(scene.x), scene.array(scene.reference)
    values = partition_values(explained, image, reference, n_samples, _BATCH, _SEED)
    return np.asarray(values[..., 0] if first_channel else values.sum(-1))


def _rgb(picture: FloatArray) -> FloatArray:
    return np.repeat(picture, 3, axis=2) if picture.shape[2] == 1 else picture
