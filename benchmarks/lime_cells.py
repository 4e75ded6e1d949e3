"""What a sampler and a weighting make of LIME together: accuracy, effective sample size and faithfulness of each cell.

Synthetic games have exact targets: the linear fit that each cell itself tends to. On photos only what needs no target:
spread of two runs, deletion and insertion of whole regions, highest density first, and IoU with the object at its area.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch and NumPy start their threads

import argparse
from pathlib import Path

import numpy as np
import torch
from _lime_errors import cosine_kernel, relative
from _lime_estimators import ours
from _lime_games import Network, Synthetic, photos, seed_of
from _owen_games import SIDE
from PIL import Image
from scipy.special import comb

from xai_ext.methods.lime import Cosine, PublishedCode
from xai_ext.metrics import MaskArea, iou
from xai_ext.models import Preprocess
from xai_ext.samplers import named_sampler

SAMPLERS = ("mc", "antithetic", "foldover", "stratified", "stratified_pairs", "published", "glime")
WEIGHTINGS = ("kernel", "importance", "none", "kernelshap")
GAMES, RUNS = 8, 6


def cells():
    """(sampler, weighting) that go together, and the published pair."""
    for sampler in SAMPLERS:
        for weighting in WEIGHTINGS:
            if weighting == "none" or sampler != "glime":  # the kernel is in its law
                if weighting != "kernelshap" or sampler.startswith("stratified"):  # coin flips miss its sizes
                    yield sampler, weighting
    yield "published", PublishedCode()


def target(game, sampler, weighting, budget):
    """Coefficients (n,) that a cell tends to; Shapley values for KernelSHAP."""
    if weighting == "kernelshap":
        return game.shapley
    n = game.n
    law = np.exp(named_sampler(sampler, Cosine()).log_law(n))
    by_size = np.tri(n + 1, n, -1, dtype=bool)
    published = weighting == PublishedCode()
    kernel = PublishedCode().weigh(Cosine(), by_size) if published else cosine_kernel(by_size, np.ones(n))
    mass = {"importance": kernel * comb(n, np.arange(n + 1)) / 2.0**n, "none": law}.get(str(weighting), law * kernel)
    ends = np.where(np.isin(np.arange(n + 1), (0, n)), 1.0 if weighting == "none" else kernel, 0.0)
    return game.moments(mass * (budget - 2) + ends).ridge()


def synthetic(budget):
    """{cell: (relative error, standard deviation, effective sample size)}, means over games."""
    rows = {}
    for cell in cells():
        of_games = []
        for game in map(Synthetic, range(GAMES)):
            goal = target(game, *cell, budget)
            runs = [ours(game, 0, budget, cell[0], seed=seed, weighting=cell[1]) for seed in range(RUNS)]
            values = np.stack([run.values for run in runs])
            error = np.sqrt(np.mean([relative(v, goal) for v in values]))
            spread = np.sqrt(values.var(0, ddof=1).sum() / (values.mean(0) ** 2).sum())
            of_games.append((error, spread, np.mean([run.diagnostics["ess_ratio"] for run in runs])))
        rows[cell] = np.mean(of_games, 0)
    return rows


def region_curves(game, values):
    """Areas under deletion and insertion, in units of f(x) - f(baseline); regions by density, highest first."""
    areas = np.bincount(game.labels.ravel(), minlength=game.n) / game.labels.size
    order = np.argsort(-values / areas, kind="stable")
    chosen = np.tri(game.n + 1, game.n, -1, dtype=bool)
    inserted = np.empty_like(chosen)
    inserted[:, order] = chosen
    seen = np.concatenate([[0], np.cumsum(areas[order])])
    full, empty = game.scores(np.stack([inserted[-1], inserted[0]]))[:, 0]
    kept = [(game.scores(rows)[:, 0] - empty) / (full - empty) for rows in (~inserted, inserted)]
    return [np.trapezoid(curve, seen) for curve in kept]


def photo_cells(game, truth, budget):
    """(cells, 4): spread, deletion, insertion, IoU."""
    found = []
    for sampler, weighting in cells():
        runs = [ours(game, 0, budget, sampler, seed=seed_of(game, r), weighting=weighting).values for r in range(2)]
        spread = np.sqrt(((runs[0] - runs[1]) ** 2).sum() / 2 / (np.mean(runs, 0) ** 2).sum())
        areas = np.bincount(game.labels.ravel(), minlength=game.n)
        density = (runs[0] / areas)[game.labels]
        overlap = float(iou(density[None], truth[None], threshold=MaskArea())[0])
        found.append([spread, *region_curves(game, runs[0]), overlap])
    game.save()
    return np.array(found)


def on_photos(folder, cache, most, budget):
    """(photos, cells, 4)."""
    crop = Preprocess((SIDE, SIDE), round(SIDE / 0.875), (0.498,) * 3, (0.502,) * 3).crop_mask
    games = photos([folder / "images"], Network("lite0", compiled=True), cache, most)
    tables = []
    for game in games:
        truth = crop(np.asarray(Image.open(folder / "masks" / f"{game.name}.png").convert("L")) > 0)
        tables.append(photo_cells(game, truth, budget))
        print(f"{game.name}: {game.n} superpixels", flush=True)
    return np.stack(tables)


def main():
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?", help="folder of images/ and masks/")
    parser.add_argument("--cache", type=Path, help="folder for scores, needed with photos")
    parser.add_argument("--most", type=int, default=4, help="take only the first photos")
    parser.add_argument("--budget", type=int, default=500)
    args = parser.parse_args()
    torch.set_num_threads(1)
    rows = synthetic(args.budget)
    print(f"{args.budget} evaluations, {GAMES} synthetic games, {RUNS} runs: error to own target, sd, ESS/m")
    for (sampler, weighting), (error, spread, ess) in rows.items():
        print(f"{sampler:18}{weighting!s:26}{error:8.3f}{spread:8.3f}{ess:8.3f}", flush=True)
    if args.folder is None:
        return
    tables = on_photos(args.folder, args.cache, args.most, args.budget)
    print(f"{len(tables)} photos, logits: sd, deletion (lower is better), insertion, IoU; mean ± standard error")
    errors = tables.std(0, ddof=1) / np.sqrt(len(tables))
    for (sampler, weighting), mean, error in zip(cells(), tables.mean(0), errors, strict=True):
        print(f"{sampler:18}{weighting!s:26}" + "".join(f"{m:8.3f} ±{e:.3f}" for m, e in zip(mean, error, strict=True)))


if __name__ == "__main__":
    main()
