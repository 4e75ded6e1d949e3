"""What the engine costs beside the model: wall time against plain forwards, CPU time outside the model, memory.

EfficientNet-Lite0 at 224 x 224 for wall time, a free model for CPU time, 100 regions. One thread; CPU time also with
the number of threads that PyTorch chooses by itself.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch and NumPy start their threads

import argparse
import json
import subprocess
import sys
from pathlib import Path

import torch
from _timing import SIDE, Free, demo_network, median, plain_forwards, printed_by, timed
from captum.attr import Lime

from xai_ext.attr import StratifiedLime
from xai_ext.segmentation import grid

HERE = Path(__file__).parent


def ours(module, x, mask, n, seed, **options):
    """Standard errors included."""
    StratifiedLime(module, **options).explain(
        x, target=0, feature_mask=mask, n_samples=n, perturbations_per_eval=None, seed=seed
    )


def captums(module, x, mask, n, seed, rows=1):
    """One row per forward is its default."""
    torch.manual_seed(seed)
    Lime(module).attribute(x, target=0, feature_mask=mask[None, None], n_samples=n, perturbations_per_eval=rows)


METHODS = {
    "xai_ext": ours,
    "xai_ext, Captum's kernel": lambda *a: ours(*a, kernel="pixel_cosine", kernel_width=1.0),
    "captum Lime": captums,
    "captum Lime, 4 per forward": lambda *a: captums(*a, rows=4),
}


def problem():
    """An image and 100 regions."""
    x = torch.rand(1, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    return x, torch.from_numpy(grid(x, rows=10))


def limes(python, n, rounds, *flags):
    """Lime or lime_stratified, by the interpreter of its environment."""
    command = [python, str(HERE / "_lime_run.py"), "--n", str(n), "--rounds", str(rounds), *flags]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def wall_ratios(n, rounds):
    """Interleaved: {name: wall time / plain forwards}."""
    network = demo_network()
    first = timed(lambda: ours(network, *problem(), 50, 0)).wall
    walls = {name: [] for name in METHODS}
    for seed in range(rounds):
        plain = timed(lambda: plain_forwards(network, n)).wall
        for name, method in METHODS.items():
            walls[name].append(timed(lambda m=method, s=seed: m(network, *problem(), n, s)).wall / plain)
        print(f"round {seed + 1}: plain {plain:.1f} s, ours {walls['xai_ext'][-1]:.2f} of it", file=sys.stderr)
    again = timed(lambda: ours(network, *problem(), 50, 0)).wall
    print(f"timing the batch size and memory format took {max(0.0, first - again):.1f} s, once per model and shape")
    return {name: median(values) for name, values in walls.items()}


def outside(n, rounds):
    """Interleaved: {name: CPU ms per evaluation of a free model}."""
    free, cpus = Free().eval(), {name: [] for name in METHODS}
    for seed in range(rounds):
        for name, method in METHODS.items():
            method(free, *problem(), 50, 0)  # what ran before leaves its caches and its memory
            cpus[name].append(timed(lambda m=method, s=seed: m(free, *problem(), n, s)).cpu / n * 1e3)
    return {name: median(values) for name, values in cpus.items()}


def outside_with_default_threads(n, rounds):
    """The same in a process whose threads PyTorch chooses; they spin when other processes want the cores."""
    environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    script = (
        "import os; os.environ['OMP_NUM_THREADS'] = ''\nimport json, sys; sys.path.insert(0, sys.argv[1])\n"
        f"from engine import outside\nprint(json.dumps(outside({n}, {rounds})))"
    )
    command = [sys.executable, "-W", "ignore", "-c", script, str(HERE)]
    return json.loads(subprocess.run(command, capture_output=True, check=True, env=environment).stdout)


def memory_growth():
    """Growth of the peak resident memory between 200 and 5,000 evaluations of a free model, MB; fresh process."""
    script = (
        "import torch; torch.set_num_threads(1)\n"
        "from engine import *\nfrom _timing import peak_memory\n"
        "free = Free().eval(); ours(free, *problem(), 200, 0); before = peak_memory()\n"
        "ours(free, *problem(), 5000, 0); print((peak_memory() - before) / 2**20)\n"
    )
    return float(printed_by("-c", script))


def main():
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n", type=int, default=500, help="evaluations")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--lime-stratified", metavar="PYTHON", help="interpreter with lime_stratified installed")
    args = parser.parse_args()
    cpu, threaded = outside(args.n, args.rounds), outside_with_default_threads(min(args.n, 100), args.rounds)
    wall = wall_ratios(args.n, args.rounds)
    peers = {"lime": (sys.executable, ())}
    if args.lime_stratified:
        peers |= {"lime_stratified": (args.lime_stratified, ("--stratified",))}
    for name, (python, flags) in peers.items():
        got = limes(python, args.n, args.rounds, *flags)
        wall[name], cpu[name] = got["wall_ratio"], got["cpu_ms"]
    print(f"\n{args.n} evaluations, 224 x 224, 100 regions, medians of {args.rounds} interleaved rounds")
    columns = {"wall / plain forwards": wall, "CPU ms outside": cpu, "with default threads": threaded}
    print(" " * 28 + "".join(f"{title:>24}{'x ours':>8}" for title in columns))
    for name in cpu:
        cells = ((c.get(name), c["xai_ext"]) for c in columns.values())
        print(f"{name:28}" + "".join(f"{v:24.3f}{v / b:8.1f}" if v else f"{'-':>24}{'':8}" for v, b in cells))
    print(f"\npeak memory, 200 -> 5,000 evaluations: +{memory_growth():.0f} MB")


if __name__ == "__main__":
    main()
