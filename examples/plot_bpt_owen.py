"""
From the whole picture to its parts
===================================

BPT-Owen starts with the whole picture and splits what matters. With every budget the values add up to
f(x) - f(baseline); more evaluations only say more finely where it comes from.
"""

import matplotlib.pyplot as plt
import numpy as np
import skimage.data
import torch
from PIL import Image

from xai_ext import models
from xai_ext.attr import BPTOwen

classifier = models.load("efficientnet_lite0")
x = classifier.preprocess(Image.fromarray(skimage.data.coffee()))
with torch.no_grad():
    scores, grey = classifier.module(x)[0], classifier.module(torch.zeros_like(x))[0]
target = int(scores.argmax())
print(f"f(x) - f(grey) = {float(scores[target] - grey[target]):.3f} logits of {classifier.name_of(target)!r}")

figure, axes = plt.subplots(1, 4, figsize=(12, 3.4), layout="constrained")
axes[0].imshow(np.clip((x[0].movedim(0, -1) + 1) / 2, 0, 1))
axes[0].set_title(classifier.name_of(target))
for ax, budget in zip(axes[1:], (30, 100, 400), strict=True):
    (explanation,) = BPTOwen(classifier.module).explain(x, target=target, n_samples=budget, perturbations_per_eval=None)
    density = explanation.density_map()
    limit = np.quantile(np.abs(density), 0.99)
    ax.imshow(density, cmap="RdBu_r", vmin=-limit, vmax=limit)
    ax.set_title(f"{budget} evaluations, {explanation.diagnostics['n_regions']} regions")
    print(f"{budget} evaluations: the values sum to {explanation.values.sum():.3f}")
for ax in axes:
    ax.set_axis_off()
plt.show()
