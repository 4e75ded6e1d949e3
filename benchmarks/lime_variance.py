"""How much LIME differs from run to run: lime, lime_stratified, Captum's Lime and ours, at equal evaluations.

The error of a run is its distance from what that estimator itself tends to (its own target: same weights, penalty and
number of draws), relative: the root of sum (value - target)^2 / sum target^2. Synthetic games have exact targets; those
of photos are fitted to draws of other runs. Every estimator runs by its own code on looked-up scores. CPU time is that
outside the model, on images of 224 x 224.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch and NumPy start their threads

import argparse
from pathlib import Path

import numpy as np
import torch
from _lime_cost import print_costs
from _lime_errors import (
    DEFAULT,
    ESTIMATORS,
    LIME,
    STRATIFIED,
    PhotoDraws,
    peer_tasks,
    photo_errors,
    synthetic_errors,
)
from _lime_estimators import Job, Peer, ours
from _lime_games import SEGMENTS, Network, Synthetic, photos, seed_of
from _owen_games import SIDE
from owen_accuracy import ratios, verdict

from xai_ext.methods._rows import Rows
from xai_ext.methods.lime import Cosine, PublishedCode, Ridge

GAMES, RUNS = 8, 10
SYNTHETIC_BUDGETS, PHOTO_BUDGETS = (500, 1000), (400, 800)
LIME_RUNS, STRATIFIED_RUNS = 2, 3  # per photo
OUTPUTS = ("logit", "probability")
NETWORKS = ("lite0", "lite1")
MOST = {"synthetic": {500: 0.70, 1000: 0.60}, "logit": {400: 0.90, 800: 0.80}, "probability": {400: 1.0, 800: 1.0}}
STRETCH = {"logit": {800: 0.50}}
STOP_BUDGET, TOL, LIMIT = 1000, 0.05, 0.10


def print_errors(title, errors, groups, budgets, most, stretch=None):
    """Mean error of each estimator, and its ratio to lime's with a 95 % interval over groups of games."""
    print(f"\n{title}: {len(errors)} games")
    print(f"{'evaluations':24}" + "".join(f"{budget:>26}" for budget in budgets))
    for k, estimator in enumerate(ESTIMATORS):
        known = ~np.isnan(errors[:, k]).any(1)
        if not known.any():
            continue
        ratio, (low, high) = ratios(errors[known][:, [0, k]], groups[known])
        cells = zip(errors[known, k].mean(0), ratio[1], low[1], high[1], strict=True)
        line = "".join(f"{f'{e:.3f}  {r:.2f} [{a:.2f}, {b:.2f}]':>26}" for e, r, a, b in cells)
        print(f"{estimator.name:24}{line}" + ("" if known.all() else f"  ({known.sum()} games)"))
    for budget, ratio, single in zip(budgets, *default_ratios(errors), strict=True):
        print(f"default / lime at {budget}: {ratio:.2f}, single games {single.min():.2f} to {single.max():.2f} "
              f"(at most {most[budget]}) {verdict(ratio <= most[budget])}")  # fmt: skip
        if stretch and budget in stretch:
            print(f"  stretch: at most {stretch[budget]} {verdict(ratio <= stretch[budget])}")


def default_ratios(errors):
    """Error of our default over lime's: of the means (budgets,), and of each game (budgets, games)."""
    own, limes = errors[:, ESTIMATORS.index(DEFAULT)], errors[:, ESTIMATORS.index(LIME)]
    return own.mean(0) / limes.mean(0), (own / limes).T


