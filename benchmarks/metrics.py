"""What metrics cost and how exact they are: curves, agreement, imputation.

Times are the fastest of several calls, ours and the peers' alike. FOLDER holds images/ and index.csv with a column
`id`; without it, only what needs no photo is measured.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch and NumPy start their threads

import argparse
import json
import subprocess
import tempfile
import warnings
from itertools import combinations
from pathlib import Path

import numpy as np
import torch
from _faithfulness import measured, photos, random_wins, smooth_saliency, taus
from _imputing import direct
from _rise_protocol import rise_area, rise_curve
from _timing import Free, demo_network, timed
from scipy.ndimage import gaussian_filter
from scipy.stats import kendalltau
from torch import nn

from xai_ext.metrics import LinearImputer, Protocol, agreement, agreement_matrix, deletion, deletion_insertion
from xai_ext.metrics._published import rise_blur
from xai_ext.metrics.disagreement import MEASURES
from xai_ext.study.disagreement import DisagreementStudy, Key

SIDE, BATCH, REPEATS = 224, 16, 5
KS = (0.01, 0.05, 0.10, 0.25)


class Counted(nn.Module):
    """Softmax of a network; counts rows and the CPU seconds inside."""

    def __init__(self, module):
        super().__init__()
        self.module, self.rows, self.cpu = module, 0, 0.0

    @torch.no_grad()
    def forward(self, x):
        """(k, n_classes)."""
        found = []
        self.cpu += timed(lambda: found.append(self.module(x).softmax(1))).cpu
        self.rows += len(x)
        return found[0]


def print_table(head, rows):
    """In Markdown."""
    print("| " + " | ".join(head) + " |")
    print("|" + "---|" * len(head))
    for row in rows:
        print("| " + " | ".join(str(cell) for cell in row) + " |")
    print()


def distinct_maps(n, seed=0):
    """Smooth maps (H, W) without ties."""
    rng = np.random.default_rng(seed)
    return [gaussian_filter(rng.normal(size=(SIDE, SIDE)), 8) for _ in range(n)]


def forwards():
    """Rows of one map and of ten, and the CPU time outside a model that costs nothing."""
    x, maps = torch.rand(1, 3, SIDE, SIDE), [torch.from_numpy(m)[None] for m in distinct_maps(10)]
    rows = []
    for n in (1, 10):
        given = {str(i): m for i, m in enumerate(maps[:n])}
        model, found = Counted(Free()), []

        def ours(given=given, model=model, found=found):
            found.append(deletion_insertion(model, x, given, 0.0, target=0, max_examples_per_batch=BATCH))

        def rise(given=given, model=model):
            for one in given.values():
                for start, finish in ((x, x * 0), (x * 0, x)):
                    rise_curve(model, start, finish, one[0].numpy(), SIDE, BATCH)

        for name, call in (("ours, 28 steps", ours), ("RISE's protocol, typed again", rise)):
            times, n_rows = [], 0
            for _ in range(REPEATS):
                model.rows = 0
                model.cpu = 0.0
                times.append(timed(call).cpu - model.cpu)
                n_rows = model.rows
            rows.append([name, n, n_rows, f"{min(times):.3f}", f"{1e3 * min(times) / n_rows:.2f}"])
    print("## Deletion and insertion of maps of one image, 224 x 224, a model that costs nothing\n")
    print_table(["", "maps", "forwards", "CPU s", "CPU ms per forward"], rows)


def quantus(python):
    """Pixel flipping at 24 steps: CPU time per image and step."""
    steps, rng = 24, np.random.default_rng(0)
    x, saliency = rng.random((1, 3, SIDE, SIDE), dtype=np.float32), distinct_maps(1)[0]
    given = torch.from_numpy(x), torch.from_numpy(saliency)[None]
    options = {"target": 0, "max_examples_per_batch": BATCH, "protocol": Protocol(n_steps=steps)}
    own = [timed(lambda: deletion(Free(), *given, **options)).cpu for _ in range(31)][1:]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "given.npz"
        np.savez(path, image=x, map=saliency[None, None].astype(np.float32))
        command = [python, str(Path(__file__).with_name("_quantus_run.py")), str(path), str(steps)]
        runs = [
            json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout) for _ in range(3)
        ]
    theirs, mine = min([r["cpu"] / r["rows"] for r in runs]), min(own) / (steps + 1)
    print("## Deletion of one map in 24 steps, CPU time outside the model\n")
    rows = [
        ["ours", steps + 1, f"{1e3 * mine:.2f}"],
        ["Quantus 0.6.0, PixelFlipping", runs[0]["rows"], f"{1e3 * theirs:.2f}"],
    ]
    print_table(["", "forwards", "CPU ms per forward"], rows)
    print(f"Ratio {mine / theirs:.2f}. Quantus changes colour values one by one, in the order of a map copied to all\n"
          "channels; its areas do not run with NumPy 2.4, so its scores alone were asked for.\n")  # fmt: skip


def on_photo(model, x):
    """Forwards and CPU seconds of both protocols; how far our areas are from those of all and half of RISE's points."""
    target = int(model(x).argmax())
    saliency, own, dense, start = smooth_saliency(model.module, x, target), [], [], model.rows

    def ours():
        given = torch.from_numpy(saliency)[None]
        own.append(deletion_insertion(model, x, given, 0.0, target=target, max_examples_per_batch=BATCH))

    def rise():
        for pair in ((x, x * 0), (x * 0, x)):
            dense.append(rise_curve(model, *pair, saliency, SIDE, BATCH)[:, target])

    seconds, rows = [timed(ours).cpu], [model.rows - start]
    seconds.append(timed(rise).cpu)
    rows.append(model.rows - start - rows[0])
    areas = np.array([own[0].deletion.item(), own[0].insertion.item()])
    return rows, seconds, [np.abs(areas - [rise_area(d[::every]) for d in dense]) for every in (1, 2)]


