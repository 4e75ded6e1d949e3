"""Does refining occlusion where it matters pay, and what of the published comparison of IASSA holds?"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch and NumPy start their threads

import argparse
import json
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import torch
from _refinement import METHODS, RISE_MASKS, measured, of_default, own_scenes, scenes
from _scenes import Remembering, network
from localisation import Interval, print_table
from scipy.stats import wilcoxon

LEAST_R, MOST_SHARE = 0.985, 0.60
PUBLISHED = ("deletion", "insertion", "F-1", "IoU", "pointing")
OTHERS = ("pointing, 15 px", "SRG", "IoU at area")
LIME, RAW = "LIME, 1000", f"RISE as published, {RISE_MASKS}"
ROWS = (*METHODS, "paper, off, 5", "paper, on, 5")


def lines(args):
    """One per photo on which the network is surest of the object's class."""
    model = Remembering(network("lite0"), compiled=args.compile)
    return cached(args.cache, scenes(args.folder, model, args.limit), lambda scene: {
        "probability": float(scene.forward(scene.x)[0]), **measured(scene, args.iterations)
    })  # fmt: skip


def own_lines(args):
    """One per photo of the first in the index."""
    model = Remembering(network("lite0"), compiled=args.compile)
    cache = args.cache and args.cache.with_suffix(".own.jsonl")
    return cached(cache, own_scenes(args.folder, model, args.own), of_default)


def cached(path, of_scenes, measure):
    """What each photo gives; photos that are in the file are not measured again."""
    known, found = {}, []
    if path and path.exists():
        known = {line["id"]: line for line in map(json.loads, path.read_text("utf-8").splitlines())}
    for scene in of_scenes:
        if scene.name not in known:
            start = time.perf_counter()
            known[scene.name] = {"id": scene.name, **measure(scene)}
            scene.probabilities.network.known.clear()
            print(f"{scene.name}: {time.perf_counter() - start:.0f} s", file=sys.stderr, flush=True)
            if path:
                with path.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(known[scene.name]) + "\n")
        found.append(known[scene.name])
    return found


def values(found, name, metric):
    """One per photo; a run that stopped before iteration k has the map of its last."""
    return np.array([_line(line["maps"], name)[metric] for line in found], dtype=np.float64)


def _line(maps, name):
    kind = name.rpartition(", ")[0]
    if name not in maps and kind.startswith("paper"):
        return maps[f"{kind}, {max(int(n.rpartition(', ')[2]) for n in maps if n.startswith(kind))}"]
    return maps[name]


def per_pixel(found, name, metric):
    """The value divided by the pixels of the map's salient region, times 1e5; NaN without a region."""
    pixels = values(found, name, "region")
    return 1e5 * values(found, name, metric) / np.where(pixels > 0, pixels, np.nan)


def print_refinement(found):
    """The regions of the last level against refining everywhere."""
    lines = [line["refinement"] for line in found]
    print(f"## Refining the top quarter against refining everywhere, {len(lines)} photos\n")
    rows = []
    for key in lines[0]:
        column = np.array([line[key] for line in lines], dtype=np.float64)
        cells = (np.nanmedian(column), np.nanmin(column), np.nanmax(column))
        rows.append([key, *(f"{c:.0f}" if "evaluations" in key else f"{c:.3f}" for c in cells)])
    print_table(["", "median", "least", "most"], rows)
    for name, against in (("blend", "everywhere"), ("two levels", "fine")):
        r = [line[f"{name}: r inside"] for line in lines]
        share = [line[f"{name}: evaluations"] / line[f"evaluations {against}"] for line in lines]
        good = sum(a >= LEAST_R and b <= MOST_SHARE for a, b in zip(r, share, strict=True))
        print(f"- {name}, against {against}: r inside the region {np.nanmedian(r):.4f} (median), {np.nanmin(r):.4f} "
              f"(least), evaluations {np.median(share):.0%} (median), {max(share):.0%} (most); r >= {LEAST_R} with "
              f"<= {MOST_SHARE:.0%} on {good} of {len(lines)} photos")  # fmt: skip
    print()


def print_own(found):
    """The default against the same windows everywhere."""
    print(f"## The default against its own windows everywhere, the network's own class, {len(found)} photos\n")
    columns = {key: np.array([line[key] for line in found]) for key in found[0] if key != "id"}
    rows = [[key, *(f"{c:.0f}" if key == "evaluations" else f"{c:.4f}" for c in (np.median(v), v.min(), v.max()))]
            for key, v in columns.items()]  # fmt: skip
    print_table(["", "median", "least", "most"], rows)


