"""What `xai_ext.explainers.BPTOwen` costs beside SHAP's partition explainer: CPU time, memory, first explanation.

A free model, 224 x 224 pixels, one thread. SHAP runs as its users run it, with ``shap.maskers.Image`` and its tree of
rectangles, and on our tree of pixels, with ``xai_ext.maskers.BPT``.
"""

import argparse

import numpy as np
import shap
import torch
from _timing import SIDE, median, peak_memory, printed_by, timed

from xai_ext.explainers import BPTOwen
from xai_ext.maskers import BPT
from xai_ext.segmentation import slic

EVALUATIONS = 500
OUTPUTS = 1000


def free(images):
    """Two pixels of each image."""
    return images[:, :2, 0, 0]


def photo():
    """scikit-image's astronaut, float64 in 0..1."""
    from skimage import data
    from skimage.transform import resize

    return np.asarray(resize(data.astronaut(), (SIDE, SIDE), anti_aliasing=True))


def many(images):
    """A thousand outputs that differ."""
    return np.tanh(images[:, ::32, ::32, 0].reshape(len(images), -1).mean(1)[:, None] * np.linspace(-1, 1, OUTPUTS))


def explainers(model):
    """By name: a function of an image that makes an explainer and explains it."""

    def run(explainer, x, budget):
        return explainer(x[None], max_evals=budget, batch_size=64, silent=True)

    def regions(x):
        return slic(x, n_segments=1300)  # 1,000 and some

    return {
        "BPTOwen, regions": lambda x, n: run(BPTOwen(model, BPT(x, 0.0, regions(x))), x, n),
        "BPTOwen, pixels": lambda x, n: run(BPTOwen(model, BPT(x, 0.0)), x, n),
        "SHAP, BPT regions": lambda x, n: run(shap.Explainer(model, BPT(x, 0.0, regions(x))), x, n),
        "SHAP, BPT pixels": lambda x, n: run(shap.Explainer(model, BPT(x, 0.0)), x, n),
        "SHAP, Image": lambda x, n: run(shap.PartitionExplainer(model, shap.maskers.Image(0 * x, x.shape)), x, n),
    }


def cpu_seconds(rounds):
    """({name: median CPU seconds}, number of regions); segmentation, masker and tree included; interleaved."""
    x, seconds = photo(), {}
    for i in range(rounds + 1):
        for name, explain in explainers(free).items():
            spent = timed(lambda e=explain: e(x, EVALUATIONS)).cpu
            if i > 0:  # the first round compiles
                seconds.setdefault(name, []).append(spent)
    return {name: median(spent) for name, spent in seconds.items()}, int(slic(x, n_segments=1300).max()) + 1


def memory_of(name):
    """Print the growth of the peak by one explanation of all outputs, in MB, and its size."""
    x = photo()
    explainers(free)[name](x, 10)
    before = peak_memory()
    result = explainers(many)[name](x, EVALUATIONS)
    print((peak_memory() - before) / 2**20, result.values.nbytes / 2**20)


FIRST = """
import time
start = time.process_time()
import numpy as np, shap
model, x = (lambda images: images[:, 0, 0, 0]), np.random.default_rng(0).random((1, 16, 16, 3))
imported = time.process_time()
{}
print(time.process_time() - imported)
"""
FIRST_OURS = """
from xai_ext.explainers import BPTOwen
from xai_ext.maskers import BPT
imported = time.process_time()
BPTOwen(model, BPT(x[0], 0.0))(x, max_evals=100, silent=True)
"""
FIRST_SHAPS = "shap.PartitionExplainer(model, shap.maskers.Image(0 * x[0], x[0].shape))(x, max_evals=100, silent=True)"


def first_explanation(script):
    """CPU seconds of the first explanation of a fresh process, imports not counted; caches of numba as they are."""
    return float(in_fresh_process("-c", FIRST.format(script))[0])


def in_fresh_process(*command):
    """The last line it prints, split."""
    return printed_by(*command).splitlines()[-1].split()


def main():
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--memory-of", choices=list(explainers(free)), help="only this, for a fresh process")
    args = parser.parse_args()
    torch.set_num_threads(1)
    if args.memory_of:
        memory_of(args.memory_of)
        return
    print("first explanation of 16 x 16 pixels in a fresh process, CPU s")
    first_explanation(FIRST_OURS)  # our compiled kernels are kept between processes
    ours, theirs = first_explanation(FIRST_OURS), first_explanation(FIRST_SHAPS)
    print(f"BPTOwen {ours:.2f}   SHAP, Image {theirs:.2f}   ratio {ours / theirs:.3f}")

    seconds, regions = cpu_seconds(args.rounds)
    print(
        f"\nCPU s, {EVALUATIONS} evaluations of a free model, {SIDE} x {SIDE}, {regions} regions, ratio to SHAP, Image"
    )
    for name, spent in seconds.items():
        print(f"{name:20} {spent:8.3f} {spent / seconds['SHAP, Image']:8.2f}")

    print(f"\ngrowth of peak memory, {OUTPUTS} outputs, {EVALUATIONS} evaluations; ratio to SHAP, BPT pixels")
    peaks = {n: tuple(map(float, in_fresh_process(__file__, "--memory-of", n))) for n in list(seconds)[:4]}
    for name, (grown, size) in peaks.items():
        print(f"{name:20} {grown:8.0f} MB {grown / peaks['SHAP, BPT pixels'][0]:8.2f}   result {size:.0f} MB")


if __name__ == "__main__":
    main()
