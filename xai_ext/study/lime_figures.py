"""The figures with which LIME's image explanations are taught: one sheet per photo, for its three likeliest classes."""

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from xai_ext._checks import check_choice
from xai_ext._types import BoolArray, FloatArray
from xai_ext.explanation import Explanation
from xai_ext.game import Game, MaskedModel
from xai_ext.methods.lime import Lasso, Ridge, Top, lime
from xai_ext.models import Classifier, Preprocess, load
from xai_ext.samplers import Bernoulli
from xai_ext.study import inputs
from xai_ext.study.threads import fastest_threads

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PHOTOS = ("coffee", "chelsea", "china")
SURROGATES = {"lasso": Lasso(0.01), "ridge": Ridge(1.0)}
_CLASSES = 3
_CAPTION = (
    "A high perturbation score is a level, not sensitivity: compare f(x) - score and R2. "
    "Losses of classes with different spread are not comparable."
)


@dataclass(frozen=True)
class Settings:
    """What the figures are made with.

    Attributes
    ----------
    images : tuple of str
        Photos by path or built-in name.
    budget : int
        Evaluations per photo, for all classes together: f(x), f(baseline), the others are fair coins.
    surrogate : {"lasso", "ridge"}
        ``Lasso(0.01)`` on the standardised score, or ``Ridge(1.0)``.
    absolute : bool
        Absolute losses instead of squared ones.
    top : int, optional
        At most so many superpixels of a class are shown.
    """

    images: tuple[str, ...] = PHOTOS
    model: str = "efficientnet_lite0"
    budget: int = 1002
    baseline: str = "zero"
    segments: str = "slic:100"
    surrogate: str = "lasso"
    absolute: bool = False
    top: int | None = None
    seed: int = 0


@dataclass(frozen=True, eq=False)
class Sheet:
    """One photo, explained for its likeliest classes.

    Attributes
    ----------
    pixels, hidden : arrays (H, W, 3) uint8
        The photo as the model sees it, and what takes the place of absent superpixels.
    class_names : list of str
        In the order of f(x), largest first; the outputs of the explanation.
    output : str
        "logits", "probabilities" or "unknown": what f returns.
    explanation : Explanation
    seconds : float
    """

    image: str
    pixels: np.ndarray
    hidden: np.ndarray
    class_names: list[str]
    output: str
    explanation: Explanation
    seconds: float

    @property
    def coalitions(self) -> BoolArray:
        """The draws, (m, n)."""
        packed, n = self.explanation.diagnostics["coalitions"], len(self.explanation.values)
        return np.unpackbits(packed, axis=1, count=n).astype(bool)

    @property
    def scores(self) -> FloatArray:
        """Perturbation scores of the draws, (m, classes)."""
        return np.asarray(self.explanation.diagnostics["scores"])

    def losses(self, *, absolute: bool = False) -> FloatArray:
        """Squared residuals of the surrogate at the draws, or absolute ones, (m, classes)."""
        squared = np.asarray(self.explanation.diagnostics["losses"])
        return np.sqrt(squared) if absolute else squared


def lime_figures(settings: Settings | None = None, **options: Any) -> list[Sheet]:
    """LIME as it is taught: fair coins, one set of evaluations for the three likeliest classes, one sheet per photo.

    Parameters
    ----------
    settings : Settings, optional
    **options
        Its fields, by name.
    """
    settings = replace(settings or Settings(), **options)
    check_choice("surrogate", settings.surrogate, SURROGATES)
    classifier = load(settings.model)
    return [_sheet(image, classifier, settings) for image in settings.images]