def curves(folder, limit):
    """Areas of 29 points against those of the published 225, on photos."""
    model = Counted(demo_network())
    found = [on_photo(model, x) for _, _, x in photos(folder, limit)]
    rows, seconds = (np.mean([f[i] for f in found], axis=0) for i in (0, 1))
    gaps = np.array([f[2] for f in found])  # (photos, 225 or 113 points, deletion or insertion)
    print(f"## Areas on {len(gaps)} photos, EfficientNet-Lite0, probability of the top-1 class, one map, baseline 0\n")
    print_table(
        ["", "forwards per photo", "CPU s per photo"],
        [["ours, 28 steps", f"{rows[0]:.0f}", f"{seconds[0]:.1f}"],
         ["RISE's protocol", f"{rows[1]:.0f}", f"{seconds[1]:.1f}"]],
    )  # fmt: skip
    print(f"{rows[1] / rows[0]:.2f} times fewer forwards.\n")
    print_table(
        ["difference of areas", "deletion, mean", "deletion, max", "insertion, mean", "insertion, max"],
        [[name, *(f"{v:.4f}" for column in gaps[:, i].T for v in (column.mean(), column.max()))]
         for i, name in enumerate(("29 points against 225", "29 points against 113"))],
    )  # fmt: skip


def published(folder):
    """The protocol itself: our preset against the re-typed loop."""
    model = Counted(demo_network())
    _, _, x = next(photos(folder, 1))
    target = int(model(x).argmax())
    saliency = smooth_saliency(model.module, x, target)
    options = {"target": target, "protocol": Protocol.rise(), "max_examples_per_batch": BATCH}
    found = deletion_insertion(model, x, torch.from_numpy(saliency)[None], **options)
    ends = (x, x * 0), (rise_blur(x), x)
    loop = [rise_area(rise_curve(model, *pair, saliency, SIDE, BATCH)[:, target]) for pair in ends]
    gap = max(abs(found.deletion.item() - loop[0]), abs(found.insertion.item() - loop[1]))
    print(f"`Protocol.rise()` and the re-typed loop, blurred start included, differ by {gap:.1e} on one photo.\n")


def agreements():
    """All pairs of ten maps, and pairwise rank agreement against loops."""
    maps = {str(i): m[None] for i, m in enumerate(distinct_maps(10))}
    rows = []
    fast = [name for name in MEASURES if name != "weighted_tau"]
    for label, names in ((f"all {len(fast)} but weighted tau", fast), ("weighted tau", ["weighted_tau"])):
        times = timed(lambda names=names: agreement_matrix(maps, names, KS))
        rows.append([label, f"{times.cpu:.2f}"])
    print("## Agreement of the 45 pairs of ten maps of 224 x 224, k in 1, 5, 10 and 25 %\n")
    print_table(["measures", "CPU s"], rows)
    pairwise()


def pairwise():
    """Pairwise rank agreement."""
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 2000))
    share = 300
    loop = timed(lambda: [(a[i] < a[j]) == (b[i] < b[j]) for i in range(share) for j in range(i)]).cpu
    plain = loop * (len(a) / share) ** 2
    times = {}
    for n in (2000, 50176, 200704):
        x, y = rng.normal(size=(2, 1, n))
        times[n] = min([timed(lambda x=x, y=y: agreement(x, y, "pairwise_rank_agreement")).cpu for _ in range(5)])
    x, y = rng.normal(size=(2, 50176))
    scipy = min([timed(lambda: kendalltau(x, y)).cpu for _ in range(5)])
    print_table(
        ["pairwise rank agreement", "CPU ms", "ratio"],
        [["2,000 features", f"{1e3 * times[2000]:.2f}", ""],
         ["loop over pairs (from 300 features)", f"{1e3 * plain:.0f}", f"{plain / times[2000]:.0f} x ours"],
         ["50,176 features", f"{1e3 * times[50176]:.1f}", f"{times[50176] / scipy:.1f} x scipy.stats.kendalltau"],
         ["200,704 features", f"{1e3 * times[200704]:.1f}", f"{times[200704] / times[50176]:.1f} x 50,176"]],
    )  # fmt: skip