def synthetic(peers):
    """Tables of games with exact targets."""
    if STRATIFIED in peers:
        print_published(peers[STRATIFIED])
    games = [Synthetic(seed) for seed in range(GAMES)]
    errors = synthetic_errors(games, SYNTHETIC_BUDGETS, RUNS, peers)
    title = "synthetic, 50 players, logistic of a sparse sum + pair terms"
    print_errors(title, errors, np.arange(GAMES), SYNTHETIC_BUDGETS, MOST["synthetic"])
    games = [Synthetic(seed, odd=True) for seed in range(GAMES)]
    worst, _ = default_ratios(synthetic_errors(games, SYNTHETIC_BUDGETS, RUNS, {LIME: peers[LIME]}))
    cells = ", ".join(f"{ratio:.2f} at {budget}" for ratio, budget in zip(worst, SYNTHETIC_BUDGETS, strict=True))
    print(f"odd games, where complements have nothing to cancel, default / lime: {cells}")


def measured(games, peers):
    """Errors (games, estimators, budgets) of each output, and what `tol` did; scores are remembered."""
    _prepare(games, peers)
    errors: dict[str, list] = {output: [] for output in OUTPUTS}
    stops = []
    for game in games:
        drawn = peers[LIME].rows([job for _, _, job in peer_tasks(game, 0, max(PHOTO_BUDGETS), LIME_RUNS)])
        draws = PhotoDraws(game, drawn)
        for column, output in enumerate(OUTPUTS):
            errors[output].append(photo_errors(draws, column, PHOTO_BUDGETS, _peer_runs(draws, column, peers)))
        stops += _stops(draws)
    return {output: np.stack(found) for output, found in errors.items()}, np.array(stops)


def _prepare(games, peers):
    """All scores, and all runs of other packages at once."""
    tasks = {peer: [task for game in games for task in _all_tasks(game, peer)] for peer in peers}
    for peer, of_peer in tasks.items():
        peers[peer].rows([job for _, _, job in of_peer])
    for game in games:
        drawn = peers[LIME].rows([job for _, _, job in _all_tasks(game, LIME)])
        rows = np.concatenate([*drawn, *(~rows for rows in drawn)])
        if STRATIFIED in peers:
            rows = np.concatenate([rows, *peers[STRATIFIED].rows([j for _, _, j in _all_tasks(game, STRATIFIED)])])
        game.scores(rows)
        for run in range(LIME_RUNS):  # smaller budgets draw the first of the same rows
            ours(game, 0, STOP_BUDGET, "foldover", seed=seed_of(game, run))
        game.save()
        print(f"{game.name} {game.model}: {game.n} superpixels", flush=True)
    for peer, of_peer in tasks.items():
        peers[peer].explained(of_peer)


def _all_tasks(game, peer):
    runs = {LIME: LIME_RUNS, STRATIFIED: STRATIFIED_RUNS if game.model == NETWORKS[0] else 0}[peer]
    return [t for budget in PHOTO_BUDGETS for o in range(len(OUTPUTS)) for t in peer_tasks(game, o, budget, runs)]


def _peer_runs(draws, output, peers):
    """{(estimator, budget): [(coefficients, rest)]} of the packages that run in processes of their own."""
    game, found = draws.game, {}
    for budget in PHOTO_BUDGETS:
        values = peers[LIME].explained(peer_tasks(game, output, budget, LIME_RUNS))
        found[LIME, budget] = [(v, draws.rest(run)) for run, v in enumerate(values)]
        if STRATIFIED in peers and game.model == NETWORKS[0]:
            values = peers[STRATIFIED].explained(peer_tasks(game, output, budget, STRATIFIED_RUNS))
            most = [job for _, _, job in peer_tasks(game, output, max(PHOTO_BUDGETS), STRATIFIED_RUNS)]
            rows = [drawn[1:] for drawn in peers[STRATIFIED].rows(most)]
            rest = [np.concatenate(rows[:run] + rows[run + 1 :]) for run in range(STRATIFIED_RUNS)]
            found[STRATIFIED, budget] = list(zip(values, rest, strict=True))
    return found


