"""Pixel flipping by Quantus in its own environment, with a model that costs nothing.

Prints the rows that the model saw and the CPU seconds of the call, for one image and one map.
"""

import argparse
import json
import time

import numpy as np
import quantus
import torch


class Free(torch.nn.Module):
    """Two pixels of each image; counts rows."""

    rows = 0

    def forward(self, x):
        """(k, 2)."""
        self.rows += len(x)
        return x[:, 0, :2, 0]


def main():
    """One warm call, one measured."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("given", help="npz with image (1, C, H, W) and map (1, 1, H, W)")
    parser.add_argument("steps", type=int)
    args = parser.parse_args()
    torch.set_num_threads(1)
    given, model = np.load(args.given), Free().eval()
    size = given["image"][0].size // args.steps
    # scores, not areas: its areas need a function that NumPy 2.4 no longer has
    metric = quantus.PixelFlipping(features_in_step=size, perturb_baseline="black", disable_warnings=True)
    for _ in range(2):
        model.rows, start = 0, time.process_time()
        metric(model=model, x_batch=given["image"], y_batch=np.array([0]), a_batch=given["map"], device="cpu")
        seconds = time.process_time() - start
    print(json.dumps({"rows": model.rows, "cpu": seconds}))


if __name__ == "__main__":
    main()
