"""How often does one seed order the methods otherwise than three, and which methods lose to references?

FOLDER holds images/ID.* and index.csv with a column `id`; the photos that come with scikit-image and scikit-learn join
with --installed.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch and NumPy start their threads

import argparse
import csv
import json
import sys
import time
from itertools import combinations
from pathlib import Path

import numpy as np
import torch
from _scenes import network

from xai_ext.models import Classifier, Preprocess
from xai_ext.study import inputs
from xai_ext.study.compare import n_runs
from xai_ext.study.data import read_data
from xai_ext.study.methods import choose_methods
from xai_ext.study.unit import Look, Terms, make_scene, run_unit

SEEDS = 3
REFERENCES = ("random_segments", "center")


def classifier(side):
    """EfficientNet-Lite0, at another size than the one it was trained at."""
    preprocess = Preprocess((side, side), round(side / 0.875), (0.498,) * 3, (0.502,) * 3, "bicubic")
    return Classifier(network("lite0"), preprocess, output="logits")


def measured(path, model, budget):
    """Method -> SRG per run; None where a method gave no map."""
    scene, terms = make_scene(inputs.read_image(str(path)), model, Look()), Terms(budget)
    found = {}
    for method in choose_methods("default"):
        runs = [run_unit(method, scene, repeat, terms) for repeat in range(n_runs(method, SEEDS))]
        found[method.name] = [r.metrics.get("srg") for r in runs]
    return found


def lines(args):
    """One per photo; photos in the cache are not measured again."""
    known = {}
    if args.cache and args.cache.exists():
        known = {line["id"]: line["srg"] for line in map(json.loads, args.cache.read_text("utf-8").splitlines())}
    paths = photos(args)
    model = classifier(args.side)
    for name, path in paths.items():
        if name not in known:
            start = time.perf_counter()
            known[name] = measured(path, model, args.budget)
            print(f"{name}: {time.perf_counter() - start:.0f} s", file=sys.stderr, flush=True)
            if args.cache:
                with args.cache.open("a", encoding="utf-8") as file:
                    file.write(json.dumps({"id": name, "srg": known[name]}) + "\n")
    return [known[name] for name in paths]


def photos(args):
    """Name -> file."""
    with (args.folder / "index.csv").open(newline="") as file:
        names = [row["id"] for row in csv.DictReader(file)][: args.limit]
    found = {name: next((args.folder / "images").glob(f"{name}.*")) for name in names}
    items = read_data(["photos"]) if args.installed else []
    return found | {item.image_id: Path(item.root) / item.path for item in items}


def usable(line):
    """What gave a map in every run and knows the model."""
    return {m: np.array(v) for m, v in line.items() if None not in v and m not in (*REFERENCES, "random")}


def reordered(found):
    """Share of (photo, seed, pair with a method that draws) in another order than by the means; and other winners."""
    pairs, winners = [], []
    for line in found:
        runs = usable(line)
        means = {m: v.mean() for m, v in runs.items()}
        for seed in range(SEEDS):
            one = {m: v[seed % len(v)] for m, v in runs.items()}
            pairs += [
                (one[a] > one[b]) != (means[a] > means[b])
                for a, b in combinations(runs, 2) if len(runs[a]) > 1 or len(runs[b]) > 1
            ]  # fmt: skip
            winners.append(max(one, key=one.get) != max(means, key=means.get))
    return float(np.mean(pairs)), float(np.mean(winners)), len(pairs)


def lost(found, method, reference):
    """Photos on which a method's mean SRG is below the reference's, and photos on which both are known."""
    both = [(np.mean(usable(line)[method]), np.mean(line[reference])) for line in found if method in usable(line)]
    return sum(m < r for m, r in both), len(both)


def report(found, side, budget):
    """Prints; there is no threshold."""
    pairs, winners, n = reordered(found)
    print(f"{len(found)} photos at {side} px, budget {budget}, {SEEDS} seeds, SRG of the logit, 50 SLIC regions.\n")
    print(f"One seed orders {pairs:.1%} of {n} pairs with a method that draws otherwise than the mean of {SEEDS};")
    print(f"it names another best method in {winners:.0%} of {SEEDS * len(found)} cases.\n")
    print("| method | mean SRG | sd over seeds | loses to random segments | loses to the centre |")
    print("|---|---|---|---|---|")
    names = dict.fromkeys(m for line in found for m in usable(line))
    means = {m: np.mean([usable(line)[m].mean() for line in found if m in usable(line)]) for m in names}
    for m in sorted(names, key=means.get, reverse=True):
        runs = [usable(line)[m] for line in found if m in usable(line)]
        sd = f"{np.sqrt(np.mean([v.var(ddof=1) for v in runs])):.2f}" if len(runs[0]) > 1 else ""
        losses = " | ".join("{} of {}".format(*lost(found, m, r)) for r in REFERENCES)
        print(f"| {m} | {means[m]:.2f} | {sd} | {losses} |")


def main():
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--limit", type=int, default=20)
    parser.add_argument("--budget", type=int, default=200)
    parser.add_argument("--side", type=int, default=112)
    parser.add_argument("--installed", action="store_true", help="the installed photos, too")
    parser.add_argument("--cache", type=Path, help="JSON lines, one per photo; resumes")
    args = parser.parse_args()
    torch.set_num_threads(1)
    report(lines(args), args.side, args.budget)


if __name__ == "__main__":
    main()