def _stops(draws):
    """(evaluations, largest error / abs(f(x) - f(baseline)), the same of 1,000 evaluations) of each run, logits."""
    game = draws.game
    ends = game.scores(np.stack([np.ones(game.n, bool), np.zeros(game.n, bool)]))[:, 0]
    rest = draws.everything()
    moments = DEFAULT.moments(game, 0, rest) * (1 / len(rest))
    for run in range(LIME_RUNS):
        row = []
        for tol in (TOL, None):
            found = ours(game, 0, STOP_BUDGET, "foldover", seed=seed_of(game, run), tol=tol)
            off = np.abs(found.values - DEFAULT.target(game, 0, found.n_evals, moments)).max()
            row += [found.n_evals, off / abs(ends[0] - ends[1])]
        yield row


def print_stops(stops):
    """What stopping early costs and saves."""
    evaluations, stopped, _, full = stops.T
    saved = 1 - evaluations.mean() / STOP_BUDGET
    within = [(error <= LIMIT).mean() for error in (stopped, full)]
    print(
        f"\ntol={TOL} against {STOP_BUDGET} evaluations, logits, {len(stops)} runs: {saved:.0%} of them saved; largest"
    )
    print(
        f"error at most {LIMIT} of abs(f(x) - f(baseline)) in {within[0]:.0%} of the runs, in {within[1]:.0%} with all"
    )


def print_published(peer):
    """Largest difference of `PublishedCode` from lime_stratified's coefficients, by position of the label."""
    games = [Synthetic(seed) for seed in range(3)]
    job = Job(games[0].n, 400, 7, top=3)
    (rows,) = peer.rows([job])
    scores = np.concatenate([game.scores(rows) for game in games], 1)
    (theirs,) = peer.coefficients([job], [scores])
    order = np.argsort(scores[0])[::-1]
    print("\nPublishedCode on the rows of lime_stratified, largest difference of coefficients:")
    for position, label in enumerate(order):
        weights = PublishedCode(len(order) - position).weigh(Cosine(), rows)
        values = Ridge(1.0).fit(Rows(rows, scores[:, [label]], weights, 1)).coefficients[:, 0]
        off = np.abs(values - theirs[:, label]).max()
        print(f"  label at position {position}: {off:.1e} {verdict(off <= 1e-9)}")


def main():
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photos", type=Path, nargs="*", help="folders of photos")
    parser.add_argument("--cache", type=Path, help="folder for scores, needed with photos")
    parser.add_argument("--most", type=int, default=20, help="take only the first photos")
    parser.add_argument("--lime-stratified", metavar="PYTHON", help="interpreter with lime_stratified installed")
    parser.add_argument("--compile", action="store_true", help="compile the networks: a minute more, then faster")
    parser.add_argument("--rounds", type=int, default=5, help="of timing")
    parser.add_argument("--only", choices=["synthetic", "cost", "photos"], help="one part instead of all")
    args = parser.parse_args()
    if args.photos and args.cache is None:
        parser.error("photos need --cache")
    torch.set_num_threads(1)
    peers = {LIME: Peer()}
    if args.lime_stratified:
        peers[STRATIFIED] = Peer(args.lime_stratified, stratified=True)
    if args.only in (None, "synthetic"):
        synthetic(peers)
    if args.only in (None, "cost"):
        print_costs(args.rounds, args.lime_stratified)
    if args.only in (None, "photos") and args.photos:
        on_photos(args, peers)


def on_photos(args, peers):
    """Tables of photos."""
    networks = [Network(name, compiled=args.compile) for name in NETWORKS]
    games = [game for net in networks for game in photos(args.photos, net, args.cache, args.most)]
    errors, stops = measured(games, peers)
    groups, models = (np.array([getattr(game, a) for game in games]) for a in ("name", "model"))
    for output in OUTPUTS:
        for chosen in [*(models == name for name in NETWORKS), models != ""]:
            names = " and ".join(sorted(set(models[chosen])))
            title = f"{len(set(groups))} photos, {SIDE} px, slic:{SEGMENTS}, {names}, {output}"
            of_output = (PHOTO_BUDGETS, MOST[output], STRETCH.get(output))
            print_errors(title, errors[output][chosen], groups[chosen], *of_output)
    print_stops(stops)


if __name__ == "__main__":
    main()
