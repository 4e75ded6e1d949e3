"""Train the network that ships as ``VAEGAN.load("brick")``: preset "small", 2,000 crops of scikit-image's brick."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import time
from pathlib import Path

import torch

import xai_ext.anomaly
from xai_ext.anomaly import ReconstructionScore, texture_defects, train_vae_gan
from xai_ext.metrics.detection import auroc

WEIGHTS = Path(xai_ext.anomaly.__file__).parent / "weights" / "brick.safetensors"


def main() -> None:
    """Train, print the image AUROC, write float16 weights."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=WEIGHTS)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    data = texture_defects("brick", seed=0)
    start = time.process_time()
    network = train_vae_gan(data.train, seed=arguments.seed, device="cpu", show_progress=True)
    seconds = time.process_time() - start
    score = ReconstructionScore(network)
    with torch.no_grad():
        scores = torch.cat([score(data.good), score(data.bad)])
    labels = torch.arange(len(scores)) >= len(data.good)
    print(f"{seconds:.0f} CPU-s; losses {network.history[-1]}; image AUROC {auroc(scores, labels):.3f}")
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    network.save(arguments.out, dtype=torch.float16)
    print(f"wrote {arguments.out}, {arguments.out.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
