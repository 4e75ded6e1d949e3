"""
What hiding means: four baselines
=================================

Hiding a region is replacing it. The same method, the same photo, four replacements: values explain
f(x) - f(baseline), so each map answers another question.
"""

import matplotlib.pyplot as plt
import numpy as np
import skimage.data
import torch
from PIL import Image

from xai_ext import baselines, models
from xai_ext.attr import BPTOwen

classifier = models.load("efficientnet_lite0")
x = classifier.preprocess(Image.fromarray(skimage.data.coffee()))
with torch.no_grad():
    target = int(classifier.module(x).argmax())

choices = {"grey": torch.zeros_like(x), "mean colour": baselines.mean(x), "blur": baselines.blur(x)}
choices["inpainted from the border"] = baselines.inpaint(x)
figure, axes = plt.subplots(2, 4, figsize=(12, 6.2), layout="constrained")
for column, (name, baseline) in zip(axes.T, choices.items(), strict=True):
    (explanation,) = BPTOwen(classifier.module).explain(
        x, baseline, target=target, n_samples=100, perturbations_per_eval=None
    )
    gap = float(explanation.full_value - explanation.base_value)
    print(f"{name:26} f(x) - f(baseline) = {gap:5.2f} logits")
    density = explanation.density_map()
    limit = np.quantile(np.abs(density), 0.99)
    column[0].imshow(np.clip((baseline[0].movedim(0, -1) + 1) / 2, 0, 1))
    column[1].imshow(density, cmap="RdBu_r", vmin=-limit, vmax=limit)
    column[0].set_title(f"{name}, {gap:+.1f}")
for ax in axes.flat:
    ax.set_axis_off()
plt.show()
