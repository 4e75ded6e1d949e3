"""The tree that every method reads, against sets of players and SciPy."""

import time

import numpy as np
import pytest
from scipy.cluster.hierarchy import cut_tree, linkage

from tests.trees import chain, members, random_tree
from xai_ext.hierarchies import Hierarchy, balanced

TREES = [
    *(random_tree(n, seed) for seed, n in enumerate([1, 2, 3, 8, 33])),
    *(Hierarchy.from_merges(linkage(np.random.default_rng(1).random((20, 2)), m)) for m in ("ward", "single")),
    balanced(13),
    Hierarchy.from_merges(chain(12)),
]
EVERY_TREE = pytest.mark.parametrize("tree", TREES, ids=range(len(TREES)))


@EVERY_TREE
class TestLayout:
    def test_each_node_holds_an_interval_of_the_order(self, tree):
        assert sorted(tree.order) == list(range(tree.n_players))
        for v, players in enumerate(members(tree)):
            assert set(tree.order[tree.start[v] : tree.stop[v]].tolist()) == players

    def test_depths_count_edges_from_the_root(self, tree):
        depth = {tree.root: 0}
        for k in reversed(range(tree.n_players - 1)):
            for child in tree.merges[k, :2].astype(int):
                depth[int(child)] = depth[tree.n_players + k] + 1
        assert tree.depths.tolist() == [depth[v] for v in range(len(depth))]

    def test_areas_add(self, tree):
        areas = np.arange(1.0, tree.n_players + 1)
        expected = [sum(areas[list(s)]) for s in members(tree)]
        np.testing.assert_array_equal(Hierarchy.from_merges(tree.merges, areas).node_areas, expected)

    def test_its_arrays_cannot_be_written(self, tree):
        for name in ("merges", "areas", "order", "start", "stop", "children", "depths", "node_areas"):
            assert not getattr(tree, name).flags.writeable

    def test_exactness_costs_two_evaluations_per_node_and_context(self, tree):
        depths = tree.depths[tree.n_players :].tolist()
        assert tree.exact_cost == 2 + sum(2 ** (d + 1) for d in depths)


@pytest.mark.parametrize(("depth", "cost"), [(4, 172), (5, 684), (6, 2732), (7, 10924)])
def test_a_full_tree_costs_four_times_more_per_level(depth, cost):
    assert balanced(2**depth).exact_cost == cost == 2 * (4**depth - 1) // 3 + 2


class TestLargeTrees:
    def test_a_chain_of_50000_players(self):
        tree = Hierarchy.from_merges(chain(50_000))
        assert tree.depths.max() == 49_999
        assert tree.exact_cost == 2**50_000
        assert tree.cut(depth=49_000)[1].n_players == 49_001

    @pytest.mark.slow
    def test_a_picture_of_2048_pixels_a_side(self):
        start = time.process_time()
        tree = balanced(2048 * 2048)
        region, top = tree.cut(regions=1000)
        assert time.process_time() - start < 30  # a Python loop over nodes would take minutes
        assert tree.depths.max() == 22
        assert tree.exact_cost == 2 * (4**22 - 1) // 3 + 2
        assert np.bincount(region).tolist() == top.areas.tolist()


