"""Do maps find what the model reacts to, and the object? Deletion, insertion and IoU at equal budgets.

FOLDER holds images/, masks/ID.png (the object, of the photo's size) and index.csv with a column `id`.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch and NumPy start their threads

import argparse
import csv
import json
import sys
import time
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from _localisation import BASELINE, DRAWS, METHODS, MIRRORED, OWEN, RANDOM, REFERENCE, scores
from _scenes import ATOMS, REGIONS, Remembering, network, read_scene
from scipy.stats import t as student

COLUMNS = (
    "deletion", "insertion", "srg", "best IoU", "IoU at area", "pointing", "mass", "mirror", "seconds", "evaluations"
)  # fmt: skip
COMPARED = ("insertion", "deletion", "IoU at area", "mirror", "insertion prob", "deletion prob")
LOWER_IS_BETTER = {"deletion", "deletion prob"}
CANDIDATES = [name for name in OWEN if name not in (REFERENCE, "axis-aligned Owen")]

SETTINGS = f"""\
- Explained: the logit of the model's top-1 class (the object's own class on {{same}} photos).
- The truth for localisation is the photo's object mask, whatever that class is.
- Baseline of all methods and curves: {BASELINE:g} in the model's input space (mid-grey).
- Curves: 28 steps, equal values leave together; the logit as (f - f(baseline)) / (f(x) - f(baseline)), not clipped;
  "prob": the softmax probability as it is. srg = insertion - deletion.
