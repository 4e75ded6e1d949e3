"""What does the battery cost, how often is it wrong about right methods, and what do the guards cost?

    python benchmarks/battery.py [--only cost|alarms|overhead|free|threads] [--seeds 50] [--repeats 7]

Five figures, each with its peer in the same run:

- CPU time of the default profile on `attr.BPTOwen` beside the same checks on Captum's ShapleyValueSampling;
- how many statistical checks fail on correct methods (permutation sampling, enumeration by KernelSHAP's regression,
  occlusion, each written in a few lines in `xai_ext.testing._twins`) over fresh base seeds;
- forwards of a network through `MaskedModel` beside bare forwards of the same images in the same batches,
  interleaved: what the guards, the finite test and the counting add;
- the same for a model that costs nothing, beside making the masks of coalitions and exchanging the pixels;
- how many of 100 repetitions of the check with four threads fail, over every class of this package.
"""

import argparse
import time
import warnings

import captum.attr
import numpy as np
import torch
from _timing import demo_network, median, timed
from sklearn.ensemble import IsolationForest
from sklearn.utils.estimator_checks import check_estimator

from xai_ext import Game, MaskedModel, explainers
from xai_ext.attr import IASSA, RISE, BPTOwen, StratifiedLime
from xai_ext.lime_image import StratifiedLimeImageExplainer
from xai_ext.testing._case import CHECKS
from xai_ext.testing._twins import OcclusionTwin, Twin, kernel_shap
from xai_ext.testing.battery import run_check, subject_of

STATISTICAL = (
    "converges", "std_error", "enumeration", "null_player", "twins", "relabel", "other_seed", "linear_closed_form",
    "flip",
)  # fmt: skip
ROWS, BATCH = 100, 20


def cpu_of(subject, names, profile):
    """Seconds of CPU per check that could be run."""
    spent = {}
    for name in names:
        start = time.process_time()
        if run_check(CHECKS[name], subject, profile, ()).status in ("passed", "failed"):
            spent[name] = time.process_time() - start
    return spent


def cost(repeats):
    """Of the default profile."""
    ours, peer = subject_of(BPTOwen), subject_of(captum.attr.ShapleyValueSampling)
    ratios = []
    for i in range(repeats):
        a = cpu_of(ours, CHECKS, "default")
        b = cpu_of(peer, a, "default")
        shared = sum(a[name] for name in b), sum(b.values())
        ratios.append(shared[0] / shared[1])
        print(f"  run {i}: BPTOwen {sum(a.values()):.1f} s ({len(a)} checks); shared {len(b)}: {shared[0]:.1f} s, "
              f"ShapleyValueSampling {shared[1]:.1f} s, ratio {ratios[-1]:.2f}", flush=True)  # fmt: skip
    print(f"default profile over ShapleyValueSampling, CPU: {median(ratios):.2f} (bound 2)")
    spent = timed(lambda: check_estimator(IsolationForest(), on_fail=None)).cpu
    print(f"check_estimator(IsolationForest()): {spent:.1f} s; over it: {sum(a.values()) / spent:.2f} (hoped for: 4)")


def false_alarms(seeds, first, minutes):
    """Of statistical checks on correct methods."""
    failed, done, until = [], 0, time.perf_counter() + 60 * minutes
    for seed in range(first, first + seeds):
        if time.perf_counter() > until:
            break
        for method in (Twin, OcclusionTwin, kernel_shap):
            for name in STATISTICAL:
                result = run_check(CHECKS[name], subject_of(method), "fast", (), seed)
                if result.status == "failed":
                    failed.append((seed, method.__name__, name, result.reason))
        done += 1
        print(f"  seed {seed}: {len(failed)} so far", flush=True)
    print(f"{len(failed)} false alarms in {done} base seeds (bound: 1 in 50)", *failed, sep="\n  ")


def overhead(repeats):
    """Of `MaskedModel` over bare forwards of the same images in the same batches."""
    network, generator = demo_network(), torch.Generator().manual_seed(0)
    x = torch.rand(1, 3, 224, 224, generator=generator)
    masks = torch.rand(ROWS, 224, 224, generator=generator) < 0.5
    model = MaskedModel(network, x, 0.0, batch_size=BATCH)

    def bare():
        with torch.no_grad():
            for rows in masks.split(BATCH):
                network(torch.where(rows[:, None], x, 0.0))

    found = interleaved(bare, lambda: model(masks), repeats)
    print(f"MaskedModel over bare forwards and exchange, {ROWS} rows, CPU: {found:.3f} (bound 1.03)")


def free(repeats):
    """What a `Game` of 50 players adds to making masks and images at 224 x 224, for a model that costs nothing."""
    x = torch.rand(1, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(224 * 224).reshape(224, 224) * 50 // 224**2
    coalitions = np.random.default_rng(0).random((10 * ROWS, 50)) < 0.5
    game = Game(MaskedModel(lambda images: images[:, 0, ::56, 100], x, 0.0, batch_size=BATCH), labels)

    def bare():
        for rows in torch.from_numpy(coalitions).split(BATCH):
            torch.where(rows[:, labels][:, None], x, 0.0)[:, 0, ::56, 100].numpy()

    found = interleaved(bare, lambda: game(coalitions), repeats)
    print(f"Game over making masks and images, {len(coalitions)} rows, free model, CPU: {found:.3f} (bound 1.25)")


def interleaved(bare, guarded, repeats):
    """The median ratio of CPU times, each guarded run between two bare ones."""
    ratios = []
    for _ in range(repeats):
        spent = []
        for call in (bare, guarded, bare):
            start = time.process_time()
            call()
            spent.append(time.process_time() - start)
        ratios.append(2 * spent[1] / (spent[0] + spent[2]))
        print(f"  bare {spent[0]:.2f} and {spent[2]:.2f} s, guarded {spent[1]:.2f} s: {ratios[-1]:.3f}", flush=True)
    return median(ratios)


def threads(times=100):
    """Failures of the check with four threads."""
    for cls in (BPTOwen, IASSA, RISE, StratifiedLime, *vars(explainers).values(), StratifiedLimeImageExplainer):
        if not isinstance(cls, type):
            continue
        runs = [run_check(CHECKS["threads"], subject_of(cls), "fast", (), seed) for seed in range(times)]
        failed = [r.reason for r in runs if r.status != "passed"]
        worst = max(r.measured or 0 for r in runs)
        print(f"  {cls.__module__}:{cls.__name__}: {len(failed)} of {times} fail, largest deviation {worst:.1e}",
              *failed[:3], sep="\n    ", flush=True)  # fmt: skip


def main():
    """All of them, or one."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=("cost", "alarms", "overhead", "free", "threads"))
    parser.add_argument("--seeds", type=int, default=50)
    parser.add_argument("--first", type=int, default=1000, help="base seed")
    parser.add_argument("--minutes", type=float, default=60.0, help="of the base seeds, at most")
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    if options.only in (None, "overhead"):
        overhead(options.repeats)
    if options.only in (None, "cost"):
        cost(min(options.repeats, 3))
    if options.only in (None, "alarms"):
        false_alarms(options.seeds, options.first, options.minutes)
    if options.only in (None, "free"):
        free(options.repeats)
    if options.only in (None, "threads"):
        threads()


if __name__ == "__main__":
    main()