@EVERY_TREE
class TestCut:
    def test_by_regions_undoes_the_last_merges(self, tree):
        for m in {1, (tree.n_players + 1) // 2, tree.n_players}:
            region, top = tree.cut(regions=m)
            expected = cut_tree(tree.merges, m)[:, 0] if tree.n_players > 1 else [0]
            assert len(set(zip(region.tolist(), np.ravel(expected).tolist(), strict=True))) == m == top.n_players
            np.testing.assert_array_equal(top.merges[:, 2], tree.merges[tree.n_players - m :, 2])

    def test_by_depth_keeps_what_lies_above(self, tree):
        for depth in range(4):
            region, top = tree.cut(depth=depth)
            expected = [
                frozenset(players)
                for v, players in enumerate(members(tree))
                if tree.depths[v] == depth or (tree.depths[v] < depth and v < tree.n_players)
            ]
            assert {frozenset(np.flatnonzero(region == r).tolist()) for r in range(top.n_players)} == set(expected)
            assert top.depths.max() == min(depth, tree.depths.max())

    def test_the_top_holds_the_same_unions(self, tree):
        areas = np.arange(1.0, tree.n_players + 1)
        region, top = Hierarchy.from_merges(tree.merges, areas).cut(regions=(tree.n_players + 1) // 2)
        below = {frozenset(s) for s in members(tree)}
        for v, regions in enumerate(members(top)):
            players = np.flatnonzero(np.isin(region, list(regions)))
            assert frozenset(players.tolist()) in below
            assert top.node_areas[v] == areas[players].sum()


class TestErrors:
    @pytest.mark.parametrize(
        ("rows", "message"),
        [
            ([[0, 1, 1]], "shape"),
            ([[0, 1, np.nan, 2]], "merges must be finite, got row 0"),
            ([[0, 1.5, 1, 2]], "ids of merges must be integers, got row 0"),
            ([[0, 3, 1, 2], [1, 2, 1, 2]], "merges must be topological: .* got row 0"),
            ([[-1, 1, 1, 2]], "merges must be topological"),
            ([[0, 1, 1, 2], [0, 2, 2, 3]], "each id must be merged once, got id 0 in row 0"),
            ([[0, 0, 1, 2]], "each id must be merged once"),
            ([[0, 1, 1, 2], [2, 3, 2, 4]], r"column 3 of merges must count players \(3 here\), got row 1"),
        ],
    )
    def test_a_table_that_is_no_linkage(self, rows, message):
        with pytest.raises(ValueError, match=message):
            Hierarchy.from_merges(rows)

    @pytest.mark.parametrize(
        ("areas", "message"),
        [([1.0], r"areas must have shape \(2,\)"), ([1, 0], "positive"), ([1, np.inf], "finite")],
    )
    def test_impossible_areas(self, areas, message):
        with pytest.raises(ValueError, match=message):
            Hierarchy.from_merges([[0, 1, 1, 2]], areas)

    @pytest.mark.parametrize("arguments", [{}, {"depth": 1, "regions": 2}])
    def test_a_cut_by_both_or_neither(self, arguments):
        with pytest.raises(ValueError, match="exactly one of depth and regions"):
            balanced(4).cut(**arguments)

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"depth": -1}, "depth must be at least 0"),
            ({"regions": 0}, "regions must be at least 1"),
            ({"regions": 5}, "regions must be at most the 4 players"),
        ],
    )
    def test_a_cut_outside_the_tree(self, arguments, message):
        with pytest.raises(ValueError, match=message):
            balanced(4).cut(**arguments)


def test_ids_of_a_row_come_in_either_order_and_the_table_stays_the_callers():
    rows = np.array([[1.0, 0, 3, 2]])
    tree = Hierarchy.from_merges(rows)
    assert tree.merges.tolist() == [[0, 1, 3, 2]]
    assert rows.tolist() == [[1, 0, 3, 2]]
    assert rows.flags.writeable


def test_one_player_is_a_tree():
    tree = Hierarchy.from_merges(np.empty((0, 4)))
    assert (tree.n_players, tree.root, tree.exact_cost) == (1, 0, 2)
    assert tree.cut(depth=3)[1].merges.shape == (0, 4)


def test_an_id_too_large_for_an_integer_is_refused():
    with pytest.raises(ValueError, match=r"below 2\*\*53"):
        Hierarchy.from_merges(np.array([[0, 2.0**63, 0, 2]]))


@pytest.mark.parametrize("table", ["abcd", {}, [[0, 1, 1, 2], [3]], np.zeros((1, 4), complex), [["a"] * 4]])
def test_what_holds_no_real_numbers_is_refused(table):
    with pytest.raises(TypeError, match="merges must be an array of real numbers"):
        Hierarchy.from_merges(table)
    with pytest.raises(TypeError, match="areas must be an array of real numbers"):
        Hierarchy.from_merges([[0, 1, 1, 2]], table)
