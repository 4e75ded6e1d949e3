"""Builds trees with shap_bpt in its own environment: a path of an array per line in, its CPU seconds out."""

import sys
import time

import numpy as np
from shap_bpt import bpt


def main():
    """Build and encode, as its explainer does before the first evaluation."""
    for line in sys.stdin:
        image = np.load(line.strip())
        start = time.process_time()
        builder = bpt.BinaryPartitionTreeBuilder(image=image)
        builder.compute()
        builder.encode()
        seconds = time.process_time() - start
        del builder
        print(seconds, flush=True)


if __name__ == "__main__":
    main()
