"""What methods and metrics of `xai-ext compare` cost beside the model, and what the command costs before it starts."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch and NumPy start their threads

import argparse
import subprocess
import sys
import time

import numpy as np
import torch
from localisation import print_table

from xai_ext._batching import measured_plan
from xai_ext.models import load
from xai_ext.study import inputs
from xai_ext.study.methods import choose_methods
from xai_ext.study.unit import Look, Terms, make_scene, run_unit

OURS = "stratified_lime,bpt_owen,rise,iassa"
REFERENCES = ("random", "random_segments", "center")
HOSTS = "captum.Lime,captum.KernelShap,captum.ShapleyValueSampling,captum.Occlusion,shap.Partition,lime.Image"


def bare(scene, rows):
    """CPU seconds of so many rows, in the batches and the memory format that our methods use."""
    plan = measured_plan(scene.classifier.module, (scene.x,))
    batch = scene.x.expand(plan.batch_size, *scene.x.shape[1:]).contiguous(memory_format=plan.memory_format)
    start = time.process_time()
    with torch.no_grad():
        for at in range(0, rows, plan.batch_size):
            scene.classifier.module(batch[: min(plan.batch_size, rows - at)])
    return time.process_time() - start


def ratio(scene, method, terms, repetitions):
    """A run of a method and its metrics over as many bare forwards, which run right after it; and its evaluations."""
    found = []
    for repeat in range(repetitions):
        start = time.process_time()
        run = run_unit(method, scene, repeat, terms)
        spent = time.process_time() - start
        found.append((spent / bare(scene, run.cost + run.metric_rows), run.cost, run.metric_rows))
    return np.median(np.array(found, dtype=np.float64), axis=0)


def print_overheads(budget, repetitions):
    """Ours first; the hosts' for comparison; metrics on maps that cost nothing."""
    scene = make_scene(inputs.read_image("coffee"), load("efficientnet_lite0"), Look())
    plan = measured_plan(scene.classifier.module, (scene.x,))
    print(f"CPU time over that of as many bare forwards ({plan.batch_size} rows a call, {plan.memory_format}), "
          f"median of {repetitions} interleaved repetitions, budget {budget}\n")  # fmt: skip
    rows = []
    for method in choose_methods(f"{OURS},{HOSTS}"):
        of_all, cost, _ = ratio(scene, method, Terms(budget, n_steps=2), repetitions)
        rows.append([method.name, f"{cost:.0f}", f"{of_all:.3f}"])
    for name in REFERENCES:
        of_all, _, n = ratio(scene, *choose_methods(name), Terms(budget), 5 * repetitions)
        rows.append([f"metrics, of a map of `{name}`", f"{n:.0f}", f"{of_all:.3f}"])
    print_table(["", "evaluations", "CPU time"], rows)


def seconds(statement, repetitions):
    """Median wall time of a fresh interpreter."""
    times = []
    for _ in range(repetitions):
        start = time.perf_counter()
        subprocess.run([sys.executable, "-c", statement], check=True, stdout=subprocess.DEVNULL)
        times.append(time.perf_counter() - start)
    return float(np.median(times))


def print_start(repetitions):
    """Beside `import torch`."""
    script = "import sys; sys.argv = ['xai-ext', '--help']\nfrom xai_ext.cli import main\n"
    script += "try: main()\nexcept SystemExit: pass"
    torch_, package, help_ = (seconds(s, repetitions) for s in ("import torch", "import torch, xai_ext", script))
    rows = [["import torch", f"{torch_:.2f}", "1"],
            ["import xai_ext after it", f"{package - torch_:.2f}", f"{(package - torch_) / torch_:.3f}"],
            ["xai-ext --help", f"{help_:.2f}", f"{help_ / torch_:.3f}"]]  # fmt: skip
    print_table(["", "seconds", "of import torch"], rows)


def main():
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--budget", type=int, default=500)
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--start-only", action="store_true", help="nothing but the time of imports and --help")
    args = parser.parse_args()
    torch.set_num_threads(1)
    print_start(args.repetitions)
    if not args.start_only:
        print_overheads(args.budget, args.repetitions)


if __name__ == "__main__":
    main()
