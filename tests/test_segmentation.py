"""Image to labels."""

import numpy as np
import pytest
import torch

from xai_ext import segmentation
from xai_ext._checks import InputError
from xai_ext.segmentation import grid, pixels, quickshift, relabelled, slic


def photo(channels=3, height=30, width=40):
    """Four flat quadrants with a little noise."""
    rng = np.random.default_rng(0)
    base = np.zeros((height, width, channels))
    base[: height // 2, : width // 2] = 0.2
    base[: height // 2, width // 2 :] = 0.8
    base[height // 2 :, : width // 2] = 0.5
    return (base + 0.02 * rng.random(base.shape)).astype(np.float32)


class SegmentationLaws:
    """Set `segment(image) -> labels`."""

    @staticmethod
    def segment(image):
        raise NotImplementedError

    @pytest.mark.parametrize("channels", [1, 3, 4, 8])
    def test_ids_are_0_to_n_minus_1_without_gaps(self, channels):
        labels = self.segment(photo(channels))
        assert labels.shape == (30, 40)
        assert labels.dtype == np.int64
        np.testing.assert_array_equal(np.unique(labels), np.arange(labels.max() + 1))

    def test_tensors_and_arrays_give_the_same(self):
        image = photo()
        expected = self.segment(image)
        tensor = torch.from_numpy(image).movedim(-1, 0)
        np.testing.assert_array_equal(self.segment(tensor), expected)
        np.testing.assert_array_equal(self.segment(tensor[None]), expected)

    def test_the_scale_of_the_values_does_not_matter(self):
        np.testing.assert_array_equal(self.segment(photo() * 64 - 2), self.segment(photo()))

    def test_a_constant_image_and_one_pixel_are_segmented(self):
        assert self.segment(np.ones((12, 9, 3))).shape == (12, 9)

    @pytest.mark.parametrize("shape", [(3,), (2, 3, 4, 5)])
    def test_something_that_is_no_image_is_an_error(self, shape):
        with pytest.raises(ValueError, match="an image"):
            self.segment(np.zeros(shape))
        with pytest.raises(ValueError, match="an image tensor must be"):
            self.segment(torch.zeros(shape))


class TestPixels(SegmentationLaws):
    segment = staticmethod(pixels)

    def test_each_pixel_is_a_region(self):
        np.testing.assert_array_equal(pixels(np.zeros((2, 3))), [[0, 1, 2], [3, 4, 5]])


class TestGrid(SegmentationLaws):
    segment = staticmethod(grid)

    def test_cells_are_as_equal_as_pixels_allow(self):
        np.testing.assert_array_equal(grid(np.zeros((3, 4)), rows=2), [[0, 0, 1, 1], [0, 0, 1, 1], [2, 2, 3, 3]])

    def test_more_cells_than_pixels_are_an_error(self):
        with pytest.raises(ValueError, match="rows must be at most the 3 pixels"):
            grid(np.zeros((3, 4)), rows=4)


class TestSlic(SegmentationLaws):
    segment = staticmethod(slic)

    def test_flat_quadrants_are_not_mixed(self):
        labels = slic(photo(), n_segments=4)
        assert len(np.unique(labels[:14, :19])) == 1

    def test_nan_is_an_error(self):
        with pytest.raises(ValueError, match="cannot be segmented"):
            slic(np.full((5, 5), np.nan))


class TestQuickshift(SegmentationLaws):
    segment = staticmethod(quickshift)


def test_relabelling_closes_gaps_and_keeps_regions():
    np.testing.assert_array_equal(relabelled(np.array([[7, -2], [7, 40]])), [[1, 0], [1, 2]])


def test_every_segmentation_has_a_law_class():
    tested = {c.__dict__["segment"].__func__ for c in SegmentationLaws.__subclasses__()}
    assert tested == {segmentation.pixels, segmentation.grid, segmentation.slic, segmentation.quickshift}


class TestWhatIsNoPlainImage:
    def test_bfloat16_is_read_as_float32(self):
        x = torch.tensor([[[0.5, 2.0], [1.0, 3.0]]], dtype=torch.bfloat16)
        np.testing.assert_array_equal(segmentation.channels_last(x)[:, :, 0], [[0.5, 2], [1, 3]])
        assert segmentation.slic(x).shape == (2, 2)

    @pytest.mark.parametrize("dtype", [complex, object, "U1"])
    def test_other_than_real_numbers_are_refused(self, dtype):
        with pytest.raises(TypeError, match="must hold real numbers"):
            segmentation.slic(np.ones((3, 3), dtype))

    @pytest.mark.parametrize("segment", [segmentation.slic, segmentation.quickshift])
    def test_the_range_of_the_values_may_be_larger_than_a_float(self, segment):
        x = np.where(np.arange(64).reshape(8, 8) % 8 < 4, -1.7e308, 1.7e308)
        np.testing.assert_array_equal(segment(x), segment((x > 0).astype(float)))

    def test_an_empty_image_is_refused(self):
        with pytest.raises(ValueError, match="at least one pixel"):
            segmentation.slic(np.ones((0, 3)))

    @pytest.mark.parametrize("settings", [{"kernel_size": 0.5}, {"ratio": np.nan}, {"ratio": 2.0}, {"seed": -1}])
    def test_settings_of_quickshift_outside_their_range_are_refused(self, settings):
        with pytest.raises(InputError, match=f"{next(iter(settings))} must"):
            segmentation.quickshift(np.ones((4, 4)), **settings)
