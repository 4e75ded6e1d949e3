"""Windows: sums by difference arrays and integral images, against dense loops."""

import numpy as np
import pytest
import torch

from xai_ext.methods._windows import Windows, all_windows, box_sums, count_windows, painted, strides

SHAPES = [((11,), (4,), (3,)), ((7, 9), (3, 4), (2, 3)), ((5, 4, 6), (2, 3, 2), (2, 1, 2))]


def indicators(windows, shape):
    dense = np.zeros((len(windows), *shape), bool)
    for i, (low, high) in enumerate(zip(windows.low, windows.high, strict=True)):
        dense[(i, *(slice(a, b) for a, b in zip(low, high, strict=True)))] = True
    return dense


@pytest.mark.parametrize("grid", ["occlusion", "overhang"])
@pytest.mark.parametrize(("shape", "window", "stride"), SHAPES)
class TestSums:
    def test_painting_is_the_dense_sum(self, shape, window, stride, grid):
        windows = all_windows(shape, window, stride, grid)
        weights = np.random.default_rng(0).normal(size=(len(windows), 3))
        expected = np.tensordot(indicators(windows, shape), weights, (0, 0))
        np.testing.assert_allclose(painted(windows, weights, shape), expected, atol=1e-12)

    def test_box_sums_are_dense_sums_and_find_what_touches_a_region(self, shape, window, stride, grid):
        windows = all_windows(shape, window, stride, grid)
        image = np.random.default_rng(0).normal(size=shape)
        dense = indicators(windows, shape)
        np.testing.assert_allclose(box_sums(image, windows), (dense * image).reshape(len(windows), -1).sum(1))
        where = image > 1
        touched = (dense & where).reshape(len(windows), -1).any(1)
        np.testing.assert_array_equal(box_sums(where.astype(float), windows) > 0.5, touched)

    def test_every_position_is_covered_and_the_count_is_right(self, shape, window, stride, grid):
        windows = all_windows(shape, window, stride, grid)
        assert len(windows) == count_windows(shape, window, stride, grid)
        assert indicators(windows, shape).any(0).all()
        assert len(set(windows.keys())) == len(windows) or grid == "overhang"

    def test_masks_keep_what_lies_outside(self, shape, window, stride, grid):
        windows = all_windows(shape, window, stride, grid)
        keep = windows.keep(slice(1, 4), shape, torch.device("cpu")).numpy()
        np.testing.assert_array_equal(keep, ~indicators(windows, shape)[1:4])


def test_strides_go_from_dense_to_disjoint():
    assert strides((4, 2)) == [(1, 1), (2, 1), (3, 2), (4, 2)]


def test_a_choice_of_windows_keeps_their_order():
    windows = Windows(np.arange(4)[:, None], np.arange(4)[:, None] + 2)
    assert windows.chosen(np.array([True, False, True, False])).low.ravel().tolist() == [0, 2]