def _sheet(image: str, classifier: Classifier, settings: Settings) -> Sheet:
    start, photo = time.perf_counter(), inputs.read_image(image)
    x = classifier.input_of(photo)
    pixels = inputs.crop_pixels(photo, x, classifier)
    labels = inputs.make_labels(settings.segments, pixels)
    baseline = inputs.make_baseline(settings.baseline, x, labels, classifier)
    with fastest_threads(classifier.module, x):
        game = Game(MaskedModel(classifier.module, x, baseline), labels)
        explanation = lime(
            game,
            Bernoulli(),
            budget=settings.budget,
            surrogate=SURROGATES[settings.surrogate],
            outputs=Top(min(_CLASSES, len(game.full_value))),
            rng=settings.seed,
        )
    outputs = explanation.diagnostics["outputs"]
    names = [classifier.name_of(int(i)) for i in outputs] if game.masked_model.output_shape else ["score"]
    seconds = time.perf_counter() - start
    return Sheet(image, pixels, _pictured(baseline, x, classifier), names, classifier.output, explanation, seconds)


def _pictured(tensor: Tensor, x: Tensor, classifier: Classifier) -> np.ndarray:
    """A tensor (1, 3, H, W) of the model's input space as pixels (H, W, 3)."""
    preprocess = classifier.preprocess
    if isinstance(preprocess, Preprocess):
        mean, std = (torch.tensor(v).reshape(1, -1, 1, 1) for v in (preprocess.mean, preprocess.std))
        scaled = tensor.cpu() * std + mean
    else:
        scaled = (tensor - x.amin()) / (x.amax() - x.amin()).clamp(min=1e-12)
    shown = (scaled[0] * 255).round().clamp(0, 255).byte()
    return np.asarray(shown.expand(3, *shown.shape[1:]).movedim(0, -1).cpu().numpy())


def run(settings: Settings) -> list[Sheet]:
    """The preset, as the command line calls it."""
    return lime_figures(settings)


def numbers(sheet: Sheet) -> dict[str, Any]:
    """What is written below the boxes, and their quartiles."""
    e, d = sheet.explanation, sheet.explanation.diagnostics
    classes = [
        {
            "class": name,
            "f_x": float(np.atleast_1d(e.full_value)[i]),
            "f_baseline": float(np.atleast_1d(e.base_value)[i]),
            "sd": float(sheet.scores[:, i].std(ddof=1)),
            "r2": float(d["score"][i]),
            "r2_cv": float(d["score_cv"][i]),
            "score_quartiles": np.quantile(sheet.scores[:, i], [0.25, 0.5, 0.75]).tolist(),
            "loss_quartiles": np.quantile(sheet.losses()[:, i], [0.25, 0.5, 0.75]).tolist(),
            "coefficients": e.values.reshape(len(e.values), -1)[:, i].tolist(),
        }
        for i, name in enumerate(sheet.class_names)
    ]
    return {
        "image": sheet.image,
        "superpixels": len(e.values),
        "evaluations": e.n_evals,
        "draws": len(sheet.scores),
        "seconds": sheet.seconds,
        "classes": classes,
    }


def figure(sheet: Sheet, settings: Settings) -> "Figure":
    """The sheet: photo, superpixels, a perturbation; what speaks for each class; boxes of scores, losses and drops."""
    from matplotlib.figure import Figure

    from xai_ext import plots

    labels, values = sheet.explanation.labels[0], sheet.explanation.values.reshape(len(sheet.explanation.values), -1)
    fig = Figure(figsize=(11.5, 12.8), layout="constrained")
    axes = fig.subplots(3, 3, height_ratios=[1, 1, 1.15])
    facts = numbers(sheet)
    first, second, third = axes[0]
    plots.masked(sheet.pixels, labels, np.ones(len(values), bool), sheet.hidden, ax=first)
    first.set_title("\n".join(f"{c['class']}: {c['f_x']:.3g}" for c in facts["classes"]), fontsize=10)
    plots.segments(sheet.pixels, labels, ax=second).set_title(f"{len(values)} superpixels", fontsize=10)
    example = sheet.coalitions[0]
    plots.masked(sheet.pixels, labels, example, sheet.hidden, ax=third)
    third.set_title(f"a perturbation: {example.sum()} of {len(values)} are kept", fontsize=10)
    for ax, name, column in zip(axes[1], sheet.class_names, values.T, strict=False):
        plots.positive_segments(sheet.pixels, labels, column, top=settings.top, ax=ax)
        ax.set_title(f"for {name}: {_counted(column, settings.top)}", fontsize=10)
    for unused in axes[1][values.shape[1] :]:
        unused.set_axis_off()
    _boxes(axes[2], sheet, facts, settings)
    fig.suptitle(f"{sheet.image}, {settings.model}: LIME, {facts['draws']} draws", fontsize=12)
    fig.supxlabel(_CAPTION, fontsize=9)
    return fig


