"""The two pixel maps."""

import dataclasses

import numpy as np
import pytest

from xai_ext import Explanation

LABELS = np.array([[0, 0, 1], [0, 2, 2]])


def explanation(values, labels=(LABELS,)):
    values = np.asarray(values, dtype=float)
    return Explanation(values, np.zeros_like(values), labels, np.array(0.0), np.array(1.0), 10, "LIME")


def test_a_region_map_carries_whole_values_and_a_density_map_sums_to_them():
    e = explanation([3.0, -1.0, 4.0])
    np.testing.assert_array_equal(e.region_map(), [[3, 3, -1], [3, 4, 4]])
    np.testing.assert_array_equal(e.density_map(), [[1, 1, -1], [1, 2, 2]])


def test_several_outputs_come_last():
    e = explanation([[3.0, 6.0], [-1.0, 0.0], [4.0, 2.0]])
    assert e.density_map().shape == (2, 3, 2)
    np.testing.assert_allclose(e.density_map().sum((0, 1)), [6, 8])


def test_the_density_of_two_inputs_shares_a_player_by_all_its_elements():
    e = explanation([6.0, 5.0], labels=(np.array([0, 0]), np.array([0, 1])))
    np.testing.assert_array_equal(e.density_map(0), [2, 2])
    np.testing.assert_array_equal(e.density_map(1), [2, 5])
    with pytest.raises(ValueError, match="one of 2 inputs"):
        e.region_map(2)


def test_it_is_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        explanation([1.0, 2, 3]).n_evals = 3
