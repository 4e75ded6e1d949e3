"""From image to colour channels in units 0..255."""

import numpy as np
import pytest
import torch
from skimage.color import rgb2lab

from xai_ext.hierarchies._color import channels


def bytes_image(channels_count=3):
    return np.random.default_rng(0).integers(0, 256, (6, 7, channels_count)).astype(np.uint8)


def lab(unit):
    """CIE Lab with L in 0..100 and a, b in -128..128, as 0..255."""
    values = rgb2lab(unit)
    return np.stack([values[..., 0] * 2.55, (values[..., 1] + 128) * 255 / 256, (values[..., 2] + 128) * 255 / 256], -1)


def test_three_channels_become_lab():
    got = channels(bytes_image(), quantize=False)
    np.testing.assert_allclose(got, lab(bytes_image() / 255), rtol=1e-6)  # float32
    assert got.dtype == np.float32


def test_white_and_black_by_hand():
    ends = np.array([[[255, 255, 255], [0, 0, 0]]], np.uint8)
    # neutral: a = b = 0, which is 127.5
    np.testing.assert_allclose(channels(ends, quantize=False)[0], [[255, 127.5, 127.5], [0, 127.5, 127.5]], atol=0.02)


def test_quantized_values_are_clipped_and_truncated():
    np.testing.assert_array_equal(channels(np.array([[-3.0, 1.9, 254.9, 300.0]]), "raw")[0, :, 0], [0, 1, 254, 255])


def test_every_byte_survives_in_every_format():
    every = np.arange(256).reshape(16, 16)
    for image in (every.astype(np.uint8), every / 255, every.astype(float), (every / 255).astype(np.float32)):
        np.testing.assert_array_equal(channels(image)[..., 0], every)


def test_greys_in_float32_have_the_lightness_of_bytes():
    greys = np.repeat(np.arange(256)[:, None, None], 3, 2)
    expected = channels(greys.astype(np.uint8))
    np.testing.assert_array_equal(channels((greys / 255).astype(np.float32)), expected)


def test_floats_keep_their_range():
    image = np.random.default_rng(0).random((6, 7, 3)) * 0.7 + 0.1
    np.testing.assert_allclose(channels(image, quantize=False), lab(image), rtol=1e-6)
    np.testing.assert_allclose(channels(255 * image, quantize=False), lab(image), rtol=1e-6)


@pytest.mark.parametrize("dtype", [np.float32, np.int16])
def test_anything_else_is_scaled_by_one_range_for_all_channels(dtype):
    image = (np.random.default_rng(0).normal(size=(6, 7, 3)) * [1, 100, 10]).astype(dtype)
    unit = (image.astype(float) - image.min()) / (float(image.max()) - float(image.min()))
    np.testing.assert_allclose(channels(image, quantize=False), lab(unit), rtol=1e-6)
    np.testing.assert_allclose(channels(image, "rgb", quantize=False), 255 * unit, rtol=1e-6, atol=1e-5)


@pytest.mark.parametrize("count", [1, 2, 4, 5])
def test_only_three_channels_are_colours(count):
    np.testing.assert_array_equal(channels(bytes_image(count)), bytes_image(count))


def test_rgb_stays_rgb_on_request():
    np.testing.assert_array_equal(channels(bytes_image(), "rgb"), bytes_image())


def test_raw_values_are_not_scaled():
    image = np.random.default_rng(0).normal(size=(6, 7, 3)).astype(np.float32)
    np.testing.assert_array_equal(channels(image, "raw", quantize=False), image)


def test_a_constant_image_that_is_no_colour_is_zeros():
    np.testing.assert_array_equal(channels(np.full((3, 4), -7)), np.zeros((3, 4, 1)))


@pytest.mark.parametrize("shape", [(6, 7), (6, 7, 1)])
def test_grey_images_have_one_channel(shape):
    assert channels(np.zeros(shape, np.uint8)).shape == (6, 7, 1)


def test_tensors_are_channels_first():
    image = torch.from_numpy(bytes_image()).movedim(-1, 0)
    np.testing.assert_array_equal(channels(image), channels(bytes_image()))
    np.testing.assert_array_equal(channels(image[None]), channels(bytes_image()))


@pytest.mark.parametrize("to", [np.asarray, torch.from_numpy])
def test_extra_channels_are_appended_and_truncated(to):
    extra = np.full((6, 7), 3.7)
    assert (channels(bytes_image(), extra=to(extra))[..., 3] == 3).all()
    two = np.stack([extra, extra + 1], 2)
    np.testing.assert_array_equal(channels(bytes_image(), quantize=False, extra=to(two))[..., 3:], two.astype("f4"))


def test_nan_is_an_error():
    with pytest.raises(ValueError, match="image holds NaN or infinite values"):
        channels(np.full((3, 4), np.nan))


def test_an_image_without_pixels_is_an_error():
    with pytest.raises(ValueError, match=r"at least one pixel and one channel, got \(H, W, C\) = \(0, 4, 3\)"):
        channels(np.zeros((0, 4, 3)))


def test_values_beyond_float32_are_refused_where_they_are_not_scaled():
    with pytest.raises(ValueError, match="must be at most"):
        channels(np.full((2, 2), 1e300), "raw", quantize=False)
    assert channels(np.full((2, 2), 1e300), "raw").max() == 255
    x = np.array([[-1.7e308, 1.7e308]])
    np.testing.assert_array_equal(channels(x)[0, :, 0], [0, 255])


def test_an_extra_channel_may_be_bfloat16():
    extra = torch.tensor([[0.0, 3.0]], dtype=torch.bfloat16)
    np.testing.assert_array_equal(channels(np.zeros((1, 2, 3)), extra=extra)[..., -1], [[0, 3]])
