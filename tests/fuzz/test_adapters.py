"""Maskers in plain SHAP, the drop-in for lime, and models as hosts take them, on random images."""

import numpy as np
import pytest
import shap
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torch import nn

from tests.laws import GeneratorsUntouched
from tests.strategies import SEEDS
from xai_ext import baselines
from xai_ext._checks import InputError, InputTypeError
from xai_ext.hierarchies import balanced
from xai_ext.lime_image import StratifiedLimeImageExplainer
from xai_ext.maskers import BPT, Segments
from xai_ext.models import Classifier, LogitsOf, Preprocess, as_numpy_function
from xai_ext.samplers._named import SAMPLERS

DOCUMENTED = (InputError, InputTypeError)
SIDES = st.integers(1, 9)
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # all coefficients are 0, and the like


def scores(images):
    flat = np.asarray(images).reshape(len(images), -1).astype(float)
    return np.stack([flat.sum(1), flat.max(1), np.square(flat).mean(1)], 1)


def one_score(images):
    return scores(images)[:, 1]


BROKEN = [lambda x: np.full(len(x), np.nan), lambda x: scores(x)[1:], lambda x: None]


@st.composite
def rows(draw):
    """Images (N, H, W, C), N = 1 or 2, of any dtype and order in memory."""
    shape = (draw(st.integers(1, 2)), draw(SIDES), draw(SIDES), draw(st.integers(1, 4)))
    rng, dtype = np.random.default_rng(draw(SEEDS)), draw(st.sampled_from(["f4", "f8", "u1", "i8"]))
    images = (rng.random(shape) * draw(st.sampled_from([1, 255]))).astype(dtype)
    return np.asfortranarray(images) if draw(st.booleans()) else images


@st.composite
def labels_of(draw, shape):
    """Regions in any numbers, now and then none or of another shape."""
    rng = np.random.default_rng(draw(SEEDS))
    return draw(
        st.sampled_from([rng.integers(0, 4, shape), rng.choice([-7, 5, 90], shape), np.zeros(shape, int), None])
    )


FILLS = st.sampled_from([0, 0.5, "mean", "blur(3,2)", "blur(9, 9)", baselines.mean, "blur", np.ones(2), None])


@pytest.mark.parametrize("kind", [BPT, Segments])
@given(st.data())
def test_a_masker_mixes_the_row_and_its_baseline_or_is_a_documented_error(kind, data):
    images = data.draw(rows())
    h, w, c = images.shape[1:]
    labels, fill = data.draw(labels_of((h, w))), data.draw(FILLS)
    before = images.copy()
    mask = data.draw(
        st.sampled_from([None, True, False, np.arange(h * w) % 2 == 0, np.ones((h, w), bool), np.ones(99)])
    )
    try:
        masker = kind(data.draw(st.sampled_from([images[0], (h, w, c)])), fill, *(() if labels is None else (labels,)))
        (masked,) = masker(mask, images[0])
        absent, regions = masker.baseline_of(images[0]), masker.labels_of(images[0])
    except DOCUMENTED as error:
        assert str(error)
        return
    kept = (
        np.ones((h, w), bool)
        if mask is None
        else np.broadcast_to(np.reshape(mask, (h, w) if np.ndim(mask) else ()), (h, w))
    )
    np.testing.assert_array_equal(masked[0], np.where(kept[..., None], images[0], absent))
    np.testing.assert_array_equal(images, before)
    assert masked.dtype == images.dtype
    assert np.unique(regions).tolist() == list(range(regions.max() + 1))
    if labels is not None:
        assert len(np.unique(np.stack([labels, regions]).reshape(2, -1), axis=1).T) == regions.max() + 1
    if kind is BPT:
        assert masker.clustering(images[0]).shape == (h * w - 1, 4)
        assert masker.hierarchy_of(images[0]).n_players == regions.max() + 1


