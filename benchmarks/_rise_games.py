"""Scores of photos under RISE's masks, computed once: the same masks serve all estimators."""

import csv
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from _scenes import faster, network
from PIL import Image

from xai_ext import MaskedModel
from xai_ext.methods._rise_masks import BLOCK, GridMasks
from xai_ext.models import Preprocess

SIDE, BATCH = 112, 16
STREAMS, LENGTH = 8, 1024  # independent runs, masks of each
MORE_STREAMS = 32  # where those leave open which of two estimators is better
PAIRED = 512  # masks in nearly orthogonal pairs of complements, of each run
MODELS = ("lite0", "lite1")
SCORES = ("probability", "log-odds")
PREPROCESS = Preprocess((SIDE, SIDE), round(SIDE / 0.875), (0.498,) * 3, (0.502,) * 3, "bicubic")


@dataclass(frozen=True, eq=False)
class Scored:
    """One photo explained for one network.

    Attributes
    ----------
    photo, model : str
    x : Tensor (1, 3, SIDE, SIDE)
        Normalised; the baseline 0 is grey.
    target : int
        The class that the network gives the photo.
    ends : array (2, 2)
        Scores of the baseline and of the photo.
    scores : array (streams, masks, 2)
        Probability and log-odds of the class under each mask.
    paired : array (streams, PAIRED, 2)
        Those under masks in pairs.
    """

    photo: str
    model: str
    x: torch.Tensor
    target: int
    ends: np.ndarray
    scores: np.ndarray
    paired: np.ndarray

    def law(self):
        """The masks' law: 7 x 7 cells, half of them kept."""
        return law(self.x)

    def blocks(self, stream, *, pairs=False):
        """The masks of one stream with their scores (k, 2)."""
        blocks = masks_of(self.x, self.photo, self.model, stream, pairs=pairs)
        scores = (self.paired if pairs else self.scores)[stream]
        for start in range(0, len(scores), BLOCK):
            yield next(blocks), scores[start : start + BLOCK]


def generator(photo, model, stream):
    """Of one stream of masks."""
    return np.random.default_rng([zlib.crc32(f"{photo} {model}".encode()), stream])


def law(x):
    """The published masks for an image."""
    return GridMasks().law(MaskedModel(lambda x: x, x, batch_size=BATCH))


def masks_of(x, photo, model, stream, *, pairs):
    """Blocks of masks of one stream, single or in pairs."""
    return law(x).blocks(generator(photo, model, stream), pairs=pairs)


def names(folder, limit):
    """Photos of the index, those whose class is the network's first first where the index says so."""
    with (folder / "index.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    return [row["id"] for row in sorted(rows, key=lambda row: int(row.get("rank") or 1))[:limit]]


def read(folder, name):
    """The photo as the network sees it, (1, 3, SIDE, SIDE)."""
    (path,) = (folder / "images").glob(f"{name}.*")
    with Image.open(path) as image:
        return PREPROCESS.normalized(PREPROCESS.crop(image))


class Network:
    """Probability and log-odds of a class, in batches of one size."""

    def __init__(self, model, *, compiled=False):
        self.module = network(model).to(memory_format=torch.channels_last)
        self._fast = faster(self.module) if compiled else self.module

    @torch.no_grad()
    def logits(self, images):
        """Logits (k, 1000)."""
        filled = torch.cat([images, images[:1].expand(-len(images) % BATCH, *images.shape[1:])])
        parts = filled.contiguous(memory_format=torch.channels_last).split(BATCH)
        return torch.cat([self._fast(p).clone() for p in parts])[: len(images)]

    def scores(self, images, target):
        """Scores (k, 2) float64."""
        logits = self.logits(images).double()
        others = torch.cat([logits[:, :target], logits[:, target + 1 :]], 1).logsumexp(1)
        odds = logits[:, target] - others
        return torch.stack([odds.sigmoid(), odds], 1).numpy()


def scored(folder, name, model, module, streams):
    """All scores of one photo."""
    x = read(folder, name)
    target = int(module.logits(x)[0].argmax())
    ends = module.scores(torch.cat([torch.zeros_like(x), x]), target)
    runs = {pairs: np.empty((streams, n, len(SCORES))) for pairs, n in ((False, LENGTH), (True, PAIRED))}
    for pairs, scores in runs.items():
        for stream in range(streams):
            blocks = masks_of(x, name, model, stream, pairs=pairs)
            for start in range(0, scores.shape[1], BLOCK):
                keep = next(blocks).keep[0]
                scores[stream, start : start + BLOCK] = module.scores(keep[:, None] * x, target)
    return Scored(name, model, x, target, ends, runs[False], runs[True])


class Games:
    """Photos and networks; a game is scored once."""

    def __init__(self, folder: Path, cache: Path, *, compiled=False):
        self._folder, self._cache, self._compiled = folder, cache, compiled
        self._networks = {}
        cache.mkdir(parents=True, exist_ok=True)

    def all(self, limit, models=MODELS):
        """One after the other."""
        for name in names(self._folder, limit):
            for model in models:
                yield self.one(name, model)

    def one(self, name, model, streams=STREAMS):
        """With so many streams of masks; the first are the same for any number."""
        path = self._cache / f"{name}.{model}.{SIDE}.{streams}x{LENGTH}+{PAIRED}.npz"
        if not path.exists():
            if model not in self._networks:
                self._networks[model] = Network(model, compiled=self._compiled)
            found = scored(self._folder, name, model, self._networks[model], streams)
            np.savez_compressed(
                path, **{field: getattr(found, field) for field in ("target", "ends", "scores", "paired")}
            )
        with np.load(path) as saved:
            arrays = (saved[field] for field in ("ends", "scores", "paired"))
            return Scored(name, model, read(self._folder, name), int(saved["target"]), *arrays)
