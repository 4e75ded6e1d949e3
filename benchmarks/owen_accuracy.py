"""How far Owen values are from exact ones: best-first and designed contexts, on photos and two networks.

The game is that of the 64 regions of a photo's binary partition tree, cut at depth 6; exact values take 2,732
evaluations. The error is L1 and relative: the sum over regions of |value - exact| / the sum of |exact|. Every score is
computed once and kept in a cache (half a minute per photo and network, one thread); estimators then look scores up.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from _owen_games import DEPTH, MODELS, SIDE, tables

from xai_ext.methods.owen import BestFirst, Designed, owen

BUDGETS = (100, 300, 500, 1000, 1500, 2000)
ESTIMATORS = {"best-first": BestFirst(), "designed": Designed()}
MOST = {1000: 0.85, 1500: 0.70}  # designed / best-first
STRETCH = {1000: 0.50}
COVERAGE = (0.88, 0.98)
RESAMPLES = 10_000


def measured(table):
    """(errors (estimators, budgets), share of regions within two standard errors of Designed (budgets,))."""
    exact = owen(table.game(), table.tree, budget=table.tree.exact_cost, estimator="exact").values
    errors, covered = np.empty((len(ESTIMATORS), len(BUDGETS))), np.empty(len(BUDGETS))
    for i, estimator in enumerate(ESTIMATORS.values()):
        for j, budget in enumerate(BUDGETS):
            got = owen(table.game(), table.tree, budget=budget, estimator=estimator)
            error = np.abs(got.values - exact)
            errors[i, j] = error.sum() / np.abs(exact).sum()
            covered[j] = (error <= 2 * got.std_error + 1e-9 * np.abs(exact).max()).mean()  # 1e-9: rounding
    return errors, covered


def ratios(errors, photos):
    """(ratio of mean errors to best-first, its 95 % interval), from (games, estimators, budgets).

    Photos are drawn with replacement, each with all of its networks.
    """
    sums = np.stack([errors[photos == photo].sum(0) for photo in np.unique(photos)])
    drawn = np.random.default_rng(0).multinomial(len(sums), np.full(len(sums), 1 / len(sums)), RESAMPLES)
    resampled = np.einsum("bp,pej->bej", drawn, sums)
    interval = np.percentile(resampled / resampled[:, :1], [2.5, 97.5], axis=0)
    return sums.sum(0) / sums.sum(0)[0], interval


def verdict(within):
    """As the tables print it."""
    return "ok" if within else "MISSED"


def print_errors(name, errors, photos):
    """One table: mean error, ratio and interval."""
    ratio, (low, high) = ratios(errors, photos)
    print(f"\n{name}: {len(np.unique(photos))} photos, {len(errors)} games, mean relative L1 error")
    print(f"{'evaluations':14}" + "".join(f"{budget:>18}" for budget in BUDGETS))
    for i, estimator in enumerate(ESTIMATORS):
        print(f"{estimator:14}" + "".join(f"{error:18.3f}" for error in errors[:, i].mean(0)))
        if i > 0:
            cells = (f"{r:.2f} [{a:.2f}, {b:.2f}]" for r, a, b in zip(ratio[i], low[i], high[i], strict=True))
            print(f"{'  ratio':14}" + "".join(f"{cell:>18}" for cell in cells))
    return ratio


def print_verdicts(ratio, covered):
    """Limits that the designed contexts are held to."""
    designed = dict(zip(BUDGETS, ratio[list(ESTIMATORS).index("designed")], strict=True))
    print()
    for budget, most in MOST.items():
        print(f"designed / best-first at {budget}: {designed[budget]:.2f} (at most {most}) "
              f"{verdict(designed[budget] <= most)}")  # fmt: skip
    for budget, most in STRETCH.items():
        best = ratio[1:, BUDGETS.index(budget)].min()
        print(f"best estimator / best-first at {budget}: {best:.2f} (stretch: at most {most}) {verdict(best <= most)}")
    least, most = COVERAGE
    for budget, share in zip(BUDGETS, covered.mean(0), strict=True):
        print(f"designed, regions within 2 standard errors at {budget}: {share:.1%} ({least:.0%} to {most:.0%}) "
              f"{verdict(least <= share <= most)}")  # fmt: skip


def main():
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photos", type=Path, nargs="+", help="folders of photos")
    parser.add_argument("--cache", type=Path, required=True, help="folder for the tables of scores")
    parser.add_argument("--most", type=int, help="take only the first photos")
    args = parser.parse_args()
    torch.set_num_threads(1)
    games = [(t.photo, t.model, *measured(t)) for t in tables(args.photos, args.cache, args.most)]
    photos, models = np.array([game[0] for game in games]), np.array([game[1] for game in games])
    errors, covered = np.stack([game[2] for game in games]), np.stack([game[3] for game in games])
    print(f"{SIDE} px, grey instead of what is absent, logit of the first class, tree cut at depth {DEPTH}")
    for model in MODELS:
        print_errors(model, errors[models == model], photos[models == model])
    print_verdicts(print_errors("both", errors, photos), covered)


if __name__ == "__main__":
    main()
