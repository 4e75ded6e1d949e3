"""Nearly orthogonal pairs of complements."""

import numpy as np
import pytest

from tests.laws import SamplerLaws
from xai_ext.samplers import Antithetic, Foldover
from xai_ext.samplers._foldover_kernel import spread


def first_of_pairs(sampler, n, pairs, seed=0):
    return sampler.ask(n, 2 * pairs, np.random.default_rng(seed))[::2]


def signs(coalitions):
    return np.where(coalitions, 1.0, -1.0)


def left_by_triples(coalitions):
    """Mean square that triples of unit size leave in a coefficient of least squares; 1: what chance leaves."""
    x = signs(coalitions)
    m, n = x.shape
    triples = np.stack([x[:, i] * x[:, j] * x[:, k] for k in range(n) for j in range(k) for i in range(j)], 1)
    return m * (np.linalg.lstsq(x, triples, rcond=None)[0] ** 2).mean()


class TestFoldover(SamplerLaws):
    make = Foldover

    @pytest.mark.parametrize("size", [1, 2, 9, 10, 2001, 2003])
    def test_rows_come_in_complements_and_an_odd_one_is_single(self, size):
        coalitions = Foldover().ask(7, size, np.random.default_rng(0))
        pairs = size // 2
        np.testing.assert_array_equal(coalitions[0 : 2 * pairs : 2], ~coalitions[1 : 2 * pairs : 2])

    def test_players_are_nearly_orthogonal_after_any_number_of_pairs(self):
        drawn = first_of_pairs(Foldover(), 30, 240)
        for pairs in (60, 120, 240):
            gram = signs(drawn[:pairs]).T @ signs(drawn[:pairs]) / pairs
            inflation = np.trace(np.linalg.inv(gram)) / 30  # of a variance; by chance 1 / (1 - 30 / pairs)
            assert inflation < 1 + 0.15 * 30 / pairs

    @pytest.mark.parametrize(("n", "pairs", "most"), [(12, 60, 0.85), (12, 300, 0.25), (20, 300, 0.60)])
    def test_triples_leave_less_in_the_coefficients_than_by_chance(self, n, pairs, most):
        assert left_by_triples(first_of_pairs(Foldover(), n, pairs)) < most
        assert left_by_triples(first_of_pairs(Antithetic(), n, pairs)) > 1

    def test_every_row_is_fair_coins(self):
        rows = np.stack([first_of_pairs(Foldover(), 4, 3, seed)[2] for seed in range(8000)])
        counts = np.bincount(rows @ [1, 2, 4, 8], minlength=16)
        np.testing.assert_allclose(counts / 8000, 1 / 16, atol=0.011)  # 4 sigma

    def test_negating_a_player_negates_it_in_the_result(self):
        before = np.random.default_rng(0).choice([-1.0, 1.0], size=(9, 40))
        flips = np.where(np.arange(9) % 2, 1.0, -1.0)[:, None]
        negated = before * flips
        spread(before)
        spread(negated)
        np.testing.assert_array_equal(negated, before * flips)

    def test_no_single_exchange_by_the_last_pass_raises_the_energy(self):
        n, m = 10, 25
        before = np.random.default_rng(0).choice([-1.0, 1.0], size=(n, m))
        after = before.copy()
        spread(after)
        for i in range(1, m):
            c = 2 * n * (n - 1) * (n - 2) // i - (3 * n - 2)
            energies = [((h := x[:, i] @ after[:, :i]) ** 4 + c * h**2).sum() for x in (before, after)]
            assert energies[1] <= energies[0]

    def test_asking_for_blocks_one_by_one_continues_the_stream(self):
        rng = np.random.default_rng(1)
        parts = [Foldover().ask(6, size, rng) for size in (2000, 2000, 501)]
        np.testing.assert_array_equal(np.concatenate(parts), Foldover().ask(6, 4501, np.random.default_rng(1)))

    def test_more_players_than_can_be_told_apart_are_fair_coins(self):
        rng = np.random.default_rng(0)
        np.testing.assert_array_equal(Foldover().ask(2001, 6, rng), Antithetic().ask(2001, 6, np.random.default_rng(0)))

    def test_few_pairs_of_many_players_do_not_tie_the_first_of_them_together(self):
        x = signs(first_of_pairs(Foldover(), 400, 50))[:, :10]
        assert np.abs(x.T @ x / 50 - np.eye(10)).max() < 0.5  # coins: .35; exchanged in all pairs alike: .53
