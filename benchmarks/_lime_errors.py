"""Errors of LIME estimators against what each of them tends to."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from _lime_estimators import Job, Known, antithetic, captums, ours
from _lime_games import Moments, seed_of
from scipy.special import comb


def cosine_kernel(rows, x, width=0.25):
    """The kernel of lime, of coalitions (m, n) of equal scalars; Captum's, with its width, of the input x (n,)."""
    cosine = np.sqrt(rows @ x**2 / (x @ x))
    return np.exp(-((1 - cosine) ** 2) / (2 * width**2))


def published_kernel(rows, x):
    """What lime_stratified computes: the kernel of the distance times (n + 1) C(n, s) / 2^n."""
    n, sizes = rows.shape[1], rows.sum(1)
    adjusted = (1 - np.sqrt(sizes / n)) * (n + 1) * comb(n, sizes) / 2.0**n
    return np.exp(-(adjusted**2) / (2 * 0.25**2))


def fair_coins(n):
    """Probability of each size 0..n."""
    return comb(n, np.arange(n + 1)) / 2.0**n


def uniform(n):
    """Probability of each size 0..n."""
    return np.full(n + 1, 1 / (n + 1))


@dataclass(frozen=True)
class Estimator:
    """What defines the target of an estimator.

    Attributes
    ----------
    law : n -> probabilities (n+1,) of sizes
    kernel : coalitions (m, n), scalars (n,) -> weights (m,)
    anchors : int
        Rows that are not drawn: none, the input, or the input and the baseline.
    fit : Moments -> coefficients (n,)
    """

    name: str
    law: Callable
    kernel: Callable
    anchors: int
    fit: Callable = Moments.ridge
    pixels: bool = False

    def target(self, game, output, budget, moments):
        """Coefficients (n,) if `budget` evaluations had drawn as the `moments` of one draw say."""
        rows = np.stack([np.ones(game.n, bool), np.zeros(game.n, bool)])[: self.anchors]
        total = moments * (budget - self.anchors)
        if self.anchors:
            total = total + self.moments(game, output, rows)
        return self.fit(total)

    def moments(self, game, output, rows):
        """Of given coalitions."""
        return Moments.of(rows, self.weights(game, rows), game.scores(rows)[:, output])

    def expected(self, game):
        """Of one draw, exactly."""
        by_size = self.weights(game, np.tri(game.n + 1, game.n, -1, dtype=bool))
        return game.moments(self.law(game.n) * by_size)

    def weights(self, game, rows):
        """Kernel of coalitions."""
        return self.kernel(rows, game.x[0].double().numpy() if self.pixels else np.ones(game.n))


LIME = Estimator("lime 0.2.0.1", fair_coins, cosine_kernel, 1)
STRATIFIED = Estimator("lime_stratified 0.0.1", uniform, published_kernel, 1)
CAPTUM = Estimator(
    "captum Lime", fair_coins, lambda rows, x: cosine_kernel(rows, x, 1.0), 0, Moments.lasso, pixels=True
)
PLAIN = Estimator("xai_ext, sampler='mc'", fair_coins, cosine_kernel, 2)
PAIRS = Estimator("xai_ext, sampler='antithetic'", fair_coins, cosine_kernel, 2)
DEFAULT = Estimator("xai_ext, default", fair_coins, cosine_kernel, 2)
ESTIMATORS = (LIME, STRATIFIED, CAPTUM, PLAIN, PAIRS, DEFAULT)
_SAMPLERS = {PLAIN: "mc", PAIRS: "antithetic", DEFAULT: "foldover"}


def relative(values, target):
    """Squared distance over squared length; NaN where the target is all zeros."""
    return ((values - target) ** 2).sum() / (target**2).sum() if target.any() else np.nan


def synthetic_errors(games, budgets, runs, peers):
    """Relative root mean squared errors (games, estimators, budgets); NaN for a peer that is not there."""
    errors = np.full((len(games), len(ESTIMATORS), len(budgets)), np.nan)
    for peer in peers.values():  # all at once: starting a process takes seconds
        peer.explained([task for game in games for budget in budgets for task in peer_tasks(game, 0, budget, runs)])
    for i, game in enumerate(games):
        for j, budget in enumerate(budgets):
            for k, estimator in enumerate(ESTIMATORS):
                target = estimator.target(game, 0, budget, estimator.expected(game))
                found = _synthetic_runs(game, estimator, budget, runs, peers)
                if found is not None:
                    errors[i, k, j] = np.sqrt(np.mean([relative(values, target) for values in found]))
    return errors


