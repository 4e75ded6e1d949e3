"""Models whose curves are known, and data for them."""

import numpy as np
import torch


class Spy:
    """Counts the rows it sees and remembers them."""

    def __init__(self, function):
        self.function, self.rows, self.largest = function, [], 0

    def __call__(self, images, *extra):
        self.rows += list(images.clone())
        self.largest = max(self.largest, len(images))
        return self.function(images, *extra)


def linear(weights):
    weights = torch.as_tensor(weights, dtype=torch.float64)
    return lambda images: (images * weights).flatten(1).sum(1)


def curved(images):
    """A score that is not additive."""
    return torch.tanh(images.flatten(1).sum(1) / 4) + images.flatten(1).amax(1)


def by_hand(function, x, baseline, saliency, counts):
    """Deletion and insertion scores of one example whose positions (all channels) leave one after the other."""
    order = sorted(np.ndindex(saliency.shape), key=lambda position: -saliency[position])
    scores = []
    for count in counts:
        gone, back = x.clone(), baseline.clone()
        for position in order[:count]:
            gone[(slice(None), *position)] = baseline[(slice(None), *position)]
            back[(slice(None), *position)] = x[(slice(None), *position)]
        scores.append([float(function(image[None])) for image in (gone, back)])
    return np.array(scores).T


def examples(*shape, seed=0):
    rng = np.random.default_rng(seed)
    return torch.from_numpy(rng.normal(size=shape))


def scenes(n=20, height=5, width=6, seed=0):
    """Maps with ties and masks that are neither empty nor full."""
    rng = np.random.default_rng(seed)
    masks = rng.random((n, height, width)) < 0.4
    masks[:, 0, 0], masks[:, -1, -1] = True, False
    return rng.integers(-4, 5, (n, height, width)) / 4, masks
