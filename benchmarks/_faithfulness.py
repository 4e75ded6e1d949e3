"""Photos, maps and the questions that `metrics.py` asks of them."""

import csv
from itertools import combinations

import numpy as np
import torch
from _scenes import Remembering
from captum.attr import IntegratedGradients, LayerAttribution, LayerGradCam, Saliency
from PIL import Image
from scipy.ndimage import gaussian_filter
from scipy.stats import kendalltau

from xai_ext import segmentation
from xai_ext.attr import StratifiedLime
from xai_ext.metrics import Protocol, agreement, deletion_insertion
from xai_ext.models import Preprocess

SIDE, SIGMA, BATCH, SAMPLES = 224, 5, 16, 100
REFERENCES = ("random", "center")


def photos(folder, limit):
    """(id, pixels, x) of each photo."""
    preprocess = Preprocess((SIDE, SIDE), 256, (0.498,) * 3, (0.502,) * 3, "bicubic")
    with (folder / "index.csv").open(newline="") as file:
        names = [row["id"] for row in csv.DictReader(file)][:limit]
    for name in names:
        (path,) = (folder / "images").glob(f"{name}.*")
        pixels = preprocess.crop(Image.open(path))
        yield name, pixels, preprocess.normalized(pixels)


def smooth_saliency(model, x, target):
    """The gradient, channels summed, blurred: a map without ties."""
    gradient = Saliency(model).attribute(x.clone().requires_grad_(), target)[0].sum(0)
    return gaussian_filter(gradient.detach().double().numpy(), SIGMA)


def maps_of(model, pixels, x, target, rng):
    """{method: [map per seed]} (H, W), densities."""
    labels = torch.from_numpy(segmentation.slic(pixels, n_segments=50))
    lime, y = StratifiedLime(model), x.clone().requires_grad_()
    options = {"target": target, "feature_mask": labels, "n_samples": SAMPLES, "perturbations_per_eval": BATCH}
    limes = [lime.explain(x, **options, seed=seed)[0].density_map() for seed in (1, 2)]
    cam = LayerGradCam(model, model._conv_head).attribute(y, target, relu_attributions=True)
    blob = np.exp(-(((np.arange(SIDE) - (SIDE - 1) / 2) / (SIDE / 4)) ** 2) / 2)
    return {
        "StratifiedLime": limes,
        "integrated gradients": [_array(IntegratedGradients(model).attribute(y, 0.0, target, n_steps=20))],
        "smoothed saliency": [smooth_saliency(model, x, target)],
        "Grad-CAM": [_array(LayerAttribution.interpolate(cam, (SIDE, SIDE), "bilinear"))],
        "random": [rng.random((SIDE, SIDE))],
        "center": [np.outer(blob, blob)],
    }


def _array(attributions):
    return attributions[0].detach().double().sum(0).numpy()


def measured(model, folder, limit):
    """One row of {method: (deletion, insertion, srg)} per photo and score, and the agreement of LIME's seeds."""
    rows, floors = [], []
    for name, pixels, x in photos(folder, limit):
        with torch.no_grad():
            target = int(model(x).argmax())
        runs = maps_of(model, pixels, x, target, np.random.default_rng(int(name)))
        floors.append(float(agreement(*(m[None] for m in runs["StratifiedLime"]))))
        maps = {method: torch.from_numpy(found[0])[None] for method, found in runs.items()}
        row, once = {}, Remembering(model)
        for score in ("logit", "prob"):
            found = deletion_insertion(
                once, x, maps, 0.0, target=target, protocol=Protocol(score=score), max_examples_per_batch=BATCH
            )
            row[score] = {m: [float(v) for v in (f.deletion, f.insertion, f.srg)] for m, f in found.items()}
        rows.append(row)
    return rows, floors


def random_wins(rows, score, method):
    """Share of photos on which the random map is better: on deletion, insertion, SRG."""
    random, own = (np.array([row[score][m] for row in rows]) for m in ("random", method))
    sign = np.array([-1, 1, 1])
    return (sign * random > sign * own).mean(0)


def taus(rows, score):
    """Mean Kendall's tau-b, over photos, of how two metrics rank the methods, references left out."""
    sign = np.array([-1, 1, 1])
    found = {}
    for i, j in combinations(range(3), 2):
        each = []
        for row in rows:
            values = np.array([v for m, v in row[score].items() if m not in REFERENCES]) * sign
            each.append(kendalltau(values[:, i], values[:, j]).statistic)
        found["deletion insertion srg".split()[i], "deletion insertion srg".split()[j]] = float(np.nanmean(each))
    return found
