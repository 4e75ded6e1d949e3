"""The scenes, methods and metrics of `iassa_refinement.py`."""

import contextlib
import csv
import io
import warnings
import zlib
from dataclasses import dataclass, replace

import numpy as np
import torch
from _localisation import REQUEST, peer
from _scenes import Remembering
from lime.lime_image import LimeImageExplainer
from PIL import Image
from torch import nn

from xai_ext import MaskedModel, segmentation
from xai_ext._task import CountedModel
from xai_ext.attr import StratifiedLime
from xai_ext.methods.iassa import Attention, Level, Schedule, iassa
from xai_ext.methods.rise import GridMasks, rise
from xai_ext.metrics import MaskArea, Protocol, iou, pointing_game
from xai_ext.models import Preprocess
from xai_ext.study.iassa_poster import REGION, iteration_maps, published_scores

SIDE = 112
BUDGET = 1000
RISE_MASKS = 4000
TOLERANCE = 15 * SIDE / 224
STEPS = Schedule((Level((22, 22), (8, 8)), Level((16, 16), (4, 4)), Level((11, 11), (2, 2))))
PREPROCESS = Preprocess((SIDE, SIDE), round(SIDE / 0.875), (0.498,) * 3, (0.502,) * 3, "bicubic")
MEAN, STD = 0.498, 0.502


class Probability(nn.Module):
    """Softmax probabilities of a network that remembers."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, images):
        """(k, n_classes)."""
        return self.network(images).double().softmax(1)  # in float32 a sure network's drops are all 0


class OfClass(nn.Module):
    """The probability of one class, (k,)."""

    def __init__(self, probabilities, target):
        super().__init__()
        self.probabilities, self.target = probabilities, target

    def forward(self, images):
        """Of images (k, C, H, W)."""
        return self.probabilities(images)[:, self.target]


@dataclass(frozen=True, eq=False)
class Scene:
    """A photo, its object, and the probability of the object's class."""

    name: str
    pixels: np.ndarray
    x: torch.Tensor
    truth: np.ndarray
    target: int
    probabilities: Probability

    @property
    def seed(self):
        """Belongs to the photo."""
        return zlib.crc32(self.name.encode())

    @property
    def forward(self):
        """The explained score."""
        return OfClass(self.probabilities, self.target)

    def masked(self):
        """Input, grey baseline and score."""
        return MaskedModel(self.forward, self.x, 0.0, batch_size=REQUEST)


