"""Masks of captum-rise and memory of xaitk-saliency; run by the interpreter of their environment. Prints JSON."""

import argparse
import json
import time

import numpy as np
import torch
from _timing import peak_memory

SIDE, CELLS = 224, 7


def captum_rise(n):
    """CPU ms per mask."""
    from rise import MaskSetConfig

    config = MaskSetConfig(((SIDE, SIDE),), (torch.float32,), ((CELLS, CELLS),))
    config.generate()
    start = time.process_time()
    for _ in range(n):
        config.generate()
    return {"mask_ms": (time.process_time() - start) / n * 1e3}


def xaitk_saliency(n):
    """CPU ms per mask, and growth of the peak memory in MB of one explanation of a free model."""
    from smqtk_classifier.interfaces.classify_image import ClassifyImage
    from xaitk_saliency.impls.gen_image_classifier_blackbox_sal.rise import RISEStack
    from xaitk_saliency.impls.perturb_image.rise import RISEGrid

    class Free(ClassifyImage):
        def get_labels(self):
            return [0]

        def classify_images(self, img_iter):
            return ({0: float(np.mean(image[::16, ::16]))} for image in img_iter)

        def get_config(self):
            return {}

    image = np.random.default_rng(0).random((SIDE, SIDE, 3), np.float32)
    RISEStack(n=20, s=CELLS, p1=0.5, seed=0, debiased=False)(image, Free())
    start = time.process_time()
    RISEGrid(n=100, s=CELLS, p1=0.5, seed=0, threads=0).perturb(image)
    mask_ms = (time.process_time() - start) / 100 * 1e3
    before = peak_memory()
    RISEStack(n=n, s=CELLS, p1=0.5, seed=0, debiased=False)(image, Free())
    return {"mask_ms": mask_ms, "memory_mb": (peak_memory() - before) / 2**20}


def main():
    """Measure."""
    parser = argparse.ArgumentParser()
    parser.add_argument("package", choices=("captum_rise", "xaitk_saliency"))
    parser.add_argument("--n", type=int, default=2000)
    args = parser.parse_args()
    torch.set_num_threads(1)
    print(json.dumps(globals()[args.package](args.n)))


if __name__ == "__main__":
    main()
