"""From photo to input, and a mask the same way."""

import numpy as np
import pytest
import torch
from PIL import Image

from xai_ext.models import Preprocess

PREPROCESS = Preprocess((8, 8), 10, (0.5, 0.4, 0.3), (0.2, 0.3, 0.4))


@pytest.mark.parametrize("size", [(10, 10), (40, 20), (13, 57), (3, 3)])
def test_photo_and_mask_show_the_same_part(size):
    width, height = size
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[:, : width // 2] = 255
    cropped = PREPROCESS.crop(Image.fromarray(pixels))
    mask = PREPROCESS.crop_mask(pixels[..., 0] > 127)
    assert cropped.shape == (8, 8, 3)
    assert mask.shape == (8, 8)
    edge = np.abs(cropped[..., 0].astype(int) - 255 * mask).mean()
    assert edge < 40  # they differ along the edge only, where one is interpolated


def test_the_input_is_normalised_per_channel():
    x = PREPROCESS(Image.new("L", (30, 30), 255))
    assert x.dtype == torch.float32
    torch.testing.assert_close(x[0, :, 4, 4], torch.tensor([2.5, 2.0, 1.75]))


def test_an_alpha_channel_and_a_palette_are_read_as_rgb():
    for mode in ("RGBA", "P", "CMYK"):
        assert PREPROCESS(Image.new(mode, (12, 12))).shape == (1, 3, 8, 8)


@pytest.mark.parametrize(
    "wrong",
    [{"size": (0, 3)}, {"resize": 0}, {"mean": (0.5,) * 2}, {"std": (1, 0, 1)}, {"std": (np.nan,) * 3},
     {"interpolation": "best"}],
)  # fmt: skip
def test_settings_that_no_photo_can_follow_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Preprocess(**{"size": (4, 4), "resize": 5, "mean": (0.5,) * 3, "std": (0.5,) * 3} | wrong)