@given(st.data())
def test_plain_shap_on_our_tree_is_complete_and_equal_inside_a_region(data):
    images = data.draw(rows())
    n, h, w = images.shape[:3]
    labels = data.draw(labels_of((h, w)))
    hierarchy = data.draw(st.sampled_from(["bpt", "axis_aligned", lambda image, players: balanced(players.max() + 1)]))
    function = data.draw(st.sampled_from([scores, one_score]))
    fill = data.draw(st.sampled_from([0, 0.5, "mean", "blur(3,2)"]))
    masker = BPT(images[0], fill, labels, hierarchy)
    if h * w == 1:  # SHAP has no tree over one pixel
        return
    explainer = shap.Explainer(function, masker, seed=0)
    found = explainer(images, max_evals=data.draw(st.integers(10, 80)), silent=True)
    assert found.values.shape == (n, h, w, 1, *((3,) if function is scores else ()))
    for image, values, base in zip(images, found.values, found.base_values, strict=True):
        full = function(image[None])[0]
        np.testing.assert_allclose(
            values.sum((0, 1, 2)) + base, full, rtol=1e-6, atol=1e-6 * max(1, np.abs(full).max())
        )
        for region in range(masker.labels_of(image).max() + 1):
            inside = values[masker.labels_of(image) == region]
            np.testing.assert_allclose(inside, np.broadcast_to(inside[:1], inside.shape), rtol=1e-6, atol=1e-9)


@given(st.data())
def test_plain_shap_on_our_segments_is_complete_and_exact_for_sums(data):
    shape = data.draw(st.tuples(st.integers(1, 2), st.integers(1, 4), st.integers(2, 4), st.integers(1, 3)))
    images = np.random.default_rng(data.draw(SEEDS)).normal(size=shape)
    masker = Segments(images[0], data.draw(st.sampled_from([0.25, "mean"])))
    function, pixels = data.draw(st.sampled_from([scores, one_score])), shape[1] * shape[2]
    state = np.random.get_state()
    found = shap.Explainer(function, masker, seed=0)(images, max_evals=2 * pixels + 1, silent=True)
    np.random.set_state(state)  # SHAP's permutations draw from it
    assert found.values.shape == (*shape[:3], 1, *((3,) if function is scores else ()))
    total = found.values.sum((1, 2, 3)) + found.base_values
    np.testing.assert_allclose(total, function(images), rtol=1e-6, atol=1e-6)
    if function is scores:  # the first output is a sum: every pixel is worth what it adds
        fills = np.stack([masker.baseline_of(image) for image in images])
        np.testing.assert_allclose(found.values[..., 0, 0], (images - fills).sum(-1), atol=1e-9)


class Quiet:
    """lime's progress bar goes nowhere."""

    def write(self, _):
        return 0

    def flush(self):
        pass


@pytest.mark.filterwarnings("ignore:An ill-conditioned matrix")  # lime selects forward without a penalty
@given(st.data())
def test_the_drop_in_for_lime_explains_any_image_or_is_a_documented_error(data):
    images = data.draw(rows())
    image = data.draw(st.sampled_from([images[0], images[0][..., 0]]))
    labels = data.draw(labels_of(image.shape[:2]))
    function = data.draw(st.sampled_from([scores, one_score, *BROKEN]))
    sampler = data.draw(st.sampled_from([*SAMPLERS, "none of ours"]))
    settings = {
        "num_samples": data.draw(st.integers(1, 60)), "num_features": data.draw(st.sampled_from([1, 3, 100])),
        "top_labels": data.draw(st.sampled_from([None, 1, 2])), "hide_color": data.draw(st.sampled_from([None, 0, 1])),
        "labels": data.draw(st.sampled_from([(0,), (1,), ()])), "batch_size": data.draw(st.sampled_from([1, 7, 50])),
        "segmentation_fn": data.draw(st.sampled_from(
            [None, lambda x: "abc", lambda x: np.ones((2, 3)) / 2] if labels is None else [lambda x: labels]
        )),
    }  # fmt: skip
    before = image.copy()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.stderr", Quiet())
        try:
            weighting = data.draw(st.sampled_from(["kernel", "importance", "none", "kernelshap"]))
            explainer = StratifiedLimeImageExplainer(random_state=3, sampler=sampler, weighting=weighting)
            with GeneratorsUntouched():
                found = explainer.explain_instance(image, function, **settings)
        except DOCUMENTED as error:
            assert str(error)
            return
    np.testing.assert_array_equal(image, before)
    n = found.segments.max() + 1
    for pairs in found.local_exp.values():
        assert {player for player, _ in pairs} <= set(range(n))
        assert len(pairs) == min(n, settings["num_features"])
        assert np.isfinite([value for _, value in pairs]).all()
    assert all(len(e) == n and (e >= 0).all() for e in found.details.get("std_error", {}).values())


