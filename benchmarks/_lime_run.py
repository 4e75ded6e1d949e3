"""lime's image explainer, timed; run by the interpreter of the environment whose `lime` is to be measured.

Prints one JSON object. With lime_stratified installed, `--stratified` uses its sampling. `--only-cpu` leaves out the
network.
"""

import argparse
import contextlib
import io
import json

import numpy as np
import torch
from _timing import SIDE, Free, demo_network, median, plain_forwards, timed
from lime.lime_image import LimeImageExplainer


def explain(module, image, labels, n, seed, stratified):
    """One explanation of one class, on given segments."""

    def predict(images):
        with torch.no_grad():
            return module(torch.from_numpy(np.ascontiguousarray(images)).movedim(-1, 1).float()).numpy()

    more = {"use_stratification": True} if stratified else {}
    with contextlib.redirect_stderr(io.StringIO()):
        LimeImageExplainer(random_state=np.random.RandomState(seed)).explain_instance(
            image, predict, labels=(0,), top_labels=None, hide_color=0.0, num_samples=n,
            segmentation_fn=lambda _: labels, **more,
        )  # fmt: skip


def main():
    """Measure."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--n", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--stratified", action="store_true")
    parser.add_argument("--only-cpu", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(1)
    image = np.random.default_rng(0).random((SIDE, SIDE, 3)).astype(np.float32)
    cell = np.arange(SIDE) * 10 // SIDE
    labels = cell[:, None] * 10 + cell
    free, network = Free(), None if args.only_cpu else demo_network()
    explain(free, image, labels, 50, 0, args.stratified)
    cpu, ratio = [], []
    for seed in range(args.rounds):
        cpu.append(timed(lambda s=seed: explain(free, image, labels, args.n, s, args.stratified)).cpu / args.n * 1e3)
        if network is not None:
            plain = timed(lambda: plain_forwards(network, args.n)).wall
            ratio.append(timed(lambda s=seed: explain(network, image, labels, args.n, s, args.stratified)).wall / plain)
    print(json.dumps({"cpu_ms": median(cpu), "wall_ratio": median(ratio) if ratio else None}))


if __name__ == "__main__":
    main()
