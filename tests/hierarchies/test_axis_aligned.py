"""Nested rectangles."""

import numpy as np
import pytest

from xai_ext.hierarchies import axis_aligned
from xai_ext.segmentation import grid, pixels


def boxes(height, width):
    """Every rectangle of the tree by its definition, with a stack."""
    found, stack = set(), [(0, height, 0, width)]
    while stack:
        top, bottom, left, right = stack.pop()
        found.add((top, bottom, left, right))
        if right - left > bottom - top:
            middle = left + (right - left) // 2
            stack += [(top, bottom, left, middle), (top, bottom, middle, right)]
        elif bottom - top > 1:
            middle = top + (bottom - top) // 2
            stack += [(top, middle, left, right), (middle, bottom, left, right)]
    return found


def halves(labels):
    """Every set of players by its definition, with a stack."""
    n = labels.max() + 1
    area = np.bincount(labels.ravel())
    center = [np.array([axis[labels == i].mean() for i in range(n)]) for axis in np.indices(labels.shape)]
    found, stack = set(), [list(range(n))]
    while stack:
        players = stack.pop()
        found.add(frozenset(players))
        if len(players) > 1:
            along = center[int(np.ptp(center[1][players]) > np.ptp(center[0][players]))]
            players = sorted(players, key=lambda i: (along[i], i))
            cuts = [k for k in range(1, len(players)) if 2 * area[players[:k]].sum() >= area[players].sum()]
            cut = cuts[0] if cuts else len(players) - 1
            stack += [players[:cut], players[cut:]]
    return found


def members(tree):
    return [frozenset(tree.order[a:b].tolist()) for a, b in zip(tree.start, tree.stop, strict=True)]


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (7, 1), (4, 4), (5, 8), (13, 6)])
def test_rectangles_are_halved_across_the_longer_side(shape):
    players = pixels(np.zeros(shape))
    expected = {frozenset(players[t:b, left:r].ravel().tolist()) for t, b, left, r in boxes(*shape)}
    assert set(members(axis_aligned(shape))) == expected


def test_a_square_is_cut_across_its_height():
    np.testing.assert_array_equal(axis_aligned((2, 2)).merges, [[0, 1, 2, 2], [2, 3, 2, 2], [4, 5, 4, 4]])


def test_a_wide_image_by_hand():
    expected = [[0, 3, 2, 2], [1, 2, 2, 2], [4, 5, 2, 2], [7, 8, 4, 4], [6, 9, 6, 6]]
    np.testing.assert_array_equal(axis_aligned((2, 3)).merges, expected)


def test_rows_are_ordered_by_players_then_first_pixel():
    tree = axis_aligned((9, 14))
    keys = [(len(m), min(m)) for m in members(tree)[tree.n_players :]]
    assert keys == sorted(keys)
    np.testing.assert_array_equal(tree.merges[:, 2], tree.merges[:, 3])


@pytest.mark.parametrize("seed", range(4))
def test_players_are_cut_where_half_of_the_area_is_reached(seed):
    labels = np.random.default_rng(seed).integers(0, 9, (7, 10 + seed))
    labels.flat[:9] = range(9)
    tree = axis_aligned(labels.shape, labels)
    assert set(members(tree)) == halves(labels)
    np.testing.assert_array_equal(tree.areas, np.bincount(labels.ravel()))


def test_equal_coordinates_go_by_player():
    labels = grid(np.zeros((9, 9)), rows=3)[:, ::-1]
    assert set(members(axis_aligned((9, 9), labels))) == halves(labels)


def test_one_huge_player_is_cut_off_on_either_side():
    labels = np.repeat([0, 1, 2, 3], [9, 1, 1, 1])[None]
    assert {frozenset([0]), frozenset([1, 2, 3])} <= set(members(axis_aligned((1, 12), labels)))
    assert {frozenset([0]), frozenset([1, 2, 3])} <= set(members(axis_aligned((1, 12), labels[:, ::-1])))


def test_a_grid_of_equal_cells_is_cut_like_its_pixels():
    labels = grid(np.zeros((8, 16)), rows=4, columns=8)
    assert set(members(axis_aligned((8, 16), labels))) == set(members(axis_aligned((4, 8))))


def test_rows_of_player_sets_are_ordered_by_players_then_first_pixel():
    labels = grid(np.zeros((9, 12)), rows=3, columns=4)[::-1]
    tree = axis_aligned((9, 12), labels)
    keys = [(len(m), int(np.flatnonzero(np.isin(labels, list(m)))[0])) for m in members(tree)[12:]]
    assert keys == sorted(keys)


def test_a_chain_of_players_needs_no_recursion():
    labels = np.repeat(np.arange(14), 2 ** np.arange(14))[None]
    assert axis_aligned(labels.shape, labels).depths.max() == 13


def test_the_tree_is_named():
    assert axis_aligned((2, 2)).structure == "axis_aligned"


@pytest.mark.parametrize(
    ("shape", "error", "match"),
    [
        ((4,), ValueError, r"shape must be \(H, W\)"),
        (4, ValueError, r"shape must be \(H, W\)"),
        ((4, 5, 3), ValueError, r"shape must be \(H, W\)"),
        ((0, 4), ValueError, "H must be at least 1"),
        ((4, 0), ValueError, "W must be at least 1"),
        ((4.0, 4.0), TypeError, "H must be an int"),
    ],
)
def test_a_shape_is_two_whole_numbers(shape, error, match):
    with pytest.raises(error, match=match):
        axis_aligned(shape)


def test_labels_of_another_shape_are_an_error():
    with pytest.raises(ValueError, match=r"\(H, W\) = \(3, 4\), got \(4, 3\)"):
        axis_aligned((3, 4), np.zeros((4, 3), int))
