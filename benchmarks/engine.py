"""What the engine costs beside the model: wall time against plain forwards, CPU time outside the model, memory.

EfficientNet-Lite0 at 224 x 224 for wall time, a free model for CPU time, 100 regions, one thread.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

import torch
from _timing import SIDE, Free, demo_network, median, plain_forwards, timed
from captum.attr import Lime

from xai_ext.attr import StratifiedLime
from xai_ext.segmentation import grid

HERE = Path(__file__).parent


def ours(module, x, mask, n, seed, **options):
    """Standard errors included."""
    StratifiedLime(module, **options).explain(
        x, target=0, feature_mask=mask, n_samples=n, perturbations_per_eval=None, seed=seed
    )


def captums(module, x, mask, n, seed):
    """Batches of 4, our measured size on this machine; its default is 1."""
    torch.manual_seed(seed)
    Lime(module).attribute(x, target=0, feature_mask=mask[None, None], n_samples=n, perturbations_per_eval=4)


def limes(python, n, rounds, *flags):
    """Lime or lime_stratified, by the interpreter of its environment."""
    command = [python, str(HERE / "_lime_run.py"), "--n", str(n), "--rounds", str(rounds), *flags]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def measured(methods, x, mask, n, rounds):
    """Interleaved: {name: (wall ratio to plain forwards, CPU ms per evaluation outside a free model)}."""
    network, free = demo_network(), Free().eval()
    for method in methods.values():
        method(free, x, mask, 50, 0)
    first = timed(lambda: methods["xai_ext"](network, x, mask, 50, 0)).wall
    walls, cpus = {name: [] for name in methods}, {name: [] for name in methods}
    for seed in range(rounds):
        plain = timed(lambda: plain_forwards(network, n)).wall
        for name, method in methods.items():
            walls[name].append(timed(lambda m=method, s=seed: m(network, x, mask, n, s)).wall / plain)
            cpus[name].append(timed(lambda m=method, s=seed: m(free, x, mask, n, s)).cpu / n * 1e3)
        print(f"round {seed + 1}: plain {plain:.1f} s, ours {walls['xai_ext'][-1]:.2f} of it", file=sys.stderr)
    again = timed(lambda: methods["xai_ext"](network, x, mask, 50, 0)).wall
    print(f"timing the batch size and memory format took {max(0.0, first - again):.1f} s, once per model and shape")
    return {name: (median(walls[name]), median(cpus[name])) for name in methods}


def memory_growth():
    """Growth of the peak resident memory between 200 and 5,000 evaluations of a free model, MB; fresh process."""
    script = (
        "import resource, sys, torch; sys.path.insert(0, sys.argv[1]); torch.set_num_threads(1)\n"
        "from engine import *\n"
        "x = torch.rand(1, 3, SIDE, SIDE); mask = torch.from_numpy(grid(x, rows=10)); free = Free().eval()\n"
        "ours(free, x, mask, 200, 0); first = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "ours(free, x, mask, 5000, 0); print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - first) / 1024)\n"
    )
    return float(subprocess.run([sys.executable, "-c", script, str(HERE)], capture_output=True, check=True).stdout)


def main():
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n", type=int, default=500, help="evaluations")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--lime-stratified", metavar="PYTHON", help="interpreter with lime_stratified installed")
    args = parser.parse_args()
    torch.set_num_threads(1)
    x = torch.rand(1, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    mask = torch.from_numpy(grid(x, rows=10))
    pixel_cosine = {"kernel": "pixel_cosine", "kernel_width": 1.0}
    methods = {
        "xai_ext": ours,
        "xai_ext, Captum's kernel": lambda *a: ours(*a, **pixel_cosine),
        "captum Lime": captums,
    }
    figures = measured(methods, x, mask, args.n, args.rounds)
    peers = {"lime": (sys.executable, ())}
    if args.lime_stratified:
        peers |= {"lime_stratified": (args.lime_stratified, ("--stratified",))}
    for name, (python, flags) in peers.items():
        got = limes(python, args.n, args.rounds, *flags)
        figures[name] = got["wall_ratio"], got["cpu_ms"]
    base_wall, base_cpu = figures["xai_ext"]
    print(f"\n{args.n} evaluations, 224 x 224, 100 regions, one thread, medians of {args.rounds} interleaved rounds")
    print(f"{'':26} {'wall / plain forwards':>22} {'x ours':>7} {'CPU ms/eval outside':>20} {'x ours':>7}")
    for name, (wall, cpu) in figures.items():
        print(f"{name:26} {wall:22.2f} {wall / base_wall:7.1f} {cpu:20.3f} {cpu / base_cpu:7.1f}")
    print(f"\npeak memory, 200 -> 5,000 evaluations: +{memory_growth():.0f} MB")


if __name__ == "__main__":
    main()
