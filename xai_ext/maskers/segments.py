"""An image whose players are regions, for SHAP."""

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from shap.maskers import Masker
from torch import Tensor

from xai_ext._checks import InputError, InputTypeError, check_labels
from xai_ext._forward import on_host
from xai_ext._shap_compat import Deserializer, Serializer
from xai_ext._types import AnyArray, BoolArray, FloatArray, IntArray
from xai_ext.maskers._row_cache import RowCache
from xai_ext.segmentation import Segmentation, relabelled, slic

_BLUR = re.compile(r"blur\((\d+), ?(\d+)\)")


class Segments(Masker):  # type: ignore[misc]
    """Masks an image region by region.

    Parameters
    ----------
    image : array (H, W, C), or that shape
        What the rows to explain look like.
    baseline : number, array (C,), array (H, W, C), "mean", "blur(kx,ky)" or callable
        What takes the place of an absent region. The blur is SHAP's: a box of that many pixels. A callable takes
        and returns tensors (1, C, H, W), as those of `xai_ext.baselines` do.
    labels : integer array (H, W), or callable image -> labels
        The regions; default `xai_ext.segmentation.slic`, called for each row.

    Attributes
    ----------
    shape : (1, H * W)
        SHAP's own algorithms see every pixel as a player.
    image_shape : (H, W, C)
    """

    image_data = True
    immutable_outputs = True
    default_batch_size = 64

    def __init__(
        self,
        image: Any,
        baseline: float | str | AnyArray | Callable[..., Tensor] = 0.0,
        labels: AnyArray | Segmentation = slic,
    ) -> None:
        shape = tuple(image) if isinstance(image, tuple | list) else tuple(np.shape(image))
        if len(shape) != 3:
            raise InputError(f"image must be an array (H, W, C) or that shape, got {shape}; fix: image[..., None]")
        self.image_shape: tuple[int, int, int] = (int(shape[0]), int(shape[1]), int(shape[2]))
        self.shape = (1, self.image_shape[0] * self.image_shape[1])
        self.baseline = _checked_baseline(baseline, self.image_shape)
        self.labels = labels if callable(labels) else _checked_labels(labels, self.image_shape)
        self._cache: RowCache[AnyArray] = RowCache()
        self.fixed_background = not (callable(baseline) or isinstance(baseline, str))

    def __call__(self, mask: Any, x: Any) -> tuple[AnyArray]:
        """The masked image, a tuple of one array (1, H, W, C); ``x`` is not written to."""
        array = self.row(x)
        keep = _pixel_mask(mask, self.image_shape)
        return (np.where(keep[:, :, None], array, self.baseline_of(array))[None],)

    def mask_shapes(self, x: Any) -> list[tuple[int, int, int]]:
        """Shape of the values of one row: one per pixel."""
        return [(*self.image_shape[:2], 1)]

    def labels_of(self, x: AnyArray) -> IntArray:
        """The region of each pixel of one row, (H, W), ids 0..n-1."""
        labels = self.labels
        if not callable(labels):
            return labels
        return self._cache("labels", self.row(x), lambda row: _checked_labels(labels(row), self.image_shape))

    def baseline_of(self, x: AnyArray) -> AnyArray:
        """What takes the place of absent regions of one row, (H, W, C), in its dtype."""
        if self.fixed_background:
            return np.broadcast_to(np.asarray(self.baseline), self.image_shape).astype(x.dtype)
        return self._cache("baseline", self.row(x), self._computed_baseline)

    def row(self, x: Any) -> AnyArray:
        """One row as an array (H, W, C)."""
        array = on_host(x)
        if array.shape != self.image_shape:
            raise InputError(
                f"this masker was made for images of shape {self.image_shape}, got a row of shape {array.shape}; "
                "fix: pass a batch of such images, x[None] for a single one"
            )
        return array

    def save(self, out_file: Any) -> None:
        """Write the masker to a file object, as SHAP does."""
        super().save(out_file)
        with Serializer(out_file, "xai_ext.Segments", version=0) as s:
            s.save("arguments", {"image": self.image_shape, "baseline": self.baseline, "labels": self.labels})

    @classmethod
    def load(cls, in_file: Any, instantiate: bool = True) -> Any:
        """Read a masker from a file object; ``instantiate=False`` returns its constructor's arguments."""
        if instantiate:
            return cls._instantiated_load(in_file)
        arguments = super().load(in_file, instantiate=False)
        with Deserializer(in_file, "xai_ext.Segments", min_version=0, max_version=0) as s:
            return dict(arguments, **s.load("arguments"))

    def _computed_baseline(self, x: AnyArray) -> AnyArray:
        if callable(self.baseline):
            image = self.baseline(torch.from_numpy(np.array(x)).movedim(-1, 0)[None])[0]
            return np.asarray(image.movedim(0, -1).cpu().numpy()).astype(x.dtype)
        values = x.astype(np.float64)
        if self.baseline == "mean":
            filled: AnyArray = np.broadcast_to(values.mean((0, 1)), x.shape)
        else:
            filled = _box_blur(values, str(self.baseline))
        return (filled if np.issubdtype(x.dtype, np.floating) else filled.round()).astype(x.dtype)


def _checked_baseline(baseline: Any, shape: tuple[int, int, int]) -> Any:
    if isinstance(baseline, str):
        if baseline != "mean" and not _BLUR.fullmatch(baseline):
            raise InputError(f'baseline must be a number, an array, "mean" or "blur(kx,ky)", got {baseline!r}')
        return baseline
    if callable(baseline):
        return baseline
    array = np.asarray(baseline)
    if not np.issubdtype(array.dtype, np.number) and array.dtype != bool:
        raise InputTypeError(f'baseline must be a number, an array, "mean" or "blur(kx,ky)", got {baseline!r}')
    if array.shape not in ((), shape[2:], shape):
        raise InputError(f"a baseline array must be ({shape[2]},) or {shape}, got {array.shape}")
    return baseline


def _checked_labels(labels: Any, shape: tuple[int, int, int]) -> IntArray:
    array = np.asarray(labels)
    if array.shape != shape[:2]:
        raise InputError(f"labels must be an integer array of shape {shape[:2]}, got {array.dtype} {array.shape}")
    return relabelled(check_labels(torch.from_numpy(array)).numpy())


def _pixel_mask(mask: Any, shape: tuple[int, int, int]) -> BoolArray:
    """SHAP's forms of a mask: True or None keeps all, False nothing, else one bool per pixel."""
    if mask is None or isinstance(mask, bool | np.bool_):
        return np.full(shape[:2], mask is None or bool(mask))
    array = np.asarray(mask)
    if array.size != shape[0] * shape[1]:
        raise InputError(f"mask must hold one bool per pixel ({shape[0] * shape[1]}), got {array.size}")
    return array.astype(bool).reshape(shape[:2])


def _box_blur(values: FloatArray, name: str) -> FloatArray:
    from scipy.ndimage import uniform_filter

    match = _BLUR.fullmatch(name)
    kx, ky = (int(k) for k in match.groups()) if match else (1, 1)
    return np.asarray(uniform_filter(values, (ky, kx, 1), mode="mirror"))
