"""Are detectors right for the right reason, and do maps of their decisions find the defect?

Trains small autoencoders on textures (and on grey tiles, by path), kept in --cache. TILES holds index.csv with columns
image, mask and defect.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch and NumPy start their threads

import argparse
import time
import warnings
from pathlib import Path

import _anomaly
import torch


def main() -> None:
    """Run the parts that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tiles", type=Path)
    parser.add_argument("--cache", type=Path, default=Path("anomaly-networks"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--flips", type=int, nargs="+", default=[], help="seeds, also trained on flipped images")
    parser.add_argument("--gan", action="store_true", help="also the adversarial preset, for acceptance of a default")
    parser.add_argument("--images", type=int, default=12, help="explained by every method")
    parser.add_argument("--paper-images", type=int, default=6)
    parser.add_argument("--budget", type=int, default=300)
    parser.add_argument("--only", nargs="+", default=["detect", "reason", "maps", "report", "paper", "speed"])
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    for name in arguments.only:
        start = time.process_time()
        getattr(_anomaly, name)(arguments)
        print(f"\n({time.process_time() - start:.0f} CPU-s)", flush=True)


if __name__ == "__main__":
    main()
