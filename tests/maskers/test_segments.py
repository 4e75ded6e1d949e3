"""The region masker."""

import io

import numpy as np
import pytest
import shap
import torch
from scipy.ndimage import uniform_filter

from xai_ext import baselines
from xai_ext.maskers import Segments
from xai_ext.segmentation import grid

RNG = np.random.default_rng(0)
IMAGE = RNG.random((6, 8, 3))
LABELS = grid(IMAGE, rows=2)


class TestMasking:
    def test_a_pixel_mask_keeps_pixels_and_leaves_the_row_alone(self):
        masker, mask, before = Segments(IMAGE, 0.5, LABELS), RNG.random(48) < 0.5, IMAGE.copy()
        (masked,) = masker(mask, IMAGE)
        expected = np.where(mask.reshape(6, 8, 1), IMAGE, 0.5)
        np.testing.assert_array_equal(masked, expected[None])
        np.testing.assert_array_equal(IMAGE, before)
        assert masked.dtype == IMAGE.dtype

    @pytest.mark.parametrize(("mask", "kept"), [(True, True), (None, True), (False, False)])
    def test_one_bool_or_none_stands_for_all_pixels(self, mask, kept):
        (masked,) = Segments(IMAGE, 0.5, LABELS)(mask, IMAGE)
        np.testing.assert_array_equal(masked[0], IMAGE if kept else np.full_like(IMAGE, 0.5))

    def test_a_mask_of_another_size_is_an_error(self):
        with pytest.raises(ValueError, match="one bool per pixel"):
            Segments(IMAGE, 0.5, LABELS)(np.ones(5, bool), IMAGE)

    def test_a_torch_row_is_accepted(self):
        np.testing.assert_array_equal(Segments(IMAGE, 0.0, LABELS)(None, torch.from_numpy(IMAGE))[0][0], IMAGE)

    def test_a_row_of_another_shape_is_an_error_with_the_fix(self):
        with pytest.raises(ValueError, match=r"x\[None\]"):
            Segments(IMAGE, 0.0, LABELS)(None, IMAGE[:, :4])


class TestBaseline:
    @pytest.mark.parametrize(
        ("baseline", "expected"),
        [
            (0.25, np.full_like(IMAGE, 0.25)),
            (np.array([0.0, 0.5, 1.0]), np.broadcast_to([0.0, 0.5, 1.0], IMAGE.shape)),
            (IMAGE[::-1].copy(), IMAGE[::-1]),
            ("mean", np.broadcast_to(IMAGE.mean((0, 1)), IMAGE.shape)),
            ("blur(3,5)", uniform_filter(IMAGE, (5, 3, 1), mode="mirror")),
            (baselines.mean, np.broadcast_to(IMAGE.mean((0, 1)), IMAGE.shape)),
        ],
        ids=["number", "colour", "image", "mean", "blur", "callable"],
    )
    def test_every_form_is_understood(self, baseline, expected):
        np.testing.assert_allclose(Segments(IMAGE, baseline, LABELS).baseline_of(IMAGE), expected, atol=1e-12)

    def test_bytes_stay_bytes(self):
        image = (IMAGE * 255).astype(np.uint8)
        for baseline in (3, "mean", "blur(3,3)", baselines.mean):
            assert Segments(image, baseline, LABELS).baseline_of(image).dtype == np.uint8

    def test_fifty_images_in_a_row_all_get_their_own_blur(self):
        masker = Segments(IMAGE.shape, "blur(3,3)", LABELS)
        for seed in range(50):
            x = np.random.default_rng(seed).random(IMAGE.shape)  # ids of dead arrays are reused
            np.testing.assert_allclose(masker(False, x)[0][0], uniform_filter(x, (3, 3, 1), mode="mirror"))

    @pytest.mark.parametrize("bad", ["blurr(3,3)", "grey", "blur(3)"])
    def test_an_unknown_name_is_an_error(self, bad):
        with pytest.raises(ValueError, match="baseline must be a number, an array"):
            Segments(IMAGE, bad)

    @pytest.mark.parametrize("shape", [(2,), (6, 8), (8, 6, 3)])
    def test_an_array_of_another_shape_is_an_error(self, shape):
        with pytest.raises(ValueError, match="a baseline array must be"):
            Segments(IMAGE, np.zeros(shape))


class TestLabels:
    def test_a_callable_segments_each_row(self):
        masker = Segments(IMAGE.shape, labels=lambda x: (x[..., 0] > 0.5).astype(int))
        other = 1 - IMAGE
        np.testing.assert_array_equal(masker.labels_of(IMAGE), IMAGE[..., 0] > 0.5)
        np.testing.assert_array_equal(masker.labels_of(other), other[..., 0] > 0.5)

    def test_gaps_are_closed(self):
        assert Segments(IMAGE, labels=LABELS * 7 - 3).labels_of(IMAGE).max() == LABELS.max()

    def test_another_shape_is_an_error(self):
        with pytest.raises(ValueError, match="labels must be an integer array of shape"):
            Segments(IMAGE, labels=LABELS.T)

    def test_an_image_without_channels_is_an_error_with_the_fix(self):
        with pytest.raises(ValueError, match="image"):
            Segments(IMAGE[..., 0])


@pytest.mark.parametrize("baseline", [0.5, "blur(3,3)", np.ones(3)])
def test_saving_and_loading_keeps_everything(baseline):
    stream = io.BytesIO()
    Segments(IMAGE, baseline, LABELS).save(stream)
    stream.seek(0)
    loaded = shap.maskers.Masker.load(stream)
    assert type(loaded) is Segments
    np.testing.assert_array_equal(loaded.labels_of(IMAGE), LABELS)
    np.testing.assert_array_equal(loaded.baseline_of(IMAGE), Segments(IMAGE, baseline, LABELS).baseline_of(IMAGE))