def _counted(column: FloatArray, top: int | None) -> str:
    positive = int((column > 0).sum())
    return f"{positive} superpixels" if top is None or positive <= top else f"{top} of {positive} superpixels"


def _boxes(axes: Sequence[Any], sheet: Sheet, facts: dict[str, Any], settings: Settings) -> None:
    from xai_ext import plots

    unit = {"logits": "logit", "probabilities": "probability"}.get(sheet.output, "score")
    classes = facts["classes"]
    names = [_wrapped(c["class"]) for c in classes]
    ends = [f"\nf(x) {c['f_x']:.3f}\nf(baseline) {c['f_baseline']:.3f}\nsd {c['sd']:.2g}" for c in classes]
    fits = [f"\nR2 {c['r2']:.2f}\n5-fold {c['r2_cv']:.2f}" for c in classes]
    below, beside = ([name + fact for name, fact in zip(names, of, strict=True)] for of in (ends, fits))
    plots.score_boxes(sheet.scores, names=below, ax=axes[0]).set_title(f"perturbation scores ({unit})", fontsize=10)
    losses = sheet.losses(absolute=settings.absolute)
    kind = "absolute" if settings.absolute else "squared"
    plots.loss_boxes(losses, names=beside, ax=axes[1]).set_title(f"losses of the surrogate ({kind})", fontsize=10)
    if not settings.absolute:  # a few large squares would press the boxes flat
        axes[1].set_yscale("function", functions=(lambda y: np.sqrt(np.maximum(y, 0)), np.square))
    drops = np.atleast_1d(sheet.explanation.full_value) - sheet.scores
    plots.score_boxes(drops, names=names, ax=axes[2]).set_title(f"f(x) - perturbation score ({unit})", fontsize=10)


def _wrapped(name: str) -> str:
    import textwrap

    return textwrap.shorten(name, 18, placeholder="…")


def save(sheets: list[Sheet], settings: Settings, folder: Path) -> list[Path]:
    """Write NAME.png per photo and result.json."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / "result.json"]
    results = {"preset": "lime_figures", "settings": asdict(settings), "photos": [numbers(s) for s in sheets]}
    paths[0].write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    for name, sheet in zip(_names(sheets), sheets, strict=True):
        paths.append(folder / f"{name}.png")
        figure(sheet, settings).savefig(paths[-1], dpi=110)
    return paths


def _names(sheets: list[Sheet]) -> list[str]:
    """File names, the second of two equal ones with its number."""
    stems = [Path(s.image).stem for s in sheets]
    return [stem if stem not in stems[:i] else f"{stem}-{i + 1}" for i, stem in enumerate(stems)]


def table(sheets: list[Sheet]) -> str:
    """One line per photo and class."""
    lines = []
    for facts in map(numbers, sheets):
        lines.append(f"{facts['image']}: {facts['superpixels']} superpixels, {facts['evaluations']} evaluations")
        lines += [
            f"  {c['class'][:28]:28} f(x) {c['f_x']:8.3f}  f(baseline) {c['f_baseline']:8.3f}  sd {c['sd']:7.3f}  "
            f"R2 {c['r2']:5.2f}  5-fold {c['r2_cv']:5.2f}  for it: {sum(v > 0 for v in c['coefficients'])} superpixels"
            for c in facts["classes"]
        ]
    return "\n".join(lines)
