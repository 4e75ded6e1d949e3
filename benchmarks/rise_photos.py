"""RISE's estimators and IASSA on many photos: correlation with a long run, and what the maps are worth.

FOLDER holds images/, masks/ID.png (the object, of the photo's size) and index.csv with columns `id` and
`imagenet_idx`, the class that is explained.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch and NumPy start their threads

import argparse
import csv
import json
import sys
import time
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from _refinement import SIDE, Probability, judged, refine, scene_of
from _rise_games import SCORES, Network, law, masks_of
from localisation import Interval, print_table
from rise_samples import correlation
from scipy.stats import wilcoxon

from xai_ext.methods._rise_estimators import ESTIMATORS, Moments
from xai_ext.methods._rise_masks import BLOCK
from xai_ext.methods._rise_surrogate import Regression
from xai_ext.methods.iassa import Schedule
from xai_ext.study._inference import holm

MODEL = "lite0"
SINGLE, PAIRED, LONG = 1024, 512, 1024  # masks: of the plain estimators, of the default, of the reference
COMPARED = 256  # masks of each estimator whose map is judged
METRICS = ("SRG", "IoU at area", "pointing")
CLAIMS = ((("surrogate", 256), ("rise", 1024)), (("surrogate", 128), ("centered", 256)))
MARGIN = 0.02
RISE, IASSA = f"RISE, {PAIRED}", f"IASSA, {PAIRED}"


def masks(scene, kind):
    """Blocks of masks: "single", "paired", or "long", of streams of their own."""
    stream, n = {"single": (0, SINGLE), "paired": (0, PAIRED), "long": (1, LONG)}[kind]
    return islice(masks_of(scene.x, scene.name, MODEL, stream, pairs=kind == "paired"), n // BLOCK)


def scored(scene, network):
    """{kind: scores (n, 2)} and IASSA's map of the probability."""
    found = {
        kind: np.concatenate([network.scores(b.keep[0][:, None] * scene.x, scene.target) for b in masks(scene, kind)])
        for kind in ("single", "paired", "long")
    }
    explanation = refine(scene, Schedule.geometric((SIDE, SIDE)), PAIRED + 2)
    return found | {"iassa": explanation.region_map(), "n_evals": explanation.n_evals}


def plain(moments):
    """{estimator: values (n_positions, 2)}: all of them are functions of the same sums."""
    return {name: getattr(moments, f"_{name}")()[0] for name in ESTIMATORS[1:]}


def estimates(scene, scores):
    """{(estimator, N): maps (n_positions, 2)} of both scores; of the reference too, as "long"."""
    rules, found = law(scene.x), {}
    moments, regression, long = Moments(rules, "rise"), Regression(rules, pairs=True), Moments(rules, "centered")
    for i, block in enumerate(masks(scene, "single")):
        moments.add(block, scores["single"][i * BLOCK :][:BLOCK])
        if (n := (i + 1) * BLOCK) in (COMPARED, SINGLE):
            found |= {(name, n): values for name, values in plain(moments).items()}
    for i, block in enumerate(masks(scene, "paired")):
        regression.add(block, scores["paired"][i * BLOCK :][:BLOCK])
        if (n := (i + 1) * BLOCK) in (128, COMPARED, PAIRED):
            found["surrogate", n] = regression.estimate().values
    for i, block in enumerate(masks(scene, "long")):
        long.add(block, scores["long"][i * BLOCK :][:BLOCK])
    return found | {("long", LONG): long.estimate().values}, rules.relative_variance


def correlations(found, variance, score):
    """{"estimator N": r with the long run}."""
    long = found["long", LONG][:, score]
    return {
        f"{name} {n}": correlation(values[:, score], long / variance if name == "beta" else long)
        for (name, n), values in found.items()
        if name != "long"
    }


