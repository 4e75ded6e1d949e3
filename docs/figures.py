"""The pictures of the pages on methods: ``python docs/figures.py [NAME ...]``, about two minutes.

What a panel shows as seen by the model was seen by the model: a spy stands between the method and the network.
"""

import sys
from collections.abc import Callable
from pathlib import Path

import matplotlib as mpl

mpl.use("agg")
import matplotlib.pyplot as plt
import numpy as np
import skimage.data
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image
from skimage.segmentation import find_boundaries
from torch import Tensor

from xai_ext import models, segmentation
from xai_ext._types import AnyArray
from xai_ext.anomaly import VAEGAN, Max, ReconstructionScore, texture_defects
from xai_ext.attr import IASSA, RISE, BPTOwen, StratifiedLime
from xai_ext.hierarchies import bpt
from xai_ext.metrics import deletion_insertion

FOLDER = Path(__file__).parent / "images" / "methods"
PALE, ORANGE, BLUE = "#8a8a8a", "#d55e00", "#0072b2"


class Subject:
    """A photo, the network, its first class, and the images that the network has seen."""

    def __init__(self, photo: AnyArray) -> None:
        classifier = models.load("efficientnet_lite0")
        self.network = classifier.module
        self.x: Tensor = classifier.preprocess(Image.fromarray(photo))
        with torch.no_grad():
            self.target = int(self.network(self.x).argmax())
        self.name = classifier.name_of(self.target)
        self.seen: list[Tensor] = []
        self.scores: list[float] = []

    def __call__(self, x: Tensor) -> Tensor:
        """The network, remembered."""
        self.seen.extend(x.clone())
        scores: Tensor = self.network(x)
        self.scores.extend(scores[:, self.target].tolist())
        return scores

    def score(self, x: Tensor) -> float:
        """The explained logit of one image."""
        with torch.no_grad():
            return float(self.network(x[None])[0, self.target])


def row(n: int, *, height: float = 2.7) -> tuple[Figure, list[Axes]]:
    """A figure of n panels side by side."""
    figure, axes = plt.subplots(1, n, figsize=(2.5 * n, height), layout="constrained")
    return figure, list(axes)


def show(ax: Axes, image: AnyArray, title: str, **kwargs: object) -> None:
    """One panel without ticks."""
    ax.imshow(image, **kwargs)
    ax.set_title(title, fontsize=10)
    ax.set_xticks([])
    ax.set_yticks([])


def pixels(x: Tensor) -> AnyArray:
    """A preprocessed image as one to look at."""
    return np.asarray(np.clip((x.movedim(0, -1).numpy() + 1) / 2, 0, 1))


def signed(ax: Axes, values: AnyArray, title: str) -> None:
    """A map with zero in the middle of the colours."""
    limit = float(np.quantile(np.abs(values), 0.995))
    show(ax, values, title, cmap="RdBu_r", vmin=-limit, vmax=limit)


def outlined(image: AnyArray, labels: AnyArray) -> AnyArray:
    """The image with the borders of its regions."""
    return np.where(find_boundaries(labels, mode="inner")[..., None], [1.0, 0.85, 0.0], image)


def stratified_lime() -> Figure:
    """Regions, a coalition, its complement, coefficients with their errors."""
    subject = Subject(skimage.data.coffee())
    labels = segmentation.slic(subject.x, n_segments=30)
    (explanation,) = StratifiedLime(subject).explain(
        subject.x, target=subject.target, feature_mask=torch.from_numpy(labels), n_samples=300, seed=1
    )
    figure, axes = row(5)
    show(axes[0], outlined(pixels(subject.x[0]), labels), f"regions: {subject.name}?")
    for ax, image, name in zip(axes[1:3], subject.seen[2:4], ("a coalition", "its complement"), strict=True):
        show(ax, pixels(image), f"{name}: {subject.score(image):.1f}")
    signed(axes[3], explanation.region_map(), "coefficients")
    order = explanation.values.argsort()[::-1][:8]
    axes[4].errorbar(range(8), explanation.values[order], 2 * explanation.std_error[order], fmt="o", color=BLUE)
    axes[4].axhline(0, color=PALE, lw=1)
    axes[4].set_title("the largest, ± 2 standard errors", fontsize=10)
    axes[4].set_xticks([])
    return figure


def bpt_owen() -> Figure:
    """The tree cut at 2, 8 and 64 regions, and the map of a budget."""
    subject = Subject(skimage.data.coffee())
    image = pixels(subject.x[0])
    (explanation,) = BPTOwen(subject).explain(
        subject.x, target=subject.target, n_samples=400, perturbations_per_eval=None
    )
    tree = bpt(subject.x[0].movedim(0, -1).numpy(), segmentation.pixels(subject.x))
    figure, axes = row(5)
    show(axes[0], image, f"the whole picture: {subject.name}?")
    for ax, regions in zip(axes[1:4], (2, 8, 64), strict=True):
        labels = tree.cut(regions=regions)[0].reshape(image.shape[:2])
        show(ax, outlined(image, labels), f"{regions} regions of its tree")
    signed(axes[4], explanation.density_map(), "Owen values, 400 evaluations")
    return figure


