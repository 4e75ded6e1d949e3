"""How many evaluations does RISE need? Correlation with a long run, for each estimator and for other packages.

FOLDER holds images/ and index.csv with a column `id`. Each photo is scored once under 8 independent streams of 1,024
published masks and of 512 in nearly orthogonal pairs of complements; an estimator sees the first N of one stream, the
default of those in pairs, and its reference is the mean over the 7 other streams of published masks. A game on which 8
streams leave open whether the default at 512 masks is better than raw RISE at 1,024 (a difference of less than two
standard errors, whatever its sign, for either score) is scored under 32.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch and NumPy start their threads

import argparse
import json
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import torch
from _rise_games import BATCH, LENGTH, MODELS, MORE_STREAMS, SCORES, SIDE, Games, Network
from localisation import Interval, print_table

from xai_ext.methods._rise_estimators import ESTIMATORS, Moments
from xai_ext.methods._rise_surrogate import Regression

NUMBERS = (64, 128, 256, 512, 1024)
PEER_NUMBERS = (256, 1024)
PEER_RUNS = 8
PEERS = ("captum_rise", "xaitk_saliency")
RAW, RAW_NUMBER, DEFAULT = "rise", 1024, "surrogate"
MOST, MOST_MEDIAN = 512, 256
HERE = Path(__file__).parent


def correlation(a, b):
    """Pearson's."""
    return float(np.corrcoef(a.ravel(), b.ravel())[0, 1])


def estimates(game, stream, score):
    """{(estimator, N): map} of one stream."""
    law, found = game.law(), {}
    plain = {name: Moments(law, name) for name in ESTIMATORS if name != DEFAULT}
    for pairs, running in ((False, plain), (True, {DEFAULT: Regression(law, pairs=True)})):
        n = 0
        for block, scores in game.blocks(stream, pairs=pairs):
            n += len(scores)
            for name, estimator in running.items():
                estimator.add(block, scores[:, score : score + 1])
                if n in NUMBERS:
                    found[name, n] = estimator.estimate().values[:, 0]
    return found


def references(found):
    """(for each stream the mean of the others, correlation of two halves of the streams stepped up to all but one)."""
    long = np.stack([maps["centered", LENGTH] for maps in found])
    others = (long.sum(0) - long) / (len(long) - 1)
    half = len(long) // 2
    r = correlation(long[:half].mean(0), long[half:].mean(0))
    k = (len(long) - 1) / half  # Spearman and Brown
    return others, k * r / (1 + (k - 1) * r)


def curves(game, score):
    """{estimator: {N: mean r over the streams}}, the reliability of the reference, and the mean long run.

    Also by how much the default at `MOST` masks is better than raw RISE at `RAW_NUMBER`, with a standard error.
    """
    found = [estimates(game, stream, score) for stream in range(len(game.scores))]
    others, reliability = references(found)
    scale = {name: game.law().relative_variance if name == "beta" else 1.0 for name in ESTIMATORS}
    r = {
        (name, n): np.array([correlation(m[name, n], o / scale[name]) for m, o in zip(found, others, strict=True)])
        for name, n in found[0]
    }
    curve = {name: {n: float(r[name, n].mean()) for n in NUMBERS if (name, n) in r} for name in ESTIMATORS}
    two = r[DEFAULT, MOST], r[RAW, RAW_NUMBER]
    margin = two[0].mean() - two[1].mean(), np.sqrt(sum(v.var(ddof=1) / len(v) for v in two))
    return {"curves": curve, "reliability": reliability, "margin": [float(m) for m in margin]}, others.mean(0)


def measure(game, cache):
    """(curves of one photo and network for both scores, long run of the probability), computed once."""
    streams = len(game.scores)
    path = cache / f"{game.photo}.{game.model}.{streams}.curves.npz"
    if not path.exists():
        found = {name: curves(game, score) for score, name in enumerate(SCORES)}
        line = {name: curve for name, (curve, _) in found.items()}
        np.savez_compressed(path, line=json.dumps(line), reference=found["probability"][1])
    with np.load(path) as saved:
        line, reference = _with_numbers(json.loads(str(saved["line"]))), saved["reference"]
    mean = float(game.scores[..., 0].mean() / game.ends[1, 0])
    return {"photo": game.photo, "model": game.model, "mean": mean, "streams": streams, **line}, reference


def undecided(line):
    """Whether the difference that matters is less than two standard errors, for either score."""
    return any(abs(of_score["margin"][0]) < 2 * of_score["margin"][1] for of_score in (line[s] for s in SCORES))


def _with_numbers(line):
    """JSON's keys are strings."""
    for of_score in line.values():
        of_score["curves"] = {e: {int(n): r for n, r in c.items()} for e, c in of_score["curves"].items()}
    return line


def scripted(model, path):
    """The network as a file that other environments can run."""
    module = Network(model).module
    with torch.no_grad():
        traced = torch.jit.trace(module, torch.zeros(BATCH, 3, SIDE, SIDE))
    torch.jit.freeze(traced).save(str(path))


def peer_maps(python, package, model, of_model, counts):
    """Maps (photos, numbers, SIDE * SIDE), by the interpreter of the package's environment."""
    with tempfile.TemporaryDirectory() as folder:
        network, images, out = (Path(folder) / name for name in ("network.pt", "images.npz", "out.npz"))
        scripted(model, network)
        np.savez(images, images=torch.cat([g.x for g in of_model]).numpy(), targets=[g.target for g in of_model])
        numbers = ",".join(map(str, counts))
        command = [python, str(HERE / "_rise_peer.py"), package, network, images, out, "--numbers", numbers]
        subprocess.run([str(c) for c in command], check=True, capture_output=True)
        with np.load(out) as found:
            return found["maps"].reshape(len(of_model), len(counts), -1)


