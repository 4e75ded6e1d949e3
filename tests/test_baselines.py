"""Image to baseline."""

import numpy as np
import pytest
import torch

from tests.laws import GeneratorsUntouched
from xai_ext import baselines
from xai_ext.segmentation import grid


class BaselineLaws:
    """Set `baseline(x) -> tensor`."""

    @staticmethod
    def baseline(x):
        raise NotImplementedError

    @pytest.mark.parametrize("shape", [(1, 3, 20, 24), (2, 1, 20, 24), (1, 8, 20, 24)])
    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.uint8])
    def test_it_has_the_images_shape_and_dtype_and_leaves_it_alone(self, shape, dtype):
        x = (torch.rand(shape) * 200).to(dtype)
        before = x.clone()
        with GeneratorsUntouched():
            made = self.baseline(x)
        assert made.shape == x.shape
        assert made.dtype == dtype
        assert torch.equal(x, before)
        assert made.data_ptr() != x.data_ptr()

    def test_a_constant_image_without_detail_stays(self):
        x = torch.full((1, 3, 20, 24), 7.0)
        torch.testing.assert_close(self.baseline(x), x)

    def test_it_carries_no_gradient(self):
        assert not self.baseline(torch.rand(1, 3, 20, 24, requires_grad=True)).requires_grad


class TestConstant(BaselineLaws):
    @staticmethod
    def baseline(x):
        return baselines.constant(x, value=7)


class TestMean(BaselineLaws):
    baseline = staticmethod(baselines.mean)

    def test_it_is_the_mean_colour_of_each_image(self):
        x = torch.rand(2, 3, 4, 5)
        torch.testing.assert_close(baselines.mean(x)[1, 2], x[1, 2].mean().expand(4, 5))


class TestSegmentMean(BaselineLaws):
    @staticmethod
    def baseline(x):
        return baselines.segment_mean(x, grid(x[0], rows=3))

    def test_each_region_gets_its_mean(self):
        x = torch.tensor([[[[1.0, 3, 5], [2, 4, 6]]]])
        labels = np.array([[0, 0, 2], [0, 2, 2]])  # ids may have gaps
        torch.testing.assert_close(baselines.segment_mean(x, labels), torch.tensor([[[[2.0, 2, 5], [2, 5, 5]]]]))

    def test_negative_ids_are_an_error(self):
        with pytest.raises(ValueError, match="labels must be >= 0"):
            baselines.segment_mean(torch.zeros(1, 1, 1, 2), np.array([[-1, 0]]))


class TestBlur(BaselineLaws):
    baseline = staticmethod(baselines.blur)

    def test_an_impulse_becomes_a_gaussian(self):
        x = torch.zeros(1, 1, 41, 41, dtype=torch.float64)
        x[0, 0, 20, 20] = 1
        made = baselines.blur(x, sigma=2.0)[0, 0]
        assert made.sum() == pytest.approx(1)
        assert made[20, 22] / made[20, 20] == pytest.approx(np.exp(-0.5), rel=1e-3)

    @pytest.mark.parametrize("sigma", [0.0, -1.0])
    def test_a_width_of_zero_is_an_error(self, sigma):
        with pytest.raises(ValueError, match="sigma must be a positive"):
            baselines.blur(torch.zeros(1, 1, 3, 3), sigma=sigma)

    def test_signals_and_volumes_are_blurred_too(self):
        for shape in ((1, 2, 30), (1, 1, 8, 9, 10)):
            assert baselines.blur(torch.rand(shape)).std() < 0.1


class TestInpaint(BaselineLaws):
    baseline = staticmethod(baselines.inpaint)

    def test_a_ramp_is_continued_over_a_hole_and_the_rest_stays(self):
        x = torch.arange(12.0).expand(1, 2, 12, 12).contiguous()
        hole = np.zeros((12, 12), bool)
        hole[4:7, 4:7] = True
        damaged = x.clone()
        damaged[:, :, 4:7, 4:7] = 100.0
        torch.testing.assert_close(baselines.inpaint(damaged, hole), x, rtol=0, atol=0.05)


class TestWhatCannotBeInpainted:
    def test_nothing_is_filled_without_surroundings(self):
        with pytest.raises(ValueError, match="covers the whole image"):
            baselines.inpaint(torch.rand(1, 1, 4, 5), np.ones((4, 5)))

    def test_nothing_is_continued_from_infinity(self):
        with pytest.raises(ValueError, match="NaN or infinite"):
            baselines.inpaint(torch.full((1, 1, 4, 5), float("inf")))

    def test_a_mask_broadcasts_and_other_ranks_have_a_frame_too(self):
        x = torch.rand(1, 1, 6, 7)
        whole = np.tile(np.arange(7) % 3 == 0, (6, 1))
        torch.testing.assert_close(baselines.inpaint(x, whole[0]), baselines.inpaint(x, whole))
        line = torch.rand(1, 1, 40)
        assert (baselines.inpaint(line) == line).nonzero()[:, 2].tolist() == [0, 1, 38, 39]  # a sixteenth
