"""
Do two methods disagree, or is it noise?
========================================

Two runs of one method differ, too. Only what exceeds this noise floor is disagreement of methods.
"""

import matplotlib.pyplot as plt
import skimage.data
import torch
from PIL import Image

from xai_ext import models, segmentation
from xai_ext.attr import BPTOwen, StratifiedLime
from xai_ext.metrics import agreement_matrix, noise_floor

classifier = models.load("efficientnet_lite0")
x = classifier.preprocess(Image.fromarray(skimage.data.coffee()))
with torch.no_grad():
    target = int(classifier.module(x).argmax())
segments = torch.from_numpy(segmentation.slic(x, n_segments=30))
shared = {"target": target, "feature_mask": segments}
lime = StratifiedLime(classifier.module)
runs = [lime.attribute(x, **shared, n_samples=100, perturbations_per_eval=None, seed=seed) for seed in range(3)]
owen = BPTOwen(classifier.module).attribute(x, **shared, n_samples=150, perturbations_per_eval=None)
maps = {"LIME": runs[0], "LIME, other seed": runs[1], "BPT-Owen": owen}
regions = {"feature_mask": segments, "map_kind": "region"}  # each pixel carries the value of its whole region
matrix = agreement_matrix(maps, ["spearman"], **regions).mean("spearman")
floor = noise_floor(runs, **regions).item()
print(f"rank correlation of two LIME runs {floor:.2f}; of LIME and BPT-Owen {matrix[0, 2]:.2f}")
plt.imshow(matrix, vmin=-1, vmax=1, cmap="RdBu_r", alpha=0.5)
for i, row in enumerate(matrix):
    for j, value in enumerate(row):
        plt.text(j, i, f"{value:.2f}", ha="center", va="center")
plt.xticks(range(3), maps)
plt.yticks(range(3), maps)
plt.title(f"rank correlation of regions (LIME with itself: {floor:.2f})")
plt.show()
