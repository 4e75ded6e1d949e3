"""From a photo to a model's input, and a mask the same way."""

from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from xai_ext._checks import InputError, check_at_least, check_choice
from xai_ext._types import AnyArray, BoolArray


@dataclass(frozen=True)
class Preprocess:
    """Resize the shorter side, crop the centre, scale to 0..1, normalise.

    Parameters
    ----------
    size : (int, int)
        Height and width of the crop, pixels.
    resize : int
        Length of the shorter side before the crop, pixels.
    mean, std : tuple of 3 floats
        Of the normalisation, per RGB channel, in units of 0..1.
    interpolation : {"nearest", "bilinear", "bicubic", "lanczos", "box", "hamming"}
    """

    size: tuple[int, int]
    resize: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    interpolation: str = "bicubic"

    def __post_init__(self) -> None:
        for name, value in (("size[0]", self.size[0]), ("size[1]", self.size[1]), ("resize", self.resize)):
            check_at_least(name, value, 1)
        for name, values in (("mean", self.mean), ("std", self.std)):
            if np.shape(values) != (3,) or not np.isfinite(values).all():
                raise InputError(f"{name} must be three finite numbers, got {values}")
        if not np.all(self.std):
            raise InputError(f"std must not be 0, got {self.std}")
        check_choice("interpolation", self.interpolation, [how.name.lower() for how in Image.Resampling])

    def __call__(self, image: Image.Image) -> Tensor:
        """The model's input, (1, 3, H, W) float32."""
        return self.normalized(self.crop(image))

    def crop(self, image: Image.Image) -> AnyArray:
        """What the model sees of a photo, (H, W, 3) uint8."""
        return np.asarray(self._resized_crop(image.convert("RGB"), Image.Resampling[self.interpolation.upper()]))

    def crop_mask(self, mask: BoolArray) -> BoolArray:
        """The same part of a mask (H, W) of the photo; nearest neighbour."""
        image = Image.fromarray(np.asarray(mask, dtype=np.uint8) * 255)
        return np.asarray(self._resized_crop(image, Image.Resampling.NEAREST)) > 127

    def normalized(self, pixels: AnyArray) -> Tensor:
        """Pixels (H, W, 3) uint8 as the model's input, (1, 3, H, W) float32."""
        x = torch.from_numpy(np.array(pixels)).movedim(-1, 0)[None].float() / 255
        mean, std = (torch.tensor(v).reshape(1, -1, 1, 1) for v in (self.mean, self.std))
        return (x - mean) / std

    def _resized_crop(self, image: Image.Image, how: Image.Resampling) -> Image.Image:
        width, height = image.size
        scale = self.resize / min(width, height)
        resized = image.resize((max(1, round(width * scale)), max(1, round(height * scale))), how)
        left, top = (resized.width - self.size[1]) // 2, (resized.height - self.size[0]) // 2
        return resized.crop((left, top, left + self.size[1], top + self.size[0]))
