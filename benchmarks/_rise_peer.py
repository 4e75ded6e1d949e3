"""RISE as captum-rise or xaitk-saliency computes it; run by the interpreter of their environment.

Reads images, classes and a network as TorchScript; writes one map per image and number of masks.
"""

import argparse
import time

import numpy as np
import torch

CELLS = 7


def probability(network, images, target):
    """Of a class, (k,)."""
    with torch.no_grad():
        return network(images.contiguous(memory_format=torch.channels_last)).softmax(1)[:, target]


def captum_rise(network, image, target, n, seed):
    """One mask per forward; the package takes no seed but PyTorch's."""
    from rise import RISE

    torch.manual_seed(seed)
    method = RISE(lambda x: network(x.contiguous(memory_format=torch.channels_last)).softmax(1))
    with torch.no_grad():  # it keeps no gradients out by itself
        found = method.attribute((image,), n_masks=n, initial_mask_shapes=((CELLS, CELLS),), target=target)
    return (found[0] if isinstance(found, tuple) else found).reshape(image.shape[2:]).numpy()


def xaitk_saliency(network, image, target, n, seed):
    """Its `RISEStack`, without the debiasing that changes no ranking."""
    from smqtk_classifier.interfaces.classify_image import ClassifyImage
    from xaitk_saliency.impls.gen_image_classifier_blackbox_sal.rise import RISEStack

    class Blackbox(ClassifyImage):
        def get_labels(self):
            return [target]

        def classify_images(self, img_iter):
            for array in img_iter:
                rows = torch.from_numpy(np.ascontiguousarray(array)).movedim(-1, 0)[None]
                yield {target: float(probability(network, rows, target)[0])}

        def get_config(self):
            return {}

    method = RISEStack(n=n, s=CELLS, p1=0.5, seed=seed, debiased=False)
    return method(image[0].movedim(0, -1).numpy(), Blackbox())[0]


def main():
    """Write the maps."""
    parser = argparse.ArgumentParser()
    parser.add_argument("package", choices=("captum_rise", "xaitk_saliency"))
    parser.add_argument("network", help="TorchScript file")
    parser.add_argument("images", help="npz with images (n, C, H, W) and targets (n,)")
    parser.add_argument("out", help="npz of maps (n, numbers, H, W) and CPU seconds")
    parser.add_argument("--numbers", type=lambda text: [int(n) for n in text.split(",")], required=True)
    args = parser.parse_args()
    torch.set_num_threads(1)
    network = torch.jit.load(args.network).eval()
    with np.load(args.images) as data:
        images, targets = torch.from_numpy(data["images"]), data["targets"].tolist()
    explain, start = globals()[args.package], time.process_time()
    maps = [
        [explain(network, image[None], target, n, seed) for n in args.numbers]
        for seed, (image, target) in enumerate(zip(images, targets, strict=True))
    ]
    np.savez_compressed(args.out, maps=np.array(maps), seconds=time.process_time() - start)


if __name__ == "__main__":
    main()