- Intervals: mean ± 95 % Student t over photos, not corrected for many comparisons.
- LIME: {REGIONS} SLIC regions. Random regions: as many as BestFirst's map has, mean of {DRAWS} draws.
- SLIC atoms: {ATOMS} regions as players; smoothed: Gaussian of 1 pixel, `quantize=False`; Ward: scikit-learn's on Lab.
- Mirror: Spearman between the map and that of the mirrored photo, mirrored back; at {MIRRORED} evaluations.
- Seconds: CPU time of one thread outside the model; trees of one photo are made once, at the first budget.
- Evaluations: rows that a method asked the model for; Grad-CAM needs one forward and one backward row.
"""


@dataclass(frozen=True)
class Interval:
    """A mean over photos and half the width of its 95 % interval (Student's t)."""

    mean: float
    half: float

    @classmethod
    def of(cls, values):
        """Of the finite ones."""
        values = np.asarray(values, dtype=np.float64)
        values = values[np.isfinite(values)]
        n = len(values)
        if n < 2:
            return cls(float(values.mean()) if n else np.nan, np.nan)
        return cls(float(values.mean()), float(student.ppf(0.975, n - 1) * values.std(ddof=1) / n**0.5))

    def __str__(self):
        return f"{self.mean:.3f} ± {self.half:.3f}" if np.isfinite(self.mean) else "-"

    @property
    def signed(self):
        """With a star where 0 lies outside."""
        if not np.isfinite(self.mean):
            return "-"
        return f"{self.mean:+.3f} ± {self.half:.3f}{'*' if abs(self.mean) > self.half else ''}"


def photos(folder, limit):
    """Rows of the index, those whose class is the model's first first where the index says so."""
    with (folder / "index.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    return sorted(rows, key=lambda row: int(row.get("rank") or 1))[:limit]


def remembered(cache, settings):
    """{photo: line} of earlier runs with the same settings."""
    if cache is None or not cache.exists():
        return {}
    lines = map(json.loads, cache.read_text("utf-8").splitlines())
    return {line["id"]: line for line in lines if line["settings"] == settings}


def measured(args):
    """One line per photo."""
    settings = {"model": args.model, "side": args.side, "budgets": args.budgets}
    known, lines = remembered(args.cache, settings), []
    model = None
    for row in photos(args.folder, args.limit):
        if row["id"] not in known:
            model = model or Remembering(network(args.model), compiled=args.compile)
            known[row["id"]] = line = {"settings": settings, **measure(args, row, model)}
            keep(args.cache, line)
        lines.append(known[row["id"]])
    return lines


def measure(args, row, model):
    """All methods on one photo."""
    start = time.perf_counter()
    scene = read_scene(args.folder, row["id"], args.side, model)
    mirrored = scene.mirrored()
    found = {str(budget): scores(scene, mirrored, budget) for budget in args.budgets}
    print(f"{row['id']}: {time.perf_counter() - start:.0f} s, {len(model.known)} images", file=sys.stderr, flush=True)
    same = str(scene.target) == row.get("imagenet_idx", "")
    return {"id": row["id"], "target": scene.target, "target_is_object": same, "found": found}


def keep(cache, line):
    """Append."""
    if cache is not None:
        cache.parent.mkdir(parents=True, exist_ok=True)
        with cache.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")


def values(lines, budget, method, metric):
    """One per photo."""
    return np.array([line["found"][str(budget)][method][metric] for line in lines], dtype=np.float64)


def differences(lines, budget, method, metric):
    """To the reference, paired by photo."""
    return Interval.of(values(lines, budget, method, metric) - values(lines, budget, REFERENCE, metric))


def print_table(head, rows):
    """In Markdown."""
    print("| " + " | ".join(head) + " |")
    print("|" + "---|" * len(head))
    for row in rows:
        print("| " + " | ".join(row) + " |")
    print()


def print_budget(lines, budget):
    """Means, then differences."""
    print(f"### {budget} evaluations\n")
    names = [*METHODS, RANDOM]
    print_table(["method", *COLUMNS], [[name, *cells(lines, budget, name)] for name in names])
    print(f"Method minus {REFERENCE}, paired by photo; * = 0 lies outside the interval\n")
    rows = ([name, *(differences(lines, budget, name, m).signed for m in COMPARED)] for name in names[1:])
    print_table(["method", *COMPARED], rows)


def cells(lines, budget, method):
    """Of one row."""
    for metric in COLUMNS[:-1]:
        yield str(Interval.of(values(lines, budget, method, metric)))
    n_evals = values(lines, budget, method, "evaluations").mean()
    yield f"{n_evals:.0f}" if n_evals else "-"


def verdict(lines, budget, method):
    """Which of the conditions for a new default hold on this network."""
    gains = {m: differences(lines, budget, method, m) for m in COMPARED[:3]}
    better = {m: (-d.mean if m in LOWER_IS_BETTER else d.mean) - d.half > 0 for m, d in gains.items()}
    loses = gains["IoU at area"].mean + gains["IoU at area"].half < 0
    said = [f"insertion {'better' if better['insertion'] else 'not shown better'}"]
    said += [f"deletion {'better' if better['deletion'] else 'not shown better'}"]
    said += [f"IoU {'worse' if loses else 'not shown worse'}"]
    return f"- {method}, {budget}: {', '.join(said)}"


def report(args, lines):
    """Print everything."""
    same = sum(line["target_is_object"] for line in lines)
    print(f"## EfficientNet-{args.model.capitalize()}, {args.side} x {args.side} pixels, {len(lines)} photos\n")
    print(SETTINGS.format(same=same))
    for budget in args.budgets:
        print_budget(lines, budget)
    print("On this network alone, by 95 % intervals:\n")
    for method in CANDIDATES:
        for budget in args.budgets:
            print(verdict(lines, budget, method))


def main():
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--limit", type=int, help="photos")
    parser.add_argument("--budgets", type=lambda text: [int(b) for b in text.split(",")], default=[100, 500, 1000])
    parser.add_argument("--side", type=int, default=128, help="pixels")
    parser.add_argument("--model", choices=("lite0", "lite1"), default="lite0")
    parser.add_argument("--cache", type=Path, help="JSON lines: photos that are in it are not measured again")
    parser.add_argument("--compile", action="store_true", help="twice as fast after a minute")
    args = parser.parse_args()
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore", category=UserWarning, module="captum")
    report(args, measured(args))


if __name__ == "__main__":
    main()
