"""Random generators: the user's are left as they were, ours are arguments."""

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


@contextmanager
def preserved_generators(seed: int | None = None) -> Iterator[None]:
    """Run a block, then put the global generators of torch, CUDA, NumPy and Python back.

    Parameters
    ----------
    seed : int, optional
        Seeds all of them inside the block: for hosts that know no other way to be reproducible.
    """
    python_state, numpy_state = random.getstate(), np.random.get_state()  # noqa: NPY002 - the global state is the point
    cuda = list(range(torch.cuda.device_count())) if torch.cuda.is_available() else []
    with torch.random.fork_rng(devices=cuda):
        if seed is not None:
            random.seed(seed)
            np.random.seed(seed % 2**32)  # noqa: NPY002 - likewise
            torch.manual_seed(seed)
        try:
            yield
        finally:
            random.setstate(python_state)
            np.random.set_state(numpy_state)  # noqa: NPY002 - likewise


def default_rng(rng: np.random.Generator | int | None) -> np.random.Generator:
    """``rng`` itself, or a generator seeded with it (None: fresh entropy)."""
    return np.random.default_rng(rng)
