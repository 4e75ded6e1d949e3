"""
Error bars for LIME, in Captum
==============================

Which regions make an ImageNet model say "espresso", and how sure is that? Stratified LIME through Captum's interface,
with standard errors, drawn by Captum.
"""

import matplotlib.pyplot as plt
import skimage.data
import torch
from captum.attr import visualization
from PIL import Image

from xai_ext import models, segmentation
from xai_ext.attr import StratifiedLime

classifier = models.load("efficientnet_lite0")
x = classifier.preprocess(Image.fromarray(skimage.data.coffee()))
with torch.no_grad():
    target = int(classifier.module(x).argmax())
segments = torch.from_numpy(segmentation.slic(x, n_segments=50))

lime = StratifiedLime(classifier.module)
arguments = {"target": target, "feature_mask": segments, "n_samples": 200, "seed": 0}
(explanation,) = lime.explain(x, perturbations_per_eval=None, **arguments)
best = explanation.values.argsort()[::-1][:3]
for region in best:
    value, error = explanation.values[region], explanation.std_error[region]
    print(f"region {region}: {value:+.2f} +- {error:.2f} logits of {classifier.name_of(target)!r}")

attributions = lime.attribute(x, perturbations_per_eval=None, **arguments)
photo = (x[0] - x.min()) / (x.max() - x.min())
visualization.visualize_image_attr(
    attributions[0].movedim(0, -1).numpy(),
    photo.movedim(0, -1).numpy(),
    method="blended_heat_map",
    plt_fig_axis=plt.subplots(figsize=(4, 4)),
)