def add_peers(lines, all_games, long_runs, args):
    """Curves of other packages; one run per number of masks, more at `RAW_NUMBER` on games that were undecided."""
    given = [p for p in PEERS if getattr(args, p)]
    for package, model in ((p, m) for p in given for m in args.peer_networks):
        mine = [i for i, g in enumerate(all_games) if g.model == model]
        runs = _peer_runs(package, model, [all_games[i] for i in mine], args)
        for i, maps in zip(mine, runs, strict=True):
            r = {n: correlation(m, long_runs[i]) for n, m in zip(PEER_NUMBERS, maps, strict=True)}
            if lines[i]["streams"] == MORE_STREAMS:
                more = _peer_runs(package, model, [all_games[i]] * PEER_RUNS, args, all_games[i].photo + ".")
                r[RAW_NUMBER] = float(np.mean([correlation(m[-1], long_runs[i]) for m in more]))
            lines[i]["probability"]["curves"][package] = r


def _peer_runs(package, model, of_games, args, photo=""):
    """Maps (games, numbers, SIDE * SIDE), the same game with another seed each time; of one photo the last number."""
    path = args.cache / f"{package}.{model}.{photo}{len(of_games)}.npy"
    if not path.exists():
        numbers = PEER_NUMBERS[-1:] if photo else PEER_NUMBERS
        np.save(path, peer_maps(getattr(args, package), package, model, of_games, numbers))
    return np.load(path)


def needed(curve, level):
    """The smallest N at which a curve reaches a level, between the measured ones linear in log N."""
    numbers, r = list(curve), list(curve.values())
    for i, n in enumerate(numbers):
        if r[i] >= level:
            if i == 0:
                return float(n)
            share = (level - r[i - 1]) / (r[i] - r[i - 1])
            return float(np.exp(np.log(numbers[i - 1]) + share * np.log(n / numbers[i - 1])))
    return np.inf


def print_curves(lines, score):
    """Mean correlation against N."""
    rows = []
    for name in (*ESTIMATORS, *PEERS):
        of_name = [line[score]["curves"][name] for line in lines if name in line[score]["curves"]]
        if of_name:
            cells = [str(Interval.of([c[n] for c in of_name])) if n in of_name[0] else "" for n in NUMBERS]
            rows.append([name, *cells, str(len(of_name))])
    print_table(["estimator", *map(str, NUMBERS), "games"], rows)


def print_needed(lines, score):
    """Masks at which the default reaches raw RISE at `RAW_NUMBER`, per photo and network."""
    raw = [name for name in (RAW, *PEERS) if any(name in line[score]["curves"] for line in lines)]
    print(f"Masks at which `{DEFAULT}` reaches the correlation of {', '.join(raw)} at {RAW_NUMBER}:\n")
    found = {name: np.array([_needed(line[score]["curves"], name) for line in lines]) for name in raw}
    rows = [
        [line["photo"], line["model"], str(line["streams"]), f"{line['mean']:.3f}", f"{line[score]['reliability']:.3f}",
         *("" if np.isnan(found[name][i]) else f"{found[name][i]:.0f}" for name in raw)]
        for i, line in enumerate(lines)
    ]  # fmt: skip
    print_table(["photo", "network", "streams", "mean f / f(x)", "reliability", *raw], rows)
    for name in raw:
        n = found[name][~np.isnan(found[name])]
        worst, median = n.max(), np.median(n)
        print(f"- {name}, {len(n)} games: most {worst:.0f} (at most {MOST}) {verdict(worst <= MOST)}, "
              f"median {median:.0f} (at most {MOST_MEDIAN}) {verdict(median <= MOST_MEDIAN)}")  # fmt: skip
    print()


def _needed(of_line, raw):
    return needed(of_line[DEFAULT], of_line[raw][RAW_NUMBER]) if raw in of_line else np.nan


def verdict(within):
    """As the tables print it."""
    return "ok" if within else "MISSED"


def report(lines):
    """Print everything."""
    for score in SCORES:
        for model in MODELS:
            of_model = [line for line in lines if line["model"] == model]
            print(f"### {score}, EfficientNet-{model.capitalize()}, {len(of_model)} photos\n")
            print_curves(of_model, score)
        print(f"### {score}, both networks\n")
        print_curves(lines, score)
        print_needed(lines, score)


def results(args):
    """One line per photo and network."""
    games, found = Games(args.folder, args.cache, compiled=args.compile), []
    for game in games.all(args.limit):
        line, long_run = measure(game, args.cache)
        if undecided(line):
            game = games.one(game.photo, game.model, MORE_STREAMS)
            line, long_run = measure(game, args.cache)
        found.append((game, line, long_run))
    all_games, lines, long_runs = zip(*found, strict=True)
    add_peers(lines, all_games, long_runs, args)
    return lines


def main():
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--limit", type=int, default=10, help="photos")
    parser.add_argument("--cache", type=Path, required=True, help="folder for scores and curves")
    parser.add_argument("--compile", action="store_true", help="twice as fast after a minute")
    parser.add_argument("--captum-rise", metavar="PYTHON", help="interpreter with captum-rise installed")
    parser.add_argument("--xaitk-saliency", metavar="PYTHON", help="interpreter with xaitk-saliency installed")
    parser.add_argument("--peer-networks", nargs="+", choices=MODELS, default=MODELS)
    args = parser.parse_args()
    torch.set_num_threads(1)
    report(results(args))


if __name__ == "__main__":
    main()