def measured(scene, known):
    """One line: r of both scores; metrics of the probability's maps."""
    found, variance = estimates(scene, known)
    r = {score: correlations(found, variance, i) for i, score in enumerate(SCORES)}
    maps = {name: found[name, COMPARED][:, 0].reshape(SIDE, SIDE) for name in ESTIMATORS}
    maps |= {RISE: found["surrogate", PAIRED][:, 0].reshape(SIDE, SIDE), IASSA: known["iassa"]}
    worth = {m: {k: float(v[k]) for k in METRICS} for m, v in judged(scene, maps).items()}
    return {"id": scene.name, "n_evals": int(known["n_evals"]), **r, "maps": worth}


def lines(args):
    """One per photo; scores are kept in the cache's folder."""
    args.cache.mkdir(parents=True, exist_ok=True)
    network = Network(MODEL, compiled=args.compile)
    with (args.folder / "index.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))[: args.limit]
    for row in rows:
        start = time.perf_counter()
        scene = scene_of(args.folder, row["id"], int(row["imagenet_idx"]), Probability(network.logits))
        scores, judgement = (args.cache / f"{scene.name}.photo.{end}" for end in ("npz", "json"))
        if not scores.exists():
            np.savez_compressed(scores, **scored(scene, network))
        if not judgement.exists():
            with np.load(scores) as known:
                judgement.write_text(json.dumps(measured(scene, known)))
            print(f"{scene.name}: {time.perf_counter() - start:.0f} s", file=sys.stderr, flush=True)
        yield json.loads(judgement.read_text())


def print_correlations(found, score):
    """Mean r per estimator and number of masks; the two claims."""
    numbers = (128, COMPARED, PAIRED, SINGLE)
    values = {key: np.array([line[score][key] for line in found]) for key in found[0][score]}
    rows = [[e, *(str(Interval.of(values[f"{e} {n}"])) if f"{e} {n}" in values else "" for n in numbers)]
            for e in ESTIMATORS]  # fmt: skip
    print(f"### {score}: correlation with {LONG} other masks\n")
    print_table(["estimator", *map(str, numbers)], rows)
    for (a, n), (b, m) in CLAIMS:
        d = Interval.of(values[f"{a} {n}"] - values[f"{b} {m}"])
        print(f"- {a} at {n} - {b} at {m}: {d.signed} (at least -{MARGIN}) {'ok' if d.mean >= -MARGIN else 'MISSED'}")
    print()


def print_judged(found):
    """What the maps are worth, and pairs of estimators."""
    values = {name: {m: np.array([line["maps"][name][m] for line in found]) for m in METRICS}
              for name in found[0]["maps"]}  # fmt: skip
    print("### Maps of the probability\n")
    print_table(["map", *METRICS], [[name, *(str(Interval.of(v[m])) for m in METRICS)] for name, v in values.items()])
    pairs = [*(("surrogate", e) for e in ESTIMATORS[1:]), (IASSA, RISE)]
    tests = [(a, b, m, values[a][m] - values[b][m]) for a, b in pairs for m in METRICS]
    p = holm(np.array([wilcoxon(d).pvalue if d.any() else 1.0 for *_, d in tests]))
    rows = [[f"{a} - {b}", m, Interval.of(d).signed, f"{q:.3f}"] for (a, b, m, d), q in zip(tests, p, strict=True)]
    print_table(["difference", "metric", "mean", "Holm p (Wilcoxon)"], rows)


def main():
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--limit", type=int, default=42, help="photos")
    parser.add_argument("--cache", type=Path, required=True, help="folder for scores")
    parser.add_argument("--compile", action="store_true", help="twice as fast after a minute")
    args = parser.parse_args()
    torch.set_num_threads(1)
    found = list(lines(args))
    n_evals = np.mean([line["n_evals"] for line in found])
    print(f"## {len(found)} photos; maps of {COMPARED} masks, IASSA of {n_evals:.0f} evaluations on the mean\n")
    for score in SCORES:
        print_correlations(found, score)
    print_judged(found)


if __name__ == "__main__":
    main()
