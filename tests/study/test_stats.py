"""Statistics of a data set, against SciPy and simulation."""

from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from scipy import stats as ss

from xai_ext.metrics import Status
from xai_ext.study import stats
from xai_ext.study._inference import holm


class TestSummarize:
    def test_one_row_per_image_is_the_t_interval(self):
        x = np.random.default_rng(0).normal(size=30)
        found = stats.summarize(x, np.arange(30), confidence=0.9)
        low, high = ss.t.interval(0.9, 29, x.mean(), ss.sem(x))
        assert found.interval == (found.low, found.high) == pytest.approx((low, high), abs=1e-13)
        assert (found.mean, found.se, found.sd) == pytest.approx((x.mean(), ss.sem(x), x.std(ddof=1)), abs=1e-13)
        assert (found.n, found.n_images, found.n_skipped) == (30, 30, {})

    def test_repeated_rows_add_no_information(self):
        x = np.random.default_rng(1).normal(size=12)
        once, thrice = stats.summarize(x, np.arange(12)), stats.summarize(np.tile(x, 3), np.tile(np.arange(12), 3))
        assert (thrice.mean, thrice.se, thrice.low) == pytest.approx((once.mean, once.se, once.low), abs=1e-13)

    def test_missing_rows_are_counted_by_reason(self):
        x = np.array([1.0, np.nan, np.nan, 3.0])
        status = [Status.OK, Status.EMPTY_MASK, Status.NON_FINITE, Status.CONSTANT]
        found = stats.summarize(x, [0, 1, 2, 3], status=status, chance=[0.1, 9, 9, 0.3])
        assert found.n_skipped == {"EMPTY_MASK": 1, "NON_FINITE": 1}
        assert (found.n, found.mean, found.median, found.chance) == pytest.approx((2, 2, 2, 0.2))
        assert stats.summarize(x, [0, 1, 2, 3]).n_skipped == {"UNKNOWN": 2}

    def test_one_image_has_no_interval_and_none_no_mean(self):
        found = stats.summarize([1.0, 2.0], [7, 7])
        assert found.mean == 1.5
        assert np.isnan([found.se, found.low, found.high]).all()
        nothing = stats.summarize([np.nan], [0])
        assert nothing.n == nothing.n_images == 0
        assert np.isnan(nothing.mean)

    def test_the_bootstrap_is_scipys(self):
        rng = np.random.default_rng(2)
        x = rng.exponential(size=25)
        found = stats.summarize(x, np.arange(25), ci="bca", rng=np.random.default_rng(3))
        expected = ss.bootstrap((x,), np.mean, n_resamples=4999, rng=np.random.default_rng(3)).confidence_interval
        assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=0.02)

    def test_wilsons_interval_is_for_hits(self):
        hits = np.array([1.0] * 7 + [0.0] * 3)
        found = stats.summarize(hits, np.arange(10), ci="wilson")
        z = ss.norm.ppf(0.975)
        center, half = (7 + z**2 / 2) / (10 + z**2), z / (10 + z**2) * np.sqrt(10 * 0.21 + z**2 / 4)
        assert (found.low, found.high) == pytest.approx((center - half, center + half), abs=1e-12)
        for bad in ((hits, np.arange(10) // 2), (hits / 2, np.arange(10))):
            with pytest.raises(ValueError, match="values 0 and 1, one per image"):
                stats.summarize(*bad, ci="wilson")

    def test_what_does_not_fit_is_refused(self):
        with pytest.raises(ValueError, match="one image id per value"):
            stats.summarize([1.0], [0, 1])
        with pytest.raises(ValueError, match="confidence must lie"):
            stats.summarize([1.0], [0], confidence=95)

    @pytest.mark.slow
    @pytest.mark.parametrize("n_images", [10, 20, 50])
    def test_intervals_cover_and_rows_taken_as_independent_do_not(self, n_images):
        rng, runs = np.random.default_rng(n_images), 1000
        covered, naive = 0, 0
        for _ in range(runs):
            counts = rng.integers(1, 4, n_images)
            ids = np.repeat(np.arange(n_images), counts)
            x = rng.normal(size=n_images)[ids] + 0.5 * rng.normal(size=len(ids))
            found = stats.summarize(x, ids)
            covered += found.low <= 0 <= found.high
            three = np.repeat(np.arange(n_images), 3)
            y = rng.normal(size=n_images)[three] + 0.5 * rng.normal(size=len(three))
            apart = stats.summarize(y, np.arange(len(three)))
            naive += apart.low <= 0 <= apart.high
        assert 0.90 <= covered / runs <= 0.98
        assert naive / runs < 0.90


class TestCompare:
    def test_tests_are_scipys(self):
        rng = np.random.default_rng(0)
        a, b = rng.normal(size=20), rng.normal(0.4, 1, size=20)
        found = stats.compare(a, b, np.arange(20))
        assert found.p == pytest.approx(ss.wilcoxon(a, b).pvalue)
        assert found.p_t == pytest.approx(ss.ttest_rel(a, b).pvalue)
        assert found.win_rate == (a > b).mean()
        ranks = ss.rankdata(np.abs(a - b))
        assert found.rank_biserial == pytest.approx((ranks * np.sign(a - b)).sum() / ranks.sum())
        lower = stats.compare(a, b, np.arange(20), higher_is_better=False)
        assert lower.win_rate == pytest.approx(1 - found.win_rate)
        assert lower.rank_biserial == pytest.approx(-found.rank_biserial)
        assert lower.difference == found.difference

    def test_rows_of_an_image_are_one_observation(self):
        a, b = np.array([1.0, 3, 5, 7, 2]), np.array([0.0, 0, 4, 9, np.nan])
        found = stats.compare(a, b, [0, 0, 1, 2, 3])
        assert found.n_images == 3
        assert found.win_rate == pytest.approx(2 / 3)
        assert found.difference == pytest.approx((1 + 3 + 1 - 2) / 4)

    def test_equal_methods_and_too_few_images(self):
        same = stats.compare(np.ones(5), np.ones(5), np.arange(5))
        assert (same.p, same.p_t, same.win_rate, same.rank_biserial, same.difference) == (1, 1, 0.5, 0, 0)
        alone = stats.compare([1.0], [2.0], [0])
        assert np.isnan([alone.p, alone.p_t, alone.low]).all()
        assert np.isnan(stats.compare([np.nan], [2.0], [0]).win_rate)


def closed_test(p):
    """The smallest level at which every Bonferroni test of every subset with this hypothesis rejects: Holm's p."""
    n = len(p)
    subsets = [s for size in range(1, n + 1) for s in combinations(range(n), size)]
    return [min(1.0, max(len(s) * min(p[i] for i in s) for s in subsets if h in s)) for h in range(n)]


def test_holm_is_the_closed_test():
    rng = np.random.default_rng(0)
    for n in (1, 2, 5):
        p = rng.random(n) ** 3
        np.testing.assert_allclose(holm(p), closed_test(p), rtol=1e-12)
    np.testing.assert_allclose(holm(np.array([0.01, np.nan, 0.04])), [0.02, np.nan, 0.04])


def table(values, *, metric="srg", **columns):
    """Values (methods, images) as a long table."""
    rows = [
        {"dataset": "d", "model": "m", "baseline": "b", "metric": metric, "method": f"m{i}", "image_id": j, "value": v}
        for i, row in enumerate(values) for j, v in enumerate(row)
    ]  # fmt: skip
    return pd.DataFrame(rows).assign(**columns)


class TestTables:
    def test_all_pairs_are_corrected_within_their_family(self):
        rng = np.random.default_rng(0)
        values = rng.normal(size=(3, 15)) + np.array([[0], [0.7], [1.4]])
        long = pd.concat([table(values), table(values, metric="deletion")])
        found = stats.compare_all(long)
        assert len(found) == 6
        for _, family in found.groupby("metric"):
            np.testing.assert_allclose(family["p_holm"], holm(family["p"].to_numpy()))
        row = found[(found.metric == "srg") & (found.a == "m0") & (found.b == "m2")].iloc[0]
        expected = stats.compare(values[0], values[2], np.arange(15))
        assert row.p == expected.p
        assert row.win_rate == expected.win_rate
        worse = found[(found.metric == "deletion") & (found.a == "m0") & (found.b == "m2")].iloc[0]
        assert worse.win_rate == pytest.approx(1 - row.win_rate)

    def test_seeds_are_averaged_first(self):
        rng = np.random.default_rng(1)
        values = rng.normal(size=(2, 2, 9))
        both = pd.concat([table(v, seed=s) for s, v in enumerate(values)])
        mean = stats.compare_all(table(values.mean(0))).iloc[0]
        found = stats.compare_all(both).iloc[0]
        assert found.p == pytest.approx(mean.p)
        assert found.difference == pytest.approx(mean.difference)

    def test_a_metric_of_the_users_needs_its_direction(self):
        long = table(np.random.default_rng(0).normal(size=(2, 5)), metric="mine")
        with pytest.raises(ValueError, match="is a higher 'mine' better"):
            stats.compare_all(long)
        assert len(stats.compare_all(long, {"mine": True})) == 1

    def test_missing_columns_are_named(self):
        with pytest.raises(ValueError, match=r"lacks the columns \['metric'\]"):
            stats.compare_all(table(np.ones((2, 3))).drop(columns="metric"))

    def test_metrics_that_rank_alike_agree(self):
        rng = np.random.default_rng(2)
        quality = rng.normal(size=(4, 12)) + np.arange(4)[:, None]
        long = pd.concat([table(quality), table(-2 * quality, metric="deletion"), table(-quality, metric="insertion")])
        found = stats.rank_agreement(long)
        tau = found.between.set_index(["a", "b"])["tau"]
        assert tau["deletion", "srg"] == pytest.approx(1)
        assert tau["deletion", "insertion"] == pytest.approx(-1)
        of_means = found.between.set_index(["a", "b"])["tau_of_means"]
        assert of_means["insertion", "srg"] == pytest.approx(-1)
        w = found.within.set_index("metric")["w"]
        chi2 = ss.friedmanchisquare(*quality).statistic
        assert w["srg"] == pytest.approx(chi2 / (12 * 3))