def print_methods(found):
    """The published comparison, per image and per pixel."""
    rows = [[name, *(str(Interval.of(values(found, name, m))) for m in (*PUBLISHED, *OTHERS)),
             f"{values(found, name, 'evaluations').mean():.0f}"] for name in ROWS]  # fmt: skip
    print(f"## Methods, {len(found)} photos: mean and 95 % interval\n\nImage level\n")
    print_table(["method", *PUBLISHED, *OTHERS, "evaluations"], rows)
    print("Pixel level: the same divided by the pixels of the salient region, times 1e5; it favours small regions\n")
    rows = [[name, *(str(Interval.of(per_pixel(found, name, m))) for m in PUBLISHED)] for name in ROWS]
    print_table(["method", *PUBLISHED], rows)


def print_iterations(found, iterations):
    """The five metrics against the number of iterations, attention off and on, and their difference."""
    print("## Against the number of iterations k of the published schedule\n")
    for level, of in (("image", values), ("pixel", per_pixel)):
        print(f"{level.capitalize()} level, attention off / on; oracle: the best IoU so far, chosen by the truth\n")
        rows = []
        for k in range(iterations + 1):
            off, on = (f"paper, {a}, {k}" for a in ("off", "on"))
            cells = [f"{Interval.of(of(found, off, m))} / {Interval.of(of(found, on, m))}" for m in PUBLISHED]
            best = [np.nanmax([of(found, f"paper, {a}, {i}", "IoU") for i in range(k + 1)], 0) for a in ("off", "on")]
            oracle = " / ".join(f"{b.mean():.3f}" for b in best)
            n = " / ".join(f"{values(found, name, 'evaluations').mean():.0f}" for name in (off, on))
            rows.append([str(k), *cells, oracle, n])
        print_table(["k", *PUBLISHED, "oracle IoU", "evaluations"], rows)
    pairs = [(f"paper, on, {k}", f"paper, off, {k}") for k in range(1, iterations + 1)]
    pairs += [(f"IASSA, 1000, attention from {source}", "IASSA, 1000") for source in ("features", "the image")]
    pairs += [("IASSA, 1000", f"paper, {a}, {iterations}") for a in ("off", "on")]
    print_differences(found, pairs)


def print_differences(found, pairs):
    """Paired by photo."""
    print("Differences, paired by photo; * = 0 lies outside the 95 % interval\n")
    rows = [[f"{a} - {b}", *(Interval.of(values(found, a, m) - values(found, b, m)).signed
                             for m in (*PUBLISHED, *OTHERS))] for a, b in pairs]  # fmt: skip
    print_table(["", *PUBLISHED, *OTHERS], rows)


def print_verdicts(found, iterations):
    """Which published orderings hold here."""
    last = f"paper, on, {iterations}"
    claims = [
        ("insertion: IASSA > RISE", last, RAW, "insertion", 1), ("insertion: RISE > LIME", RAW, LIME, "insertion", 1),
        ("IoU: IASSA > RISE", last, RAW, "IoU", 1), ("IoU: RISE > LIME", RAW, LIME, "IoU", 1),
        ("deletion: IASSA worse than RISE", last, RAW, "deletion", 1),
        ("IoU rises with k", last, "paper, on, 0", "IoU", 1),
        ("insertion rises with k", last, "paper, on, 0", "insertion", 1),
    ]  # fmt: skip
    differences = [values(found, a, m) - values(found, b, m) for _, a, b, m, _ in claims]
    p = holm([wilcoxon(d).pvalue if d.any() else 1.0 for d in differences])
    print("## Published orderings\n")
    rows = []
    for (claim, *_, sign), d, value in zip(claims, differences, p, strict=True):
        interval = Interval.of(d)
        undecided = abs(interval.mean) <= interval.half
        said = "undecided" if undecided else "reproduced" if sign * interval.mean > 0 else "not reproduced"
        rows.append([claim, interval.signed, f"{value:.3f}", said])
    print_table(["ordering", "difference", "Holm p (Wilcoxon)", ""], rows)
    hits = ", ".join(f"{name} {values(found, name, 'pointing, 15 px').mean():.2f}" for name in (LIME, RAW, last))
    print(f"Pointing game within 15 px of 224: {hits}; published as saturated, .99 to 1.\n")


def holm(p):
    """Adjusted p-values."""
    order, adjusted, so_far = np.argsort(p), np.empty(len(p)), 0.0
    for rank, i in enumerate(order):
        so_far = max(so_far, min(1.0, (len(p) - rank) * p[i]))
        adjusted[i] = so_far
    return adjusted


def main():
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--limit", type=int, default=12, help="photos")
    parser.add_argument("--own", type=int, default=20, help="photos on which the default is compared with everywhere")
    parser.add_argument("--iterations", type=int, default=5, help="of the published schedule")
    parser.add_argument("--cache", type=Path, help="JSON lines: photos that are in it are not measured again")
    parser.add_argument("--compile", action="store_true", help="twice as fast after a minute")
    args = parser.parse_args()
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore", category=UserWarning, module="captum")
    found = lines(args)
    print_refinement(found)
    print_own(own_lines(args))
    print_methods(found)
    print_iterations(found, args.iterations)
    print_verdicts(found, args.iterations)


if __name__ == "__main__":
    main()
