"""
Is a detector right for the right reason?
=========================================

A detector of defects that ships with the package, its threshold set on normal images alone. A label in a corner is
flagged, too: the decision looks right and its reason is wrong.
"""

import matplotlib.pyplot as plt
import torch

from xai_ext.anomaly import VAEGAN, Max, ReconstructionScore, right_reason, texture_defects
from xai_ext.attr import BPTOwen

data = texture_defects("brick", n_train=0, n_bad=4, n_nuisance=2)
score = ReconstructionScore(VAEGAN.load("brick"), reduce=Max()).calibrate(data.calibration, alpha=0.05)

x, masks = data.bad[:2], data.masks[:2]  # a blob and a scratch, and where they were drawn
marked, elsewhere = (part[:1] for part in data.fooled())  # a label, while the darkened square is what should matter
x, masks = torch.cat([x, marked]), torch.cat([masks, elsewhere])
verdicts = right_reason(score, x, masks).verdict
values = BPTOwen(score).attribute(x, baselines=score.reference, n_samples=300, perturbations_per_eval=None)

figure, axes = plt.subplots(3, 3, figsize=(8, 8), layout="constrained")
for row, image, mask, value, verdict, s in zip(axes, x, masks, values, verdicts, score(x).detach(), strict=True):
    row[0].imshow(image[0], cmap="gray", vmin=0, vmax=1)
    row[0].contour(mask, levels=[0.5], colors="orange")
    row[1].imshow(score.map(image[None])[0, 0].detach())
    limit = float(value.abs().max())
    row[2].imshow(value[0], cmap="RdBu_r", vmin=-limit, vmax=limit)
    row[1].set_title(f"score {float(s):.2f}, threshold {score.threshold:.2f}: {verdict} reason", fontsize=9)
    print(f"score {float(s):.2f}: {verdict}")
for ax in axes.flat:
    ax.set_axis_off()
plt.show()