def rise() -> Figure:
    """Three masked images with their scores, the map and its error."""
    subject = Subject(skimage.data.coffee())
    (explanation,) = RISE(subject).explain(subject.x, target=subject.target, n_samples=300, seed=0)
    figure, axes = row(5)
    for ax, image in zip(axes[:3], subject.seen[2:5], strict=True):
        show(ax, pixels(image), f"{subject.name}: {subject.score(image):.1f}")
    signed(axes[3], explanation.region_map(), "where seeing raises the score")
    show(axes[4], explanation.std_error[explanation.labels[0]], "standard error", cmap="viridis")
    return figure


def iassa() -> Figure:
    """A coarse and a fine window, the map after the first level and after the last."""
    subject = Subject(skimage.data.coffee())
    method = IASSA(subject)
    (explanation,) = method.explain(subject.x, target=subject.target, n_samples=400)
    levels = explanation.diagnostics["levels"]
    coarse = levels[0]["n_windows"]
    most, finest = (int(np.argmin(part)) for part in (subject.scores[2 : coarse + 2], subject.scores[coarse + 2 :]))
    windows = (subject.seen[2 + most], subject.seen[coarse + 2 + finest])
    (first,) = method.explain(subject.x, target=subject.target, n_samples=coarse + 2)
    figure, axes = row(5)
    show(axes[0], pixels(subject.x[0]), f"{subject.name}: {subject.score(subject.x[0]):.1f}")
    for ax, image, name in ((axes[1], windows[0], "coarse"), (axes[3], windows[1], "fine")):
        show(ax, pixels(image), f"{name} window: {subject.score(image):.1f}")
    signed(axes[2], first.region_map(), f"after {first.n_evals} evaluations")
    signed(axes[4], explanation.region_map(), f"after {explanation.n_evals}, {len(levels)} levels")
    return figure


def anomaly() -> Figure:
    """A flagged image, its evidence, the defect repaired, and the defect in a normal image."""
    data = texture_defects("brick", n_train=0, n_bad=2, n_nuisance=0)
    score = ReconstructionScore(VAEGAN.load("brick"), reduce=Max()).calibrate(data.calibration, alpha=0.05)
    x, mask, normal = data.bad[1:2], data.masks[1:2, None], data.good[:1]
    with torch.no_grad():
        repaired, moved = torch.where(mask, data.clean[1:2], x), torch.where(mask, x, normal)
        reference, evidence = score.reference(x), score.map(x)[0, 0].numpy()
        scores = {name: float(score(t)) for name, t in (("x", x), ("repaired", repaired), ("moved", moved))}
    figure, axes = row(5)
    show(axes[0], x[0, 0], f"score {scores['x']:.2f} > {score.threshold:.2f}: flagged", cmap="gray", vmin=0, vmax=1)
    show(axes[1], reference[0, 0], "what it would be if normal", cmap="gray", vmin=0, vmax=1)
    show(axes[2], evidence, "evidence", cmap="viridis")
    show(axes[3], repaired[0, 0], f"defect repaired: {scores['repaired']:.2f}", cmap="gray", vmin=0, vmax=1)
    show(axes[4], moved[0, 0], f"defect moved to a normal: {scores['moved']:.2f}", cmap="gray", vmin=0, vmax=1)
    return figure


def metrics() -> Figure:
    """What deletion and insertion show the model, and the curves of a map and of a random one."""
    subject = Subject(skimage.data.coffee())
    values = BPTOwen(subject.network).attribute(
        subject.x, target=subject.target, n_samples=400, perturbations_per_eval=None
    )
    random = torch.rand(subject.x.shape[-2:], generator=torch.Generator().manual_seed(0)).expand_as(values)
    curves = deletion_insertion(subject.network, subject.x, {"map": values, "random": random}, target=subject.target)
    top = values.sum(1, keepdim=True) >= values.sum(1).quantile(0.8)
    figure, axes = row(5)
    signed(axes[0], values[0].sum(0).numpy(), "the map to be judged")
    for ax, keep, name in ((axes[1], ~top, "without"), (axes[2], top, "only")):
        image = torch.where(keep, subject.x, 0.0)[0]
        show(ax, pixels(image), f"{name} its highest fifth: {subject.score(image):.1f}")
    for ax, side in ((axes[3], "deletion"), (axes[4], "insertion")):
        for name, colour in (("map", ORANGE), ("random", PALE)):
            curve = getattr(curves[name], f"{side}_curve")
            ax.plot(curve.fractions[0], curve.curve[0], color=colour, label=f"{name}: {float(curve.auc[0]):.1f}")
        ax.set_title(f"{side}, score by share of pixels", fontsize=10)
        ax.legend(fontsize=8)
    return figure


PICTURES: dict[str, Callable[[], Figure]] = {
    f.__name__: f for f in (stratified_lime, bpt_owen, rise, iassa, anomaly, metrics)
}


def main(names: list[str]) -> None:
    """Draw the pictures of these names, or all."""
    torch.set_num_threads(1)
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name in names or PICTURES:
        figure = PICTURES[name]()
        figure.savefig(FOLDER / f"{name}.webp", dpi=110, facecolor="white", pil_kwargs={"quality": 80})
        plt.close(figure)
        print(FOLDER / f"{name}.webp")


if __name__ == "__main__":
    main(sys.argv[1:])
