"""Explain an anomaly detector, and ask whether it is right for the right reason.

Trains a small autoencoder on photographed brick, sets its threshold on normal images alone, explains the defects that
it flags by methods of this package, Captum and SHAP, and judges each decision. One figure.
"""

import argparse

import numpy as np
import shap
import torch
from captum.attr import IntegratedGradients

from xai_ext import segmentation
from xai_ext.anomaly import ReconstructionScore, TopK, right_reason, texture_defects, train_vae_gan
from xai_ext.attr import IASSA, BPTOwen, StratifiedLime
from xai_ext.models import as_numpy_function
from xai_ext.plots import AnomalyRow, anomaly_sheet

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--epochs", type=int, default=15)
parser.add_argument("--images", type=int, default=2000, help="for training")
parser.add_argument("--defects", type=int, default=4)
parser.add_argument("--budget", type=int, default=500, help="model evaluations per method")
parser.add_argument("--out", default="anomaly.png")
arguments = parser.parse_args()

# 1. A detector: how badly are the worst 1 % of an image's pixels reconstructed?
data = texture_defects("brick", n_train=arguments.images)
network = train_vae_gan(data.train, epochs=arguments.epochs, show_progress=True)
score = ReconstructionScore(network, reduce=TopK(0.01))

# 2. Its threshold, from held-out normal images: at most 5 % of new ones will be flagged
score.calibrate(data.calibration, alpha=0.05)
print(
    f"threshold {score.threshold:.3f}; of {len(data.good)} other normals {score.decide(data.good).float().mean():.1%}"
)

# 3. Does each decision follow the defect: away when it is repaired, along when it is moved to a normal image?
reasons = right_reason(score, data.bad, data.masks)
print(reasons.table()["verdict"].value_counts().to_string())

# 4. The same score in three libraries
flagged = [i for i, verdict in enumerate(reasons.verdict) if verdict != "not_detected"]
rows = []
for i in flagged[: arguments.defects]:
    x = data.bad[i : i + 1]
    reference = score.reference(x)  # what the image would be if it were normal
    segments = segmentation.slic(x, n_segments=40)
    image, normal = (np.ascontiguousarray(t[0].movedim(0, -1)) for t in (x, reference))
    partition = shap.Explainer(as_numpy_function(score), shap.maskers.Image(normal, image.shape))
    budget = {"n_samples": arguments.budget, "perturbations_per_eval": None}
    lime = StratifiedLime(score).attribute(x, reference, feature_mask=torch.from_numpy(segments), seed=0, **budget)
    tensors = {
        "BPTOwen": BPTOwen(score).attribute(x, reference, **budget),
        "StratifiedLime": lime / torch.from_numpy(np.bincount(segments.ravel())[segments]),
        "IASSA": IASSA(score).attribute(x, reference, **budget),
        "captum IG": IntegratedGradients(score).attribute(x, reference, n_steps=50),
    }
    maps = {name: t[0].sum(0).double().numpy() for name, t in tensors.items()}
    maps["shap Partition"] = partition(image[None], max_evals=arguments.budget, silent=True).values[0].sum(-1)
    caption = f"{data.kinds[i]}, {reasons.verdict[i]}\nscore {reasons.s_x[i]:.2f}, threshold {score.threshold:.2f}"
    raw = score.map(x)[0, 0].detach().numpy()
    rows.append(AnomalyRow(image[..., 0], normal[..., 0], raw, maps, data.masks[i].numpy(), caption))

if rows:
    anomaly_sheet(rows, title="A detector of brick defects, explained").savefig(arguments.out, dpi=110)
    print(f"wrote {arguments.out}")
else:
    print("no defect was flagged: train longer")
