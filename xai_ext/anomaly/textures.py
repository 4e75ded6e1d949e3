"""Photographed textures with drawn defects: data whose truth is known exactly, without a download."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from xai_ext._checks import InputError, check_at_least, check_choice
from xai_ext._types import BoolArray, FloatArray

__all__ = ["TextureDefects", "texture_defects"]

TEXTURES = ("brick", "gravel", "grass")
KINDS = ("blob", "scratch", "patch")
_SPLITS = {"train": 0, "calibration": 1, "good": 2, "bad": 3, "gain": 4, "noise": 5, "gradient": 6, "mark": 7}
_FOOLED = 8
_TRAIN_ROWS = 340


@dataclass(frozen=True, eq=False)
class TextureDefects:
    """Images of one texture, float32 (N, 1, s, s) in 0..1.

    Attributes
    ----------
    texture : str
    seed, size : int
    train, calibration, good : Tensor
        Normal. Training crops come from other rows of the photo than all others.
    bad, clean : Tensor
        With a defect, and the same crops before it was drawn: the exact counterfactual.
    masks : bool Tensor (N, s, s)
        Where `bad` was drawn upon.
    kinds : tuple of str
        "blob", "scratch" or "patch" (a crop of grass: the hard one).
    nuisance : dict of Tensor
        Changes that are no defects: "gain", "noise", "gradient" (of the light), "mark" (a label in a corner).
    """

    texture: str
    seed: int
    size: int
    train: Tensor
    calibration: Tensor
    good: Tensor
    bad: Tensor
    clean: Tensor
    masks: Tensor
    kinds: tuple[str, ...]
    nuisance: dict[str, Tensor]

    def fooled(self) -> tuple[Tensor, Tensor]:
        """The images with a mark, and masks (N, s, s) of a square darkened by 2 %: a flag has another reason."""
        images, masks = self.nuisance["mark"].clone(), torch.zeros(len(self.nuisance["mark"]), self.size, self.size)
        side = self.size // 8
        for i, image in enumerate(images):
            top, left = np.random.default_rng([self.seed, _FOOLED, i]).integers(3 * side, self.size - 2 * side, 2)
            image[:, top : top + side, left : left + side] *= 0.98
            masks[i, top : top + side, left : left + side] = 1
        return images, masks > 0


def texture_defects(
    texture: str = "brick",
    *,
    size: int = 64,
    n_train: int = 2000,
    n_calibration: int = 300,
    n_good: int = 200,
    n_bad: int = 150,
    n_nuisance: int = 80,
    seed: int = 0,
) -> TextureDefects:
    """Crops of a photo that ships with scikit-image (CC0), with and without defects.

    Item i of a split never depends on how many items there are.

    Parameters
    ----------
    texture : {"brick", "gravel", "grass"}
    size : int, pixels
        16 to 172: every other split comes from the photo's last 172 rows.
    n_train, n_calibration, n_good, n_bad, n_nuisance : int
        The last one for each nuisance.
    seed : int
    """
    check_choice("texture", texture, TEXTURES)
    if not 16 <= size <= 512 - _TRAIN_ROWS:
        raise InputError(f"size must lie between 16 and {512 - _TRAIN_ROWS} pixels, got {size}")
    photo, grass = _photo(texture), _photo("grass")

    check_at_least("n_bad", n_bad, 0)

    def crops(split: str, n: int, change: Callable[..., FloatArray] | None = None) -> Tensor:
        check_at_least(f"number of {split} images", n, 0)
        made = [_item(photo, size, split, np.random.default_rng([seed, _SPLITS[split], i]), change) for i in range(n)]
        return torch.from_numpy(np.array(made, dtype=np.float32).reshape(n, 1, size, size))

    bad, masks = np.zeros((n_bad, size, size), np.float32), np.zeros((n_bad, size, size), bool)
    for i in range(n_bad):
        rng = np.random.default_rng([seed, _SPLITS["bad"], i])
        image = _crop(photo, size, _TRAIN_ROWS, 512, rng)
        bad[i], masks[i] = _DEFECTS[KINDS[i % 3]](image, rng, grass)
    return TextureDefects(
        texture=texture,
        seed=seed,
        size=size,
        train=crops("train", n_train),
        calibration=crops("calibration", n_calibration),
        good=crops("good", n_good),
        bad=torch.from_numpy(bad)[:, None],
        clean=crops("bad", n_bad),
        masks=torch.from_numpy(masks),
        kinds=tuple(KINDS[i % 3] for i in range(n_bad)),
        nuisance={name: crops(name, n_nuisance, change) for name, change in _NUISANCES.items()},
    )


def _photo(name: str) -> FloatArray:
    import skimage.data

    return np.asarray(getattr(skimage.data, name)() / 255.0)


def _item(
    photo: FloatArray, size: int, split: str, rng: np.random.Generator, change: Callable[..., FloatArray] | None
) -> FloatArray:
    low, high = (0, _TRAIN_ROWS) if split == "train" else (_TRAIN_ROWS, 512)
    image = _crop(photo, size, low, high, rng)
    return image if change is None else change(image, rng).clip(0, 1)


def _crop(photo: FloatArray, size: int, low: int, high: int, rng: np.random.Generator) -> FloatArray:
    row, column = rng.integers(low, high - size + 1), rng.integers(0, photo.shape[1] - size + 1)
    crop = photo[row : row + size, column : column + size]
    return np.array(crop[:, ::-1] if rng.random() < 0.5 else crop)


def _blob(image: FloatArray, rng: np.random.Generator, grass: FloatArray) -> tuple[FloatArray, BoolArray]:
    s = len(image)
    centre, radii = rng.uniform(0.2 * s, 0.8 * s, 2), rng.uniform(0.06 * s, 0.14 * s, 2)
    at = (np.indices(image.shape) - centre[:, None, None]) / radii[:, None, None]
    mask = (at**2).sum(0) <= 1
    return np.where(mask, image * 0.25, image), mask


def _scratch(image: FloatArray, rng: np.random.Generator, grass: FloatArray) -> tuple[FloatArray, BoolArray]:
    from skimage.draw import line

    s = len(image)
    start, angle, length = rng.uniform(0.1 * s, 0.9 * s, 2), rng.uniform(0, np.pi), rng.uniform(0.3 * s, 0.6 * s)
    end = (start + length * np.array([np.sin(angle), np.cos(angle)])).clip(0, s - 1)
    rows, columns = line(*start.astype(int), *end.astype(int))
    mask = np.zeros(image.shape, bool)
    for down, right in ((0, 0), (0, 1), (1, 0)):
        mask[(rows + down).clip(max=s - 1), (columns + right).clip(max=s - 1)] = True
    return np.where(mask, (image + 0.5).clip(0, 1), image), mask


def _patch(image: FloatArray, rng: np.random.Generator, grass: FloatArray) -> tuple[FloatArray, BoolArray]:
    s = len(image)
    height, width = rng.integers(int(np.ceil(0.15 * s)), int(0.3 * s) + 1, 2)
    top, left = rng.integers(0, s - height + 1), rng.integers(0, s - width + 1)
    y, x = rng.integers(0, len(grass) - height + 1), rng.integers(0, len(grass) - width + 1)
    mask = np.zeros(image.shape, bool)
    mask[top : top + height, left : left + width] = True
    changed = image.copy()
    changed[mask] = grass[y : y + height, x : x + width].ravel()
    return changed, mask


def _gain(image: FloatArray, rng: np.random.Generator) -> FloatArray:
    return image * 1.25


def _noise(image: FloatArray, rng: np.random.Generator) -> FloatArray:
    return image + rng.normal(0, 0.06, image.shape)


def _gradient(image: FloatArray, rng: np.random.Generator) -> FloatArray:
    return image + np.linspace(-0.12, 0.12, image.shape[1])


def _mark(image: FloatArray, rng: np.random.Generator) -> FloatArray:
    marked = image.copy()
    marked[2:8, 2:14] = 0.95
    marked[3:7, 3:13] = 0.05
    return marked


_DEFECTS = {"blob": _blob, "scratch": _scratch, "patch": _patch}
_NUISANCES = {"gain": _gain, "noise": _noise, "gradient": _gradient, "mark": _mark}
