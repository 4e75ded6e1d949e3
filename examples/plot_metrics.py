"""
Which explanation should be believed?
=====================================

Deletion, insertion and agreement of Captum's methods and ours.
"""

import matplotlib.pyplot as plt
import skimage.data
import torch
from captum.attr import Occlusion, Saliency
from PIL import Image

from xai_ext import models, segmentation
from xai_ext.attr import StratifiedLime
from xai_ext.metrics import agreement, deletion_insertion

classifier = models.load("efficientnet_lite0")
module = classifier.module
x = classifier.preprocess(Image.fromarray(skimage.data.coffee()))
with torch.no_grad():
    target = int(module(x).argmax())
segments = torch.from_numpy(segmentation.slic(x, n_segments=50))

maps = {
    "StratifiedLime": StratifiedLime(module).attribute(
        x, target=target, feature_mask=segments, n_samples=100, perturbations_per_eval=None, seed=0
    ),
    "Occlusion": Occlusion(module).attribute(x, target=target, sliding_window_shapes=(3, 48, 48), strides=(3, 32, 32)),
    "Saliency": Saliency(module).attribute(x.clone().requires_grad_(), target=target),
}
curves = deletion_insertion(module, x, maps, target=target)
for name, both in curves.items():
    insertion = both.insertion_curve
    plt.plot(insertion.fractions[0], insertion.curve[0], label=name)
    print(f"{name:15} deletion {both.deletion.item():5.2f}  insertion {both.insertion.item():5.2f}")
print(f"rank agreement of the first two: {float(agreement(maps['StratifiedLime'], maps['Occlusion'])):.2f}")
plt.gca().set(xlabel="share of the image that is shown", ylabel="logit")
plt.legend()
plt.show()