def _synthetic_runs(game, estimator, budget, runs, peers):
    if estimator in _SAMPLERS:
        return [ours(game, 0, budget, _SAMPLERS[estimator], seed=run).values for run in range(runs)]
    if estimator is CAPTUM:
        return [captums(game, 0, budget, seed=run) for run in range(runs)]
    if estimator not in peers:
        return None
    return peers[estimator].explained(peer_tasks(game, 0, budget, runs))


def peer_tasks(game, output, budget, runs):
    """For `Peer.explained`."""
    return [(game, output, Job(game.n, budget, seed_of(game, run))) for run in range(runs)]


class PhotoDraws:
    """The coalitions of one photo: what lime drew in each of its runs, and their complements.

    A run's target is fitted to the draws of the other runs, complements included; that of our default, which draws
    its own, to all of lime's.
    """

    def __init__(self, game, drawn):
        self.game, self.drawn = game, [rows[1:] for rows in drawn]

    def rest(self, run, used=None):
        """All draws but a run's, or but the `used` rows of it, and their complements."""
        others = [rows for i, rows in enumerate(self.drawn) if i != run]
        if used is not None:
            rows = self.drawn[run]
            others.append(np.concatenate([rows[: used.start], rows[used.stop :]]))
        rows = np.concatenate(others)
        return np.concatenate([rows, ~rows])

    def everything(self):
        """All draws and their complements."""
        rows = np.concatenate(self.drawn)
        return np.concatenate([rows, ~rows])

    def runs(self, estimator, output, budget):
        """(coefficients, rest) of each run of an estimator of ours or Captum's."""
        for run, rows in enumerate(self.drawn):
            both = [np.concatenate([rows, ~rows[:2]]), np.concatenate([~rows, rows[:2]])]
            if estimator is CAPTUM:
                yield captums(self.game, output, budget, rows=both[0][:budget]), self.rest(run)
            elif estimator is PLAIN:
                for part in both:
                    yield ours(self.game, output, budget, Known(part)).values, self.rest(run)
            elif estimator is DEFAULT:
                seed = seed_of(self.game, run)
                yield ours(self.game, output, budget, "foldover", seed=seed).values, self.everything()
            else:
                half = len(rows) // 2
                for used in (slice(0, half), slice(half, 2 * half)):
                    values = ours(self.game, output, budget, antithetic(rows[used])).values
                    yield values, self.rest(run, used)


def photo_errors(draws, output, budgets, peer_runs):
    """Relative root mean squared errors (estimators, budgets) on one photo.

    The target is itself an estimate, from M rows in pairs: its variance, that of random pairs times (draws - 2 n) /
    (M - 2 n), is taken off. Captum's and lime_stratified's targets are counted as if they varied like their runs.

    Parameters
    ----------
    peer_runs : dict
        (estimator, budget) -> list of (coefficients, rest).
    """
    errors = np.full((len(ESTIMATORS), len(budgets)), np.nan)
    for j, budget in enumerate(budgets):
        found = {}
        for estimator in ESTIMATORS:
            runs = peer_runs.get((estimator, budget))
            if runs is None and estimator in (CAPTUM, *_SAMPLERS):
                runs = list(draws.runs(estimator, output, budget))
            if runs:
                found[estimator] = _measured(draws.game, estimator, output, budget, runs)
        square, share = found[PAIRS]
        of_pairs = square / (1 + share)
        for k, estimator in enumerate(ESTIMATORS):
            if estimator in found:
                square, share = found[estimator]
                own = square - share * of_pairs if estimator in (LIME, PLAIN, DEFAULT) else square / (1 + share)
                errors[k, j] = np.sqrt(np.maximum(0, own))
    return errors


def _measured(game, estimator, output, budget, runs):
    """(mean squared relative error, variance of the target over that of a run)."""
    squares = []
    for values, rest in runs:
        moments = estimator.moments(game, output, rest) * (1 / len(rest))
        squares.append(relative(values, estimator.target(game, output, budget, moments)))
    draws, taken = len(runs[0][1]), 0 if estimator in (STRATIFIED, CAPTUM) else 2 * game.n
    return float(np.mean(squares)), (budget - taken) / (draws - taken)