class Answer:
    """What a Hugging Face model returns."""

    def __init__(self, logits):
        self.logits = logits


class Named(nn.Module):
    """Takes its images by name, and returns an object."""

    def __init__(self, module):
        super().__init__()
        self.module = module

    def forward(self, extra=0, *, pixel_values):
        return Answer(self.module(pixel_values) + extra)


@given(st.data())
def test_a_module_as_a_numpy_function_answers_as_the_module_does(data):
    images = data.draw(rows())
    first = data.draw(st.booleans())
    dtype = data.draw(st.sampled_from([torch.float32, torch.float64]))
    channels = images.shape[1] if first else images.shape[-1]
    module = nn.Sequential(nn.Conv2d(channels, 2, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten()).to(dtype)
    settings = data.draw(st.fixed_dictionaries({}, optional={
        "scale": st.sampled_from([1 / 255, 2.0]), "mean": st.sampled_from([[0.5] * channels, (0.5,), [0.5] * 9, 0.5]),
        "std": st.sampled_from([[0.25] * channels, [0.25], [0.0] * channels, [np.nan]]),
        "batch_size": st.sampled_from([1, 5, 0, 2.0]), "layout": st.sampled_from(["channels_last", "other"]),
    }))  # fmt: skip
    if first:
        settings["layout"] = "channels_first"
    try:
        field = data.draw(st.sampled_from(["logits", "logits", "scores"]))
        function = as_numpy_function(LogitsOf(Named(module), argument="pixel_values", field=field), **settings)
        before, found = images.copy(), function(images)
    except DOCUMENTED as error:
        assert str(error)
        return
    x = torch.from_numpy(images.copy()).to(dtype)
    x = (x if first else x.movedim(-1, 1)) * settings.get("scale", 1)
    x = (x - (0.5 if "mean" in settings else 0)) / (0.25 if "std" in settings else 1)
    expected = module(x).detach().numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5 * (1 + np.abs(expected).max()))
    np.testing.assert_array_equal(images, before)
    assert not torch.is_inference(function.on_tensor(torch.from_numpy(images.copy())))


@given(st.data())
def test_any_photo_becomes_an_input_of_the_models_size_and_its_mask_goes_along(data):
    width, height = data.draw(st.integers(1, 40)), data.draw(st.integers(1, 40))
    mode = data.draw(st.sampled_from(["RGB", "L", "RGBA", "1", "P", "CMYK", "I;16", "F"]))
    size = data.draw(st.tuples(st.integers(0, 12), st.integers(1, 12)))
    how, std = (
        data.draw(st.sampled_from(["nearest", "bilinear", "bicubic", "lanczos", "best"])),
        data.draw(st.sampled_from([0.25, 0])),
    )
    try:
        preprocess = Preprocess(
            size, data.draw(st.integers(0, 20)), (0.5,) * data.draw(st.integers(2, 3)), (std,) * 3, how
        )
    except InputError as error:
        assert str(error)
        return
    photo = Image.new(mode, (width, height))
    classifier = Classifier(nn.Flatten(), preprocess, data.draw(st.sampled_from([None, ["cat"]])))
    x = classifier.on(None).input_of(photo)
    assert (x.shape, x.dtype) == ((1, 3, *size), torch.float32)
    assert bool(x.isfinite().all())
    torch.testing.assert_close(x, preprocess.normalized(preprocess.crop(photo)))
    mask = preprocess.crop_mask(np.ones((height, width), bool))
    assert (mask.shape, mask.dtype) == (size, bool)
    assert [classifier.name_of(i) for i in (0, 7)] == [
        classifier.class_names[0] if classifier.class_names else "class 0",
        "class 7",
    ]