def imputation():
    """Nine masks of one image, random and smooth."""
    rng = np.random.default_rng(0)
    image = gaussian_filter(rng.normal(size=(3, SIDE, SIDE)), (0, 3, 3))
    x, rows = torch.from_numpy(image).float(), []
    for name, field in (("random", rng.random((SIDE, SIDE))), ("smooth", distinct_maps(1)[0])):
        masks = np.stack([field < np.quantile(field, p / 10) for p in range(1, 10)])
        missing, ours, filled = torch.from_numpy(masks), LinearImputer(), []
        ours(x, missing[:1])  # compiles
        own = min([timed(lambda m=missing, f=ours, out=filled: out.append(f(x, m))).cpu for _ in range(REPEATS)])
        exact = []

        def solve(masks=masks, exact=exact):
            exact.append([direct(image, one) for one in masks])

        peer = min([timed(solve).cpu for _ in range(3)])
        error = np.abs(filled[0].numpy() - np.stack(exact[0])).max() / np.ptp(image)
        rows.append([name, f"{own:.3f}", f"{peer:.3f}", f"{own / peer:.2f}", f"{error:.1e}"])
    print("## ROAD's imputation: nine masks (10 to 90 % missing), three channels, 224 x 224, tolerance 1e-4\n")
    head = ["masks", "ours, CPU s", "sparse direct solve, CPU s", "ratio", "largest error / range of the image"]
    print_table(head, rows)


def reports():
    """A disagreement study of eight methods against the forwards of one RISE map."""
    labels, study = np.arange(SIDE * SIDE).reshape(SIDE, SIDE) // 1024, DisagreementStudy()
    images = [distinct_maps(8, seed) for seed in range(3)]
    times = []
    for i, maps in enumerate(images):
        given = {Key(str(m)): values for m, values in enumerate(maps)}
        times.append(timed(lambda i=i, given=given: study.update(i, given, feature_mask=labels)).cpu)
    model, x = demo_network(), torch.rand(20, 3, SIDE, SIDE)
    with torch.no_grad():
        model(x[:1])
        forward = min([timed(lambda: model(x)).cpu for _ in range(3)]) / 20
    print("## `DisagreementStudy.update` with eight maps of 224 x 224, pixels and 49 regions, against 1,000 forwards\n")
    rows = [[f"{min(times):.2f}", f"{1000 * forward:.1f}", f"{min(times) / (1000 * forward):.2f}"]]
    print_table(["update, CPU s", "1,000 forwards, CPU s", "ratio"], rows)


def honesty(folder, limit, cache=None):
    """Does the random map win?"""
    rows, floors = measured(demo_network(), folder, limit, cache)
    print(f"## How often does a random map beat a method? {len(rows)} photos, EfficientNet-Lite0, top-1, baseline 0\n")
    methods = [m for m in rows[0]["logit"] if m != "random"]
    cells = []
    for score in ("logit", "prob"):
        for method in methods:
            mean = np.mean([row[score][method] for row in rows], axis=0)
            wins = random_wins(rows, score, method)
            cells.append([score, method, *(f"{v:.3f}" for v in mean), *(f"{100 * w:.0f} %" for w in wins)])
        mean = np.mean([row[score]["random"] for row in rows], axis=0)
        cells.append([score, "random", *(f"{v:.3f}" for v in mean), "", "", ""])
    print_table(["score", "method", "deletion", "insertion", "SRG", "random wins deletion", "insertion", "SRG"], cells)
    print("Kendall's tau-b between the rankings of the four methods by two metrics, mean over photos:\n")
    print_table(
        ["score", *(" - ".join(pair) for pair in combinations(("deletion", "insertion", "srg"), 2))],
        [[score, *(f"{v:.2f}" for v in taus(rows, score).values())] for score in ("logit", "prob")],
    )
    print(f"Spearman's correlation of two runs of StratifiedLime with 100 samples: {np.mean(floors):.2f} on average, "
          f"{np.min(floors):.2f} at least.\n")  # fmt: skip


def main():
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--quantus", help="interpreter of an environment with Quantus")
    parser.add_argument("--limit", type=int, help="photos")
    parser.add_argument("--cache", type=Path, help="folder for what was measured on each photo")
    parser.add_argument("--dense", type=int, default=12, help="photos for the published protocol of 450 forwards")
    args = parser.parse_args()
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore", category=UserWarning, module="captum")
    forwards()
    if args.quantus:
        quantus(args.quantus)
    agreements()
    imputation()
    reports()
    if args.folder:
        published(args.folder)
        curves(args.folder, args.dense)
        honesty(args.folder, args.limit, args.cache)


if __name__ == "__main__":
    main()
