"""Scores per pixel of the map's region."""

import numpy as np
import pytest
import torch

from xai_ext.metrics import Mean, pixel_level

MAPS = np.array([[[0.0, 1, 2, 10]], [[1, 1, 1, 1]], [[0, np.nan, 0, 1]], [[0, 9, 8, 10]]])


def test_values_are_divided_by_the_region():
    values = torch.tensor([6.0, 6.0, 6.0, 6.0])
    np.testing.assert_allclose(pixel_level(values, MAPS), [6, np.nan, np.nan, 2])  # above .3 of the range: 1 and 3
    np.testing.assert_allclose(pixel_level(values, MAPS, unit="per_fraction"), [24, np.nan, np.nan, 8])
    np.testing.assert_allclose(pixel_level(values, MAPS, Mean()), [6, 1.5, np.nan, 2])


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match=r"one map per value \(3\), got 4"):
        pixel_level(torch.ones(3), MAPS)
    with pytest.raises(ValueError, match="unit must be one of"):
        pixel_level(torch.ones(4), MAPS, unit="pixels")
