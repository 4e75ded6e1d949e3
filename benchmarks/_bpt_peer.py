"""Builds trees with shap_bpt in its own environment: a path of an array per line in, its CPU seconds out.

With a second path on the line the tree is written there.
"""

import sys
import time

import numpy as np
from shap_bpt import bpt
from shap_bpt.shap_bpt import build_bpt_from_image


def main():
    """Build and encode, as its explainer does before the first evaluation."""
    for line in sys.stdin:
        given, *written = line.split()
        image = np.load(given)
        start = time.process_time()
        builder = bpt.BinaryPartitionTreeBuilder(image=image)
        builder.compute()
        builder.encode()
        seconds = time.process_time() - start
        for path in written:
            tree = build_bpt_from_image(image, use_lab=False)
            arrays = {name: np.array(getattr(tree, name)) for name in ("pixels", "leaf_idx", "cl_start", "cl_end")}
            np.savez(path, children=np.stack([tree.cl_left, tree.cl_right], 1), **arrays)
        del builder
        print(seconds, flush=True)


if __name__ == "__main__":
    main()
