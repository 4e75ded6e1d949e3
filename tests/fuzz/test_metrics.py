"""Every public name of `xai_ext.metrics` under random shapes, dtypes, layouts, masks, targets and budgets."""

from functools import partial

import pytest
import torch

from tests.fuzz import map_calls as maps
from tests.fuzz import model_calls as models
from tests.fuzz import number_calls as numbers
from tests.fuzz import pair_calls as pairs
from tests.fuzz.odd import driven
from xai_ext import metrics
from xai_ext.metrics import detection

THRESHOLDED = ("f_score", "iou", "precision", "recall")
LOCATED = ("average_precision", "energy_pointing_game", "mass_accuracy", "rank_accuracy", "roc_auc")


def thresholded(name, draw):
    return maps.located(name, draw, threshold=maps.rule(draw))


CALLS = {
    **{name: partial(thresholded, name) for name in THRESHOLDED},
    **{name: partial(maps.located, name) for name in LOCATED},
    **{name: partial(maps.overlap_curve, name) for name in ("au_iou", "iou_curve")},
    **{name: partial(maps.threshold, name) for name in maps.RULES},
    **{name: partial(maps.alone, name) for name in ("effective_complexity", "entropy", "gini", "hoyer")},
    **{name: partial(pairs.distance, name) for name in ("emd", "js_distance", "kl", "l2", "sim")},
    **{name: partial(pairs.fixated, name) for name in ("auc_judd", "nss")},
    **{name: partial(models.curve, name) for name in ("deletion", "deletion_insertion", "insertion", "srg")},
    **{name: partial(numbers.relative, name) for name in ("adcc", "average_drop", "average_gain", "average_increase")},
    **{name: getattr(maps, name) for name in (
        "from_shap", "max_iou", "pixel_level", "pointing_accuracy", "pointing_game")},
    **{name: getattr(pairs, name) for name in (
        "agreement", "agreement_matrix", "area_over_k", "kendall_w", "noise_floor", "reference_maps")},
    **{name: getattr(numbers, name) for name in (
        "box_iou", "boxes_to_mask", "chance", "curve_auc", "resize_map", "top_mask")},
    **{name: getattr(models, name) for name in (
        "infidelity", "numpy_forward", "parameter_randomization", "road", "sensitivity_max", "sensitivity_n")},
    "LinearImputer": models.imputer,
    "Protocol": numbers.protocol,
    **{f"detection.{name}": partial(numbers.detected, name) for name in ("auroc", "f1_max", "oracle_threshold")},
    **{f"detection.{name}": partial(numbers.detected_pixels, name) for name in ("aupro", "pixel_auroc")},
}  # fmt: skip
# what the calls above return and look at, and the names of what they take
RESULTS = {"Agreement", "AgreementMatrix", "Complexity", "Concordance", "CurveResult", "DeletionInsertion", "Details",
           "RandomizationResult", "RoadResult", "Status"}  # fmt: skip
TYPES = {"Metric", "Threshold"}


def function(name):
    return getattr(detection, name[10:]) if name.startswith("detection.") else getattr(metrics, name)


def test_every_public_name_is_driven():
    driven = {name for name in CALLS if not name.startswith("detection.")}
    assert driven | RESULTS | TYPES == set(metrics.__all__)
    public = {f"detection.{name}" for name in detection.__all__ if callable(getattr(detection, name))}
    others = {"Auroc", "F1Max", "OracleThreshold", "MassFraction"}  # results, and a rule that is driven
    assert {name for name in CALLS if name.startswith("detection.")} == public - {f"detection.{o}" for o in others}


@pytest.fixture
def _every_warning():
    """Torch's own, too, which are given once otherwise."""
    before = torch.is_warn_always_enabled()
    torch.set_warn_always(True)
    yield
    torch.set_warn_always(before)


@pytest.mark.usefixtures("_every_warning")
@pytest.mark.filterwarnings("ignore:`max_examples_per_batch`")  # Captum's
@pytest.mark.parametrize("name", CALLS)
def test_a_call_is_answered_as_documented_or_refused_in_our_words(name):
    driven(CALLS[name], function(name))
