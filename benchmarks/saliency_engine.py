"""What RISE and IASSA cost beside the model: masks, memory, occlusion; a free model, 224 x 224, one thread."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch and NumPy start their threads

import argparse
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import torch
from _timing import SIDE, Free, median, timed
from captum.attr import Occlusion
from skimage.transform import resize

from xai_ext import MaskedModel
from xai_ext.attr import IASSA
from xai_ext.methods._rise_masks import BLOCK, GridMasks

HERE = Path(__file__).parent
CELLS, MASKS, BUDGET = 7, 512, 2000
WINDOW, STRIDE = 45, 12  # 256 windows


def ours(n=MASKS):
    """Draw masks in blocks."""
    law = GridMasks(CELLS).law(MaskedModel(lambda x: x, torch.zeros(1, 3, SIDE, SIDE), batch_size=8))
    blocks = law.blocks(np.random.default_rng(0))
    for _ in range(n // BLOCK):
        next(blocks)


def skimages(n=MASKS // 4):
    """The published construction, one mask at a time."""
    rng, pitch = np.random.default_rng(0), -(-SIDE // CELLS)
    for _ in range(n):
        cells = (rng.random((CELLS, CELLS)) < 0.5).astype("float32")
        y, x = rng.integers(pitch, size=2)
        large = ((CELLS + 1) * pitch,) * 2
        resize(cells, large, order=1, mode="reflect", anti_aliasing=False)[y : y + SIDE, x : x + SIDE]


def occlusions(rows):
    """(ours, Captum's): callables of one explanation."""
    x, free = torch.rand(1, 3, SIDE, SIDE), Free().eval()
    kwargs = {"sliding_window_shapes": (3, WINDOW, WINDOW), "strides": (3, STRIDE, STRIDE), "target": 0}
    kwargs |= {"perturbations_per_eval": rows}
    return (lambda: IASSA(free).attribute(x, levels=1, **kwargs)), (lambda: Occlusion(free).attribute(x, **kwargs))


def ratios(first, second, rounds):
    """Median CPU seconds of both, and of the ratio second / first, interleaved."""
    first(), second()
    cpus = np.array([[timed(f).cpu for f in (first, second)] for _ in range(rounds)])
    return median(cpus[:, 0]), median(cpus[:, 1]), median(cpus[:, 1] / cpus[:, 0])


def memory():
    """Growth of the peak memory in MB of one explanation; fresh process."""
    script = (
        "import sys, torch; sys.path.insert(0, sys.argv[1]); torch.set_num_threads(1)\n"
        "from _timing import SIDE, Free, peak_memory\nfrom xai_ext.attr import RISE\n"
        "run = lambda n: RISE(Free().eval()).attribute(torch.rand(1, 3, SIDE, SIDE), target=0, n_samples=n, seed=0,"
        " perturbations_per_eval=8)\n"
        f"run(100); before = peak_memory(); run({BUDGET}); print((peak_memory() - before) / 2**20)\n"
    )
    return float(subprocess.run([sys.executable, "-c", script, str(HERE)], capture_output=True, check=True).stdout)


def peer(python, package, n):
    """Figures of another package, from its environment."""
    command = [python, str(HERE / "_saliency_peer.py"), package, "--n", str(n)]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def main():
    """Print figures and ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--captum-rise", metavar="PYTHON", help="interpreter with captum-rise installed")
    parser.add_argument("--xaitk-saliency", metavar="PYTHON", help="interpreter with xaitk-saliency installed")
    args = parser.parse_args()
    torch.set_num_threads(1)
    mine, theirs, _ = ratios(ours, skimages, args.rounds)
    mine, theirs = mine / MASKS * 1e3, theirs / (MASKS // 4) * 1e3
    print(f"one mask, CPU ms: {mine:.3f}; scikit-image {theirs:.3f}, {theirs / mine:.1f} times (at least 4)")
    if args.captum_rise:
        ms = peer(args.captum_rise, "captum_rise", 200)["mask_ms"]
        print(f"  captum-rise {ms:.3f}, {ms / mine:.1f} times (at least 4)")
    grown = memory()
    print(f"peak memory of {BUDGET} evaluations: +{grown:.0f} MB")
    if args.xaitk_saliency:
        got = peer(args.xaitk_saliency, "xaitk_saliency", BUDGET)
        print(f"  xaitk-saliency +{got['memory_mb']:.0f} MB, ours {grown / got['memory_mb']:.2f} of it (at most .25); "
              f"its masks {got['mask_ms']:.3f} ms")  # fmt: skip
    for rows in (1, 32):
        first, second, ratio = ratios(*occlusions(rows), args.rounds)
        print(f"occlusion by 256 windows, {rows} per forward, CPU s: {first:.3f}; captum Occlusion {second:.3f}, ours "
              f"1/{ratio:.1f} of it (at most 1/3)")  # fmt: skip


if __name__ == "__main__":
    main()
