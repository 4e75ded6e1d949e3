"""Halves of halves."""

import numpy as np
import pytest

from tests.trees import members
from xai_ext.hierarchies import balanced


@pytest.mark.parametrize("n", [1, 2, 3, 7, 16, 100])
class TestEveryTree:
    def test_each_node_is_a_range_whose_first_child_has_half_of_it_rounded_down(self, n):
        sets = members(balanced(n))
        for a, b in balanced(n).children.tolist():
            first, second = sorted((sorted(sets[a]), sorted(sets[b])))
            assert first + second == list(range(first[0], second[-1] + 1))
            assert len(first) == (len(first) + len(second)) // 2

    def test_it_is_as_flat_as_a_binary_tree_can_be(self, n):
        assert balanced(n).depths.max() == int(np.ceil(np.log2(n)))

    def test_rows_are_ordered_by_size_then_first_player(self, n):
        tree = balanced(n)
        keys = [(len(s), min(s)) for s in members(tree)[n:]]
        assert keys == sorted(keys)
        assert tree.merges[:, 2].tolist() == tree.merges[:, 3].tolist() == [size for size, _ in keys]


def test_five_players_by_hand():
    assert balanced(5).merges[:, [0, 1, 3]].tolist() == [[0, 1, 2], [3, 4, 2], [2, 6, 3], [5, 7, 5]]


def test_no_players_are_an_error():
    with pytest.raises(ValueError, match="n must be at least 1"):
        balanced(0)
