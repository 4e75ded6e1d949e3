"""Orders with ties, the counts along them, and areas."""

from itertools import combinations, permutations

import numpy as np
import pytest

from tests.metrics.laws import VECTORS
from xai_ext.metrics._ranking import curve_auc, inclusion_probability, removal_order, schedule

TIED = np.array([2.0, 5.0, 2.0, -1.0, 5.0, 2.0])


class TestRemovalOrder:
    @pytest.mark.parametrize(
        ("ties", "rank"),
        [("group", [2, 0, 2, 5, 0, 2]), ("stable", [2, 0, 3, 5, 1, 4]), ("reverse", [4, 1, 3, 5, 0, 2])],
    )
    def test_highest_leave_first(self, ties, rank):
        order = removal_order(TIED, ties)
        np.testing.assert_array_equal(order.rank, rank)
        assert order.rank.dtype == np.int32
        assert order.n_groups == 3

    def test_groups_are_cut_nowhere_and_ordered_ties_anywhere(self):
        np.testing.assert_array_equal(removal_order(TIED, "group").bounds, [0, 2, 5, 6])
        np.testing.assert_array_equal(removal_order(TIED, "stable").bounds, range(7))

    def test_items_of_several_positions_leave_whole(self):
        order = removal_order(np.array([1.0, 3.0, 2.0]), "stable", np.array([4, 2, 3]))
        np.testing.assert_array_equal(order.rank, [5, 0, 2])
        np.testing.assert_array_equal(order.bounds, [0, 2, 5, 9])

    @pytest.mark.parametrize("ties", ["group", "stable", "reverse"])
    def test_at_every_bound_the_highest_are_gone(self, ties):
        order = removal_order(TIED, ties)
        for count in order.bounds:
            gone = ~order.kept(count, insert=False)
            assert gone.sum() == count
            assert not count or not (~gone).any() or TIED[gone].min() >= TIED[~gone].max()
            np.testing.assert_array_equal(order.kept(count, insert=True), gone)

    def test_an_unknown_tie_rule_is_refused_with_a_hint(self):
        with pytest.raises(ValueError, match="did you mean 'stable'"):
            removal_order(TIED, "stabel")


class TestSchedule:
    def test_counts_are_even_and_rounded_half_up(self):
        order = removal_order(np.arange(10.0))
        np.testing.assert_array_equal(schedule(order, 4), [0, 3, 5, 8, 10])  # 2.5 and 7.5 go up

    def test_a_step_size_ends_with_a_short_step(self):
        np.testing.assert_array_equal(schedule(removal_order(np.arange(10.0)), step_size=4), [0, 4, 8, 10])

    def test_few_groups_are_all_visited_however_small(self):
        order = removal_order(np.repeat([5.0, 4.0, 3.0, 2.0], [1, 1, 1, 97]))
        np.testing.assert_array_equal(schedule(order, 4), [0, 1, 2, 3, 100])

    def test_counts_move_to_the_nearest_bound_and_down_in_the_middle(self):
        order = removal_order(np.repeat([5.0, 4.0, 3.0, 2.0, 1.0], [1, 3, 2, 2, 4]))  # bounds 0, 1, 4, 6, 8, 12
        np.testing.assert_array_equal(schedule(order, 4), [0, 4, 6, 8, 12])  # 3 -> 4, 9 -> 8
        np.testing.assert_array_equal(schedule(order, step_size=5), [0, 4, 8, 12])  # 5 -> 4, 10 -> 8

    def test_a_constant_map_leaves_in_one_step(self):
        np.testing.assert_array_equal(schedule(removal_order(np.ones(50)), 28), [0, 50])


class TestInclusion:
    def test_it_is_the_share_of_tie_breaking_orders(self):
        for k in range(7):
            hits = np.zeros(6)
            for order in permutations(range(6)):
                ranked = sorted(order, key=lambda i: -TIED[i])  # stable: ties keep the permutation's order
                hits[ranked[:k]] += 1
            np.testing.assert_allclose(inclusion_probability(TIED, k), hits / 720, atol=1e-15)

    def test_without_ties_it_is_one_or_zero(self):
        np.testing.assert_array_equal(inclusion_probability(np.array([3.0, 1.0, 2.0]), 2), [1, 0, 1])

    def test_more_than_there_are_is_refused(self):
        with pytest.raises(ValueError, match="between 0 and the 6 positions, got 7"):
            inclusion_probability(TIED, 7)


class TestCurveAuc:
    def test_vector_of_clipped_curves(self):
        vector = VECTORS["cf-clip"]
        ends = {"f_input": vector["inputs"]["f_x"], "f_baseline": vector["inputs"]["f_baseline"]}
        areas = [curve_auc(vector["inputs"]["scores"], **ends, normalize=n) for n in ("none", "range", "range_clipped")]
        expected = [vector["expected"][name] for name in ("auc", "auc_rescaled", "auc_rescaled_clipped")]
        np.testing.assert_allclose(areas, expected, atol=vector["tol"])

    def test_an_uneven_last_step_has_its_true_width(self):
        assert curve_auc(np.array([1.0, 0.0, 4.0]), np.array([0.0, 0.75, 1.0])) == pytest.approx(0.375 + 0.5)

    def test_clipping_works_when_the_score_rises(self):
        area = curve_auc(np.array([1.0, 9.0, 0.0, 3.0]), f_input=1.0, f_baseline=3.0, normalize="range_clipped")
        assert area == pytest.approx((0.5 + 0 + 1 + 0) / 3)  # (y - 3) / -2 of 1, 3, 1, 3 is 1, 0, 1, 0

    def test_original_divides_by_the_score_of_the_input(self):
        assert curve_auc(np.array([4.0, 2.0]), f_input=4.0, normalize="original") == pytest.approx(0.75)

    @pytest.mark.parametrize(("how", "ends"), [("range", (2.0, 2.0)), ("original", (0.0, 1.0))])
    def test_a_denominator_of_zero_is_undefined(self, how, ends):
        assert np.isnan(curve_auc(np.ones(3), f_input=ends[0], f_baseline=ends[1], normalize=how))

    def test_normalising_needs_the_ends(self):
        with pytest.raises(ValueError, match="needs f_input and f_baseline"):
            curve_auc(np.ones(3), normalize="range")


def test_expected_intersections_are_means_over_random_subsets():
    mask = np.array([True, True, False, False, False])
    for k in range(6):
        mean = np.mean([mask[list(c)].sum() for c in combinations(range(5), k)])
        assert inclusion_probability(np.zeros(5), k)[mask].sum() == pytest.approx(mean, abs=1e-15)
