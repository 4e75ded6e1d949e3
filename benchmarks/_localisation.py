"""The scenes, the model and the methods of `localisation.py`."""

import time
from functools import partial

import numpy as np
import torch

from xai_ext import Game, MaskedModel, segmentation
from xai_ext._task import CountedModel, Task
from xai_ext.attr import StratifiedLime
from xai_ext.methods.owen import owen, owen_over_trees, owen_with_feedback
from xai_ext.metrics import MaskArea, Protocol, agreement, deletion_insertion, iou, max_iou, pointing_game
from xai_ext.study.methods import all_methods

REQUEST = 64  # rows that a method asks for at once; some are known
BASELINE = 0.0  # grey level 127: 0.498 of the range is the mean that the preprocessing subtracts
DRAWS = 4
MIRRORED = 500  # the budget at which mirrored photos are explained too
REFERENCE = "BPT-Owen, BestFirst"


def on_game(scene, counted, budget, *, tree="tree", labels=None, **options):
    """Owen values of pixels, or of atoms, under one tree."""
    players = segmentation.pixels(scene.pixels) if labels is None else getattr(scene, labels)
    explanation = owen(Game(masked(scene, counted), players), getattr(scene, tree), budget=budget, **options)
    return explanation.density_map()


def masked(scene, counted):
    """The target's logit."""
    return MaskedModel(lambda images: counted(images)[:, scene.target], scene.x, BASELINE, batch_size=REQUEST)


def with_feedback(scene, counted, budget):
    """Share .25, weight .25, one round."""
    return owen_with_feedback(masked(scene, counted), scene.pixels, budget=budget).density_map()


def over_trees(scene, counted, budget, *, trees):
    """Noise of +- 4 grey levels."""
    model = masked(scene, counted)
    return owen_over_trees(model, scene.pixels, trees=trees, budget=budget, rng=scene.seed).density_map()


def stratified_lime(scene, counted, budget):
    """With its defaults."""
    (explanation,) = StratifiedLime(counted).explain(
        scene.x,
        BASELINE,
        scene.target,
        feature_mask=torch.from_numpy(scene.regions),
        n_samples=budget,
        perturbations_per_eval=REQUEST,
        seed=scene.seed,
    )
    return explanation.density_map()


def peer(scene, counted, budget, *, name, layer=None):
    """A method of captum or SHAP, or a reference, as `xai-ext compare` runs it."""
    (method,) = (m for m in all_methods() if m.name == name)
    baseline = torch.full_like(scene.x, BASELINE)
    task = Task(counted, scene.x, baseline, scene.target, scene.regions, budget, REQUEST, layer, scene.seed)
    return method.run(task).values


def grad_cam(scene, counted, budget):
    """On the last convolution; it needs the module itself for its hooks and gradients."""
    del counted
    module = CountedModel(scene.model.module)
    return peer(scene, module, budget, name="captum.LayerGradCam", layer="_conv_head")


OWEN = {
    REFERENCE: on_game,
    "BPT-Owen, Designed": partial(on_game, estimator="designed"),
    "BPT-Owen, feedback": with_feedback,
    "BPT-Owen, 2 trees": partial(over_trees, trees=2),
    "BPT-Owen, 4 trees": partial(over_trees, trees=4),
    "BPT-Owen, 8 trees": partial(over_trees, trees=8),
    "BPT-Owen, quantize=False": partial(on_game, tree="float_tree"),
    "BPT-Owen, smoothed": partial(on_game, tree="smooth_tree"),
    "BPT-Owen, SLIC atoms": partial(on_game, tree="atom_tree", labels="atoms"),
    "Ward-Owen": partial(on_game, tree="ward_tree"),
    "axis-aligned Owen": partial(on_game, tree="rectangles"),
}
OTHERS = {
    "shap Partition": partial(peer, name="shap.Partition"),
    "captum Lime": partial(peer, name="captum.Lime"),
    "StratifiedLime": stratified_lime,
    "Grad-CAM": grad_cam,
    "centre blob": partial(peer, name="center"),
}
METHODS = OWEN | OTHERS
RANDOM = "random regions, same tree"


def random_maps(scene, reference):
    """Random densities on as many regions of the tree as the reference's map has."""
    regions = scene.tree.cut(regions=len(np.unique(reference)))[0].reshape(scene.truth.shape)
    draws = np.random.default_rng(scene.seed).random((DRAWS, int(regions.max()) + 1))
    return {f"{RANDOM} {i}": draw[regions] for i, draw in enumerate(draws)}


def scores(scene, mirrored, budget):
    """{method: {metric: value}} at one budget."""
    maps, found = {}, {}
    for name, method in METHODS.items():
        counted = CountedModel(scene.model)
        start = time.process_time() - scene.model.seconds
        maps[name] = method(scene, counted, budget)
        seconds = time.process_time() - scene.model.seconds - start
        found[name] = {"evaluations": counted.n_forward, "seconds": seconds, "mirror": np.nan}
        if name in OWEN and budget == MIRRORED:
            found[name]["mirror"] = mirror_agreement(method, maps[name], mirrored, budget)
    judgements = judged(scene, maps | random_maps(scene, maps[REFERENCE]))
    draws = [judgements.pop(name) for name in list(judgements) if name.startswith(RANDOM)]
    judgements[RANDOM] = {metric: float(np.mean([d[metric] for d in draws])) for metric in draws[0]}
    missing = {"evaluations": 0, "seconds": np.nan, "mirror": np.nan}
    return {name: values | found.get(name, missing) for name, values in judgements.items()}


def mirror_agreement(method, saliency, mirrored, budget):
    """Spearman between a map and that of the mirrored photo, mirrored back."""
    back = method(mirrored, CountedModel(mirrored.model), budget)[:, ::-1]
    return float(agreement(saliency[None], np.ascontiguousarray(back)[None], "spearman"))


def judged(scene, maps):
    """{map: {metric: value}}."""
    tensors = {name: torch.from_numpy(np.ascontiguousarray(m))[None] for name, m in maps.items()}
    truth = torch.from_numpy(scene.truth)[None]
    measured = {
        **curves(scene, tensors, Protocol(normalize="range"), ""),
        **curves(scene, tensors, Protocol(score="prob"), " prob"),
        "best IoU": max_iou(tensors, truth),
        "IoU at area": iou(tensors, truth, threshold=MaskArea()),
        "pointing": pointing_game(tensors, truth),
        "mass": {name: mass_inside(m, scene.truth) for name, m in maps.items()},
    }
    return {name: {metric: float(values[name]) for metric, values in measured.items()} for name in maps}


def curves(scene, tensors, protocol, suffix):
    """{metric: {map: area}}."""
    found = deletion_insertion(
        scene.model, scene.x, tensors, BASELINE, target=scene.target, protocol=protocol, max_examples_per_batch=REQUEST
    )
    names = ("deletion", "insertion", "srg")
    return {n + suffix: {name: getattr(f, n) for name, f in found.items()} for n in names}


def mass_inside(saliency, truth):
    """Share of the positive values that lie on the object; NaN where nothing is positive."""
    positive = np.maximum(saliency, 0)
    return positive[truth].sum() / positive.sum() if positive.any() else np.nan
