"""Data and networks of anomaly.py: textures, real tiles by path, trained networks kept in a folder."""

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from xai_ext.anomaly import VAEGAN, texture_defects, train_vae_gan
from xai_ext.anomaly.vae_gan import Augmentation

SIDE, HALF = 64, 2
FLIPS = Augmentation(degrees=0, shift=0, zoom=0, brightness=(1, 1))  # across and upside down, nothing else
PATCHES = {"train": 1500, "calibration": 200, "good": 150}
MEAN, DEVIATION = 0.5, 0.12


def network(cache, name, images, preset="small", seed=0, augment=None):
    """A trained network, read from `cache` where it was kept."""
    path = cache / f"{name}_{preset}{'_flips' if augment is FLIPS else ''}_{seed}.safetensors"
    if not path.is_file():
        cache.mkdir(parents=True, exist_ok=True)
        train_vae_gan(images, preset, seed=seed, device="cpu", augment=augment).save(path)
    return VAEGAN.load(path)


@dataclass(frozen=True, eq=False)
class Tiles:
    """Patches (N, 1, 64, 64) of half-size grey tiles, each brought to mean .5 and deviation .12."""

    train: torch.Tensor
    calibration: torch.Tensor
    good: torch.Tensor
    bad: dict[str, torch.Tensor]
    masks: dict[str, torch.Tensor]


def tiles(folder, seed=0):
    """Normal patches of three disjoint sets of tiles, and per defect one patch around it."""
    rows = list(csv.DictReader((folder / "index.csv").open()))
    free = sorted(r["image"] for r in rows if r["defect"] == "Free")
    order = np.random.default_rng(seed).permutation(len(free))
    shares = np.split(order, [int(0.6 * len(free)), int(0.8 * len(free))])
    splits = {}
    for i, (name, part) in enumerate(zip(PATCHES, shares, strict=True)):
        rng = np.random.default_rng([seed, i])
        pictures = [p for p in (half(folder / free[j]) for j in part) if min(p.shape) >= SIDE]
        made = [patch(pictures[rng.integers(len(pictures))], rng) for _ in range(PATCHES[name])]
        splits[name] = as_tensor(made)
    bad, masks = {}, {}
    for defect in ("Blowhole", "Break", "Crack"):
        pairs = [around(folder, r) for r in rows if r["defect"] == defect]
        kept = [p for p in pairs if p is not None]
        bad[defect] = as_tensor([p for p, _ in kept])
        masks[defect] = torch.from_numpy(np.array([m for _, m in kept]))
    return Tiles(**splits, bad=bad, masks=masks)


def half(path, how=Image.Resampling.BOX):
    """A grey picture at half its size, 0..1."""
    image = Image.open(path).convert("L")
    return np.asarray(image.resize((image.width // HALF, image.height // HALF), how), np.float32) / 255


def patch(picture, rng):
    top, left = (int(rng.integers(0, side - SIDE + 1)) for side in picture.shape)
    return picture[top : top + SIDE, left : left + SIDE]


def around(folder, row):
    """The patch whose centre is nearest to that of the defect, and its mask; None where the tile is too small."""
    picture = half(folder / row["image"])
    mask = half(folder / row["mask"], Image.Resampling.NEAREST) > 0.5
    if min(picture.shape) < SIDE or not mask.any():
        return None
    centre = np.argwhere(mask).mean(0)
    top, left = (int(np.clip(round(c) - SIDE // 2, 0, side - SIDE)) for c, side in zip(centre, mask.shape, strict=True))
    part = mask[top : top + SIDE, left : left + SIDE]
    return (picture[top : top + SIDE, left : left + SIDE], part) if part.any() and not part.all() else None


def as_tensor(patches):
    """Each patch with mean .5 and standard deviation .12, clipped to 0..1."""
    x = torch.from_numpy(np.array(patches, np.float32))[:, None]
    mean, deviation = x.mean((2, 3), keepdim=True), x.std((2, 3), keepdim=True).clamp(min=1e-3)
    return (MEAN + DEVIATION * (x - mean) / deviation).clamp(0, 1)


def textures(name):
    return texture_defects(name, n_nuisance=80)


if __name__ == "__main__":
    import sys

    torch.set_num_threads(1)
    cache, wanted = Path(sys.argv[1]), sys.argv[2:]
    for item in wanted:
        name, preset, seed, *flips = item.split(":")
        data = tiles(Path(name)) if "/" in name else textures(name)
        augment = FLIPS if flips else None
        network(cache, "tiles" if "/" in name else name, data.train, preset, int(seed), augment)
        print(item, "done", flush=True)
