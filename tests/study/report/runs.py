"""A small comparison and a small study, both real, for the tests of their pages."""

from dataclasses import dataclass, field, replace
from functools import cache

import numpy as np
import pandas as pd
from PIL import Image

from tests.tiny_models import conv
from xai_ext.study import compare
from xai_ext.study.disagreement import DisagreementStudy, Key
from xai_ext.study.methods import choose_methods
from xai_ext.study.unit import Look, Terms, make_scene, run_unit

METHODS = "captum.Saliency,captum.LayerGradCam,rise,random,center"


@cache
def comparison():
    return compare(
        model="tests.tiny_models:conv", methods="ours,captum,random,center", budget=40, segments="grid:4x4", repeats=2
    )


@dataclass
class FakeRun:
    """What a run over a data set hands to its report."""

    rows: pd.DataFrame
    report: object
    kept: dict
    failures: list = field(default_factory=list)
    manifest: dict = field(default_factory=dict)

    def table(self):
        return self.rows.copy()

    def disagreement(self):
        return self.report

    def maps(self, image_id):
        return self.kept.get(image_id)


class WithoutMaps(FakeRun):
    maps = None


@cache
def units(n_images=6, seeds=2):
    """Image -> pixels, and what each method found under its key."""
    kept, classifier, rng = {}, conv(), np.random.default_rng(0)
    for i in range(n_images):
        photo = Image.fromarray(rng.integers(0, 255, (9, 9, 3), np.uint8)).resize((48, 40), Image.Resampling.BICUBIC)
        found = {}
        for baseline in ("zero", "blur"):
            scene = make_scene(photo, classifier, Look(baseline=baseline, segments="grid:4x4", batch_size=32))
            for method in choose_methods(METHODS):
                for seed in range(seeds if method.draws else 1):
                    unit = run_unit(method, scene, seed, Terms(budget=30, n_steps=7))
                    found[Key(method.name, "photos", "conv", baseline, seed)] = unit
        kept[f"image {i}"] = scene.pixels, found
    return kept


@cache
def run(hostile=""):
    """The study; with a hostile name for the first image, for RISE, the model and the data set."""
    study = DisagreementStudy(["spearman", "feature_agreement"], ks=(0.1, 0.25), n_permutations=99)
    rows, shown = [], {}
    for name, (pixels, by_key) in units().items():
        image = hostile if hostile and name == "image 0" else name
        found = {_renamed(key, hostile): unit for key, unit in by_key.items()}
        scores = {key: {"srg": unit.metrics["srg"], "n_evals": unit.cost} for key, unit in found.items()}
        maps = {key: unit.values for key, unit in found.items()}
        study.update(image, maps, scores=scores, covariates={"contrast": float(pixels.std())})
        for key, unit in found.items():
            labels = {"dataset": key.dataset, "model": key.model, "baseline": key.baseline, "method": key.method,
                      "seed": key.seed, "image_id": image, "class_id": 0, "n_evals": unit.cost, "status": 0,
                      "seconds": 0.1}  # fmt: skip
            rows += [{**labels, "metric": m, "value": v} for m, v in unit.metrics.items()]
        shown[image] = pixels, {key.method: unit.values for key, unit in found.items()}
    manifest = {"config": {"models": ["conv"], "budget": 30}, "config_hash": "0" * 16,
                "versions": {"torch": "2.13.0", "xai-ext": "0"}, "created": "2026-01-01"}  # fmt: skip
    return FakeRun(pd.DataFrame(rows), study.report(), shown, [], manifest)


def _renamed(key, hostile):
    if not hostile:
        return key
    return replace(key, method=hostile if key.method == "rise" else key.method, model=hostile, dataset=hostile)
