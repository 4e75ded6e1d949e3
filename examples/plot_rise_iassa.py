"""
Maps without regions: RISE and IASSA
====================================

RISE hides random cells and returns an error for every pixel; IASSA slides a window and refines where hiding cost most.
Neither needs a segmentation.
"""

import matplotlib.pyplot as plt
import numpy as np
import skimage.data
import torch
from PIL import Image

from xai_ext import models
from xai_ext.attr import IASSA, RISE

classifier = models.load("efficientnet_lite0")
x = classifier.preprocess(Image.fromarray(skimage.data.coffee()))
with torch.no_grad():
    target = int(classifier.module(x).argmax())

(rise,) = RISE(classifier.module).explain(x, target=target, n_samples=200, perturbations_per_eval=None, seed=0)
(iassa,) = IASSA(classifier.module).explain(x, target=target, n_samples=200, perturbations_per_eval=None)
print(f"RISE: largest value {rise.values.max():.3f}, typical standard error {np.median(rise.std_error):.3f}")
print(f"IASSA: windows per level {[level['n_windows'] for level in iassa.diagnostics['levels']]}")

panels = {
    classifier.name_of(target): np.clip((x[0].movedim(0, -1) + 1) / 2, 0, 1),
    "RISE": rise.region_map(),
    "its standard error": rise.std_error[rise.labels[0]],
    "IASSA": iassa.region_map(),
}
figure, axes = plt.subplots(1, 4, figsize=(12, 3.4), layout="constrained")
for ax, (title, panel) in zip(axes, panels.items(), strict=True):
    ax.imshow(panel, cmap="viridis")
    ax.set_title(title)
    ax.set_axis_off()
plt.show()
