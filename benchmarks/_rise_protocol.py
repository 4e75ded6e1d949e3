"""The evaluation of RISE, typed again from its description: one row of pixels per step, every step a forward."""

import numpy as np
import torch


def rise_curve(model, start, finish, saliency, step, batch):
    """Scores while the pixels of a saliency map (H, W) move from `start` to `finish` (1, C, H, W), highest first."""
    order = np.argsort(-saliency.ravel(), kind="stable")
    channels = start.shape[1]
    n_steps = -(-order.size // step)
    image, images, scores = start.clone(), [], []
    for i in range(n_steps + 1):
        images.append(image.clone())
        moved = torch.from_numpy(order[i * step : (i + 1) * step].copy())
        image.view(1, channels, -1)[:, :, moved] = finish.view(1, channels, -1)[:, :, moved]
        if len(images) == batch or i == n_steps:
            scores.append(model(torch.cat(images)))
            images = []
    return torch.cat(scores).double().numpy()


def rise_area(scores):
    """Trapezoids of equal width."""
    return (scores.sum() - (scores[0] + scores[-1]) / 2) / (len(scores) - 1)
