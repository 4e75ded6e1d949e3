"""Metrics and scores of the package pass what strangers' can be put through; broken ones are caught."""

import warnings

import numpy as np
import pytest
import torch
from sklearn.ensemble import IsolationForest

from tests.anomaly.worlds import Blurring, images
from xai_ext import metrics
from xai_ext.anomaly import VAEGAN, DetectorScore, ReconstructionScore, TopK
from xai_ext.metrics import FractionOfMax
from xai_ext.testing import check_metric, check_score
from xai_ext.testing._pieces import PIECES

PUBLIC = [f for f in (getattr(metrics, name) for name in metrics.__all__) if hasattr(f, "higher_is_better")]
THRESHOLD = {"threshold": FractionOfMax(0.5)}
NEEDED = {"iou": THRESHOLD, "precision": THRESHOLD, "recall": THRESHOLD, "f_score": THRESHOLD}
ROWS = np.random.default_rng(0).normal(size=(60, 4))


@pytest.mark.parametrize("metric", PUBLIC, ids=lambda f: f.__name__)
def test_a_metric_of_the_package_keeps_its_promises(metric):
    report = check_metric(metric, kwargs=NEEDED.get(metric.__name__))
    assert report.counts().keys() == {"passed"}


SCORES = {
    "reconstruction": (ReconstructionScore(Blurring()), images()),
    "a part of the map": (ReconstructionScore(VAEGAN(size=8).eval(), reduce=TopK(3)), images(height=8, width=8)),
    "noise": (ReconstructionScore(VAEGAN(size=8).eval(), stochastic="mc:3"), images(height=8, width=8)),
    "forest": (
        DetectorScore.from_sklearn(IsolationForest(n_estimators=20, random_state=0).fit(ROWS)),
        torch.from_numpy(ROWS[:5]),
    ),
    "callable": (DetectorScore.from_callable(lambda x: x[:, 0]), torch.from_numpy(ROWS[:5])),
}


@pytest.mark.parametrize("name", SCORES)
def test_a_score_of_the_package_keeps_its_promises(name):
    check_score(*SCORES[name])


def mean(maps, masks):
    """A metric: the share of the map on the object."""
    if not isinstance(maps, torch.Tensor | np.ndarray) or np.asarray(maps).dtype == object:
        raise TypeError("maps must be a tensor or an array")
    maps = torch.as_tensor(maps)
    if maps.shape[:1] + maps.shape[2:] != masks.shape:
        raise ValueError("maps and masks must have one shape")
    inside = maps.sum(1)
    return (inside * masks).flatten(1).sum(1) / inside.abs().flatten(1).sum(1)


def of_model(model, inputs, maps, target):
    """A metric: the drop of the score where the map is positive."""
    value = mean(maps, torch.ones(len(inputs), *inputs.shape[2:]))
    with torch.no_grad():
        drop = (model(inputs) - model(inputs * (torch.as_tensor(maps) <= 0)))[:, target]
    return torch.where(value.isfinite(), drop, torch.nan)


def broken(change, base=mean):
    """The metric with something else done before it, or to what it returns."""

    def metric(*given, **kwargs):
        return change(base, *given, **kwargs)

    return metric


def swallowing(base, maps, masks):
    return base(torch.nan_to_num(torch.as_tensor(maps)), masks)


def writing(base, maps, masks):
    masks.logical_not_().logical_not_()
    return base(maps, masks)


def drawing(base, maps, masks):
    return base(maps, masks) + 0 * torch.rand(1)


def seeding(base, maps, masks):
    return base(maps, masks) + torch.from_numpy(np.random.default_rng().random(1))


def silencing(base, maps, masks):
    np.seterr(all="ignore")
    return base(maps, masks)


def anything(base, maps, masks):
    try:
        return base(maps, masks)
    except (TypeError, ValueError):
        return torch.zeros(4)


def talking(base, maps, masks):
    print("measuring")
    return base(maps, masks)


def centring(base, maps, masks):
    value = base(maps, masks)
    return value - value.nanmean()


def by_memory(base, maps, masks):
    value = base(maps, masks)
    return value * torch.as_tensor(maps).stride(-1)


def training(base, model, inputs, maps, target):
    model.train()
    return base(model, inputs, maps, target)


def hiding(base, model, inputs, maps, target):
    try:
        return base(model, inputs, maps, target)
    except LookupError:
        return torch.zeros(len(maps))


BROKEN = {
    "one_value_per_row": (broken(lambda base, *a: base(*a).mean()), "masks"),
    "layouts": (broken(by_memory), "masks"),
    "quiet": (broken(talking), "masks"),
    "bad_calls": (broken(anything), "masks"),
    "other_shape": (broken(anything), "masks"),
    "inputs_unchanged": (broken(writing), "masks"),
    "global_rng": (broken(drawing), "masks"),
    "process_state": (broken(silencing), "masks"),
    "same_twice": (broken(seeding), "masks"),
    "rows_alone": (broken(centring), "masks"),
    "nonfinite_map": (broken(swallowing), "masks"),
    "model_unchanged": (broken(training, of_model), "model"),
    "model_fails": (broken(hiding, of_model), "model"),
}


def failed(metric, need):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return {r.id for r in check_metric(metric, needs={need}, on_fail=None).failed}


def test_every_check_has_a_broken_metric():
    assert set(BROKEN) == set(PIECES)


@pytest.mark.parametrize("check", BROKEN)
def test_a_broken_metric_is_caught(check):
    assert check in failed(*BROKEN[check])


def test_right_metrics_of_strangers_pass():
    assert failed(mean, "masks") == set()
    assert failed(of_model, "model") == {"model_unchanged"}  # batch statistics move in training mode, as it says


def test_a_score_that_depends_on_its_neighbours_is_caught():
    with pytest.raises(AssertionError, match=r"fails rows_alone.*\n.*promise: A row alone"):
        check_score(lambda x: x[:, 0] - x[:, 0].mean(), torch.from_numpy(ROWS[:5]), skip=["bad_calls"])
    with pytest.warns(UserWarning, match="fails global_rng"):
        check_score(lambda x: x[:, 0] + torch.rand(len(x)), torch.from_numpy(ROWS[:5]), on_fail="warn")


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda: check_metric(mean), "needs=, some of model, masks, map"),
        (lambda: check_metric(mean, needs={"mask"}), "did you mean 'masks'"),
        (lambda: check_metric(mean, needs={"masks"}, skip=["quite"]), "did you mean 'quiet'"),
        (lambda: check_score(mean, torch.ones(3)), "at least two rows"),
    ],
)
def test_what_does_not_fit_is_refused(call, match):
    with pytest.raises(ValueError, match=match):
        call()
