"""The two pixel maps."""

import dataclasses

import numpy as np
import pytest
from lime.lime_image import ImageExplanation

from xai_ext import Explanation
from xai_ext.explanation import segments_mask

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


class TestSegmentsMask:
    values = np.array([0.5, -2.0, 0.0])

    @pytest.mark.parametrize(
        ("arguments", "marked"),
        [
            ({}, [1, 0, 0]),
            ({"sign": "negative"}, [0, 1, 0]),
            ({"sign": "both"}, [1, -1, 1]),
            ({"sign": "both", "top": 1}, [0, -1, 0]),
            ({"sign": "both", "min_weight": 0.5}, [1, -1, 0]),
            ({"min_weight": 0.5}, [0, 0, 0]),
        ],
    )
    def test_regions_by_sign_number_and_weight(self, arguments, marked):
        got = segments_mask(LABELS, self.values, **arguments)
        assert got.dtype == np.int8
        np.testing.assert_array_equal(got, np.array(marked)[LABELS])

    def test_ties_go_to_the_smaller_region(self):
        np.testing.assert_array_equal(segments_mask(LABELS, np.ones(3), top=2), np.array([1, 1, 0])[LABELS])

    @pytest.mark.parametrize("seed", range(5))
    @pytest.mark.parametrize("sign", ["positive", "negative", "both"])
    def test_it_marks_the_regions_that_lime_marks(self, seed, sign):
        rng = np.random.default_rng(seed)
        labels, values = np.arange(60).reshape(6, 10) // 5, rng.normal(size=12)
        limes = ImageExplanation(rng.random((6, 10, 3)), labels)
        limes.local_exp[0] = sorted(enumerate(values), key=lambda x: abs(x[1]), reverse=True)
        flags = {"positive_only": sign == "positive", "negative_only": sign == "negative"}
        for top in (1, 3, 12):
            for least in (0.0, 0.5, 1.5):
                _, expected = limes.get_image_and_mask(0, num_features=top, min_weight=least, **flags)
                got = segments_mask(labels, values, sign=sign, top=top, min_weight=least)
                np.testing.assert_array_equal(got, expected)

    def test_errors(self):
        with pytest.raises(ValueError, match="did you mean 'positive'"):
            segments_mask(LABELS, self.values, sign="positiv")
        with pytest.raises(ValueError, match="top must be at least 1"):
            segments_mask(LABELS, self.values, top=0)
        for values in (np.ones((3, 2)), np.ones(2)):
            with pytest.raises(ValueError, match="of one output"):
                segments_mask(LABELS, values)
