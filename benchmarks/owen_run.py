"""A whole BPT-Owen run beside the model's share of it: CPU time, one thread, tree included.

EfficientNet-Lite0, 224 x 224 pixels, scikit-image's astronaut. The same images in the same batches are then shown to
the model alone; runs and replays alternate.
"""

import argparse

import numpy as np
import torch
from _timing import SIDE, demo_network, median, timed
from PIL import Image

from xai_ext.attr import BPTOwen
from xai_ext.models import Preprocess


def photo():
    """(1, 3, 224, 224) as the network wants it."""
    from skimage import data

    preprocess = Preprocess((SIDE, SIDE), 256, (0.498,) * 3, (0.502,) * 3, "bicubic")
    return preprocess.normalized(preprocess.crop(Image.fromarray(data.astronaut())))


def main():
    """Print the ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--evaluations", type=int, default=500)
    args = parser.parse_args()
    torch.set_num_threads(1)
    network, x = demo_network(), photo()
    target = int(network(x).argmax())
    batches = []
    rows = {"n_samples": args.evaluations, "target": target}
    BPTOwen(network).attribute(x, 0.0, **rows)  # measures the batch size, compiles
    # a hook, because the batch size belongs to the model
    hook = network.register_forward_pre_hook(lambda _, given: batches.append(given[0].clone()))
    BPTOwen(network).attribute(x, 0.0, **rows)
    hook.remove()
    sizes = [len(batch) for batch in batches]

    @torch.no_grad()
    def replay():
        for batch in batches:
            network(batch)

    ratios, seconds = [], []
    for _ in range(args.rounds):
        whole, alone = timed(lambda: BPTOwen(network).attribute(x, 0.0, **rows)).cpu, timed(replay).cpu
        ratios.append(whole / alone)
        seconds.append(alone)
    print(
        f"{sum(sizes)} images in {len(sizes)} batches of {np.bincount(sizes).argmax()}, {median(seconds):.1f} s alone"
    )
    print(f"whole run / model alone: {median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f}), at most 1.05")


if __name__ == "__main__":
    main()