def scenes(folder, network, limit):
    """The photos on which the network is surest of the object's class."""
    with (folder / "index.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    probabilities = Probability(network)
    found = [scene_of(folder, row["id"], int(row["imagenet_idx"]), probabilities) for row in rows]
    found.sort(key=lambda s: -float(probabilities(s.x)[0, s.target]))
    network.known.clear()
    return found[:limit]


def scene_of(folder, name, target, probabilities):
    (path,) = (folder / "images").glob(f"{name}.*")
    with Image.open(path) as image:
        pixels = PREPROCESS.crop(image)
    truth = PREPROCESS.crop_mask(np.asarray(Image.open(folder / "masks" / f"{name}.png").convert("L")) > 0)
    return Scene(name, pixels, PREPROCESS.normalized(pixels), truth, target, probabilities)


def own_scenes(folder, network, limit):
    """The first photos of the index, explained for the class that the network itself gives them."""
    with (folder / "index.csv").open(newline="") as file:
        names = list(dict.fromkeys(row["id"] for row in csv.DictReader(file)))[:limit]
    probabilities = Probability(network)
    for name in names:
        scene = scene_of(folder, name, 0, probabilities)
        yield replace(scene, target=int(probabilities(scene.x)[0].argmax()))


def refine(scene, schedule, budget=10**6, attention=None):
    """An IASSA run; a network that remembers must compute the photo again for its features to be seen."""
    if attention is not None and attention.source == "features":
        network: Remembering = scene.probabilities.network
        network.known.clear()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a certain score, told in the diagnostics
        return iassa(scene.masked(), schedule, budget=budget, attention=attention)


def limes(scene):
    """Lime with its defaults: quickshift, 1000 samples, regions filled with their mean colour."""

    def predict(images):
        rows = torch.from_numpy((np.ascontiguousarray(images) - MEAN) / STD).movedim(-1, 1).float()
        return scene.forward(rows)[:, None].numpy()

    explainer = LimeImageExplainer(random_state=np.random.RandomState(scene.seed))
    with contextlib.redirect_stderr(io.StringIO()):
        found = explainer.explain_instance(
            scene.pixels / 255, predict, labels=(0,), top_labels=None, num_samples=BUDGET, batch_size=REQUEST
        )
    weights = np.zeros(int(found.segments.max()) + 1)
    for segment, weight in found.local_exp[0]:
        weights[segment] = weight
    return weights[found.segments], BUDGET


def rises(scene, masks=None, **options):
    """RISE, budget and estimator in the options."""
    found = rise(scene.masked(), masks or GridMasks(), rng=scene.seed, **options)
    return found.region_map(), found.n_evals


def iassas(scene, attention=None):
    """With its default schedule and budget."""
    attention = attention and Attention(attention)
    found = refine(scene, Schedule.geometric((SIDE, SIDE)), BUDGET, attention)
    return found.region_map(), found.n_evals


def stratified_limes(scene):
    """On 50 regions."""
    regions = segmentation.slic(scene.pixels, n_segments=50)
    (found,) = StratifiedLime(scene.probabilities).explain(
        scene.x, 0.0, scene.target, feature_mask=torch.from_numpy(regions), n_samples=BUDGET,
        perturbations_per_eval=REQUEST, seed=scene.seed,
    )  # fmt: skip
    return found.density_map(), found.n_evals


@dataclass(frozen=True, eq=False)
class _PeerScene:
    """What `_localisation.peer` reads of a scene."""

    x: torch.Tensor
    target: int
    regions: np.ndarray
    seed: int


def peers(scene, name):
    """A method as `xai-ext compare` runs it."""
    counted = CountedModel(scene.probabilities)
    regions = np.zeros((SIDE, SIDE), np.int64)
    values = peer(_PeerScene(scene.x, scene.target, regions, scene.seed), counted, BUDGET, name=name)
    return values, counted.n_forward


METHODS = {
    "LIME, 1000": limes,
    f"RISE as published, {RISE_MASKS}": lambda s: rises(s, budget=RISE_MASKS + 2, estimator="rise"),
    "StratifiedLime, 1000": stratified_limes,
    "RISE, 1000": lambda s: rises(s, budget=BUDGET),
    "IASSA, 1000": iassas,
    "IASSA, 1000, attention from features": lambda s: iassas(s, "features"),
    "IASSA, 1000, attention from the image": lambda s: iassas(s, "image"),
    "captum Occlusion, 1000": lambda s: peers(s, "captum.Occlusion"),
    "centre blob": lambda s: peers(s, "center"),
    "random": lambda s: peers(s, "random"),
}


def paper(scene, iterations, attention):
    """{k: (map after iteration k, evaluations so far)} of one run of the published schedule."""
    attention = Attention("features") if attention else None
    if attention is not None:
        scene.probabilities.network.known.clear()  # it must compute the photo again for its features to be seen
    return iteration_maps(scene.masked(), iterations, attention)


def refinement(scene):
    """How a refined map compares with refining everywhere, and with the finest windows alone, everywhere."""
    everywhere, fine = refine(scene, replace(STEPS, region_rule="all")), refine(scene, Schedule(STEPS.levels[-1:]))
    found = {"evaluations everywhere": everywhere.n_evals, "evaluations fine": fine.n_evals}
    two = Schedule((STEPS.levels[0], STEPS.levels[-1]), fusion="replace")
    for name, schedule in {"blend": STEPS, "replace": replace(STEPS, fusion="replace"), "two levels": two}.items():
        e = refine(scene, schedule)
        where = e.diagnostics["levels"][-1]["region"]
        full = everywhere if name == "blend" else fine
        found |= {
            f"{name}: evaluations": e.n_evals,
            f"{name}: region": float(where.mean()),
            f"{name}: r": correlation(e.region_map(), full.region_map()),
            f"{name}: r inside": correlation(e.region_map()[where], full.region_map()[where]),
            f"{name}: r inside, fine": correlation(e.region_map()[where], fine.region_map()[where]),
        }
    return found | {"within 1.96 placement errors": placed(scene)}


def of_default(scene):
    """How the default's map compares with the same windows and strides everywhere."""
    e = refine(scene, Schedule.geometric((SIDE, SIDE)), BUDGET)
    levels = e.diagnostics["levels"]
    same = tuple(Level(level["window"], level["stride"]) for level in levels)
    everywhere = refine(scene, Schedule(same, region_rule="all"))
    where = levels[-1]["region"]
    return {
        "evaluations": e.n_evals,
        "share": e.n_evals / everywhere.n_evals,
        "r": correlation(e.region_map(), everywhere.region_map()),
        "r inside": correlation(e.region_map()[where], everywhere.region_map()[where]),
    }


def placed(scene):
    """Share of positions at which one coarse level is within 1.96 of its errors of the same windows, placed densely."""
    window = STEPS.levels[0].window
    coarse = refine(scene, Schedule(STEPS.levels[:1]))
    dense = refine(scene, Schedule((Level(window, tuple(w // 7 for w in window)),)))
    return float((np.abs(coarse.values - dense.values) <= 1.96 * coarse.std_error).mean())


def correlation(a, b):
    """Pearson's."""
    return float(np.corrcoef(a.ravel(), b.ravel())[0, 1])


def judged(scene, maps):
    """{map: {metric: value}}, at image level."""
    tensors = {name: torch.from_numpy(np.ascontiguousarray(m))[None] for name, m in maps.items()}
    truth = torch.from_numpy(scene.truth)[None]
    found = published_scores(scene.forward, scene.x, maps, scene.truth, Protocol(), REQUEST)
    at_area, near = iou(tensors, truth, threshold=MaskArea()), pointing_game(tensors, truth, tolerance=TOLERANCE)
    for name, values in found.items():
        values["IoU at area"], values["pointing, 15 px"] = float(at_area[name]), float(near[name])
        values["SRG"] = values["insertion"] - values["deletion"]
        values["region"] = float(REGION.inclusion(maps[name].ravel(), scene.truth.ravel()).sum())
    return found


def measured(scene, iterations):
    """Everything on one photo."""
    maps, evaluations = {}, {}
    for name, method in METHODS.items():
        maps[name], evaluations[name] = method(scene)
    for attention in (False, True):
        for k, (values, n_evals) in paper(scene, iterations, attention).items():
            name = f"paper, {'on' if attention else 'off'}, {k}"
            maps[name], evaluations[name] = values, n_evals
    found = judged(scene, maps)
    for name, n_evals in evaluations.items():
        found[name]["evaluations"] = n_evals
    return {"maps": found, "refinement": refinement(scene)}
