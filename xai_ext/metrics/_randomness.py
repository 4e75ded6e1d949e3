"""One seed per call, from which every example and every map starts: no batch-mate matters."""

import numpy as np


def seed_of(rng: np.random.Generator | None) -> int:
    """Drawn once per call; None is ``default_rng(0)``."""
    return int((np.random.default_rng(0) if rng is None else rng).integers(2**63))


def example_rng(seed: int) -> np.random.Generator:
    """The generator of one example and map: the same for all, so that they share their random numbers."""
    return np.random.default_rng(seed)
