"""What Owen values cost beside the model: CPU time of the engine with a free game, peak memory.

224 x 224 pixels as players, one output, one thread. The peers are SHAP's partition explainer, and shap_bpt where an
interpreter that has it is given; both walk the same tree as ours, and their maps are compared with ours.
"""

import argparse
import json
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np
import shap
import torch
from _peer_trees import as_hierarchy
from _timing import SIDE, printed_by

from xai_ext import Game, MaskedModel
from xai_ext.hierarchies import balanced
from xai_ext.methods.owen import owen

HERE = Path(__file__).parent
PIXELS = SIDE * SIDE
BUDGETS = (100, 500, 1000)


class FreeGame(MaskedModel):
    """A model that is one matrix product on masks, and the CPU time it took."""

    def __init__(self, weights):
        super().__init__(lambda x: x.flatten(1)[:, :1], torch.zeros(1, SIDE, SIDE), batch_size=64)
        self.weights, self.seconds = torch.from_numpy(weights), 0.0

    def evaluate(self, size, keep):
        """As MaskedModel does, without making images."""
        parts = [self.scored(keep(slice(at, min(at + 64, size)))[0]) for at in range(0, size, 64)]
        self.n_evals += size
        return np.concatenate(parts)

    def scored(self, masks):
        """The same function as `value`, timed."""
        start = time.process_time()
        a, b, c = (masks.reshape(len(masks), -1).expand(-1, PIXELS).double() @ self.weights).T
        scores = (torch.tanh(a) + b * c).numpy()[:, None]
        self.seconds += time.process_time() - start
        return scores


def ours(tree, weights, budget, labels):
    """(CPU seconds outside the model, map)."""
    model = FreeGame(weights)
    game = Game(model, labels)
    start = time.process_time()
    explanation = owen(game, tree, budget=budget)
    return time.process_time() - start - model.seconds, explanation.density_map().reshape(SIDE, SIDE)


class Pixels(shap.maskers.Masker):
    """SHAP's view of the game: the model sees the mask itself."""

    def __init__(self, clustering):
        self.clustering, self.shape = clustering, (1, PIXELS)

    def __call__(self, mask, x):
        """One row."""
        return (mask[None],)


def partition(tree, weights, budget):
    """(CPU seconds outside the model, map) of SHAP's partition explainer."""
    spent = [0.0]

    def model(masks):
        start = time.process_time()
        a, b, c = (masks.astype(np.float64) @ weights).T
        spent[0] += time.process_time() - start
        return np.tanh(a) + b * c

    start = time.process_time()
    explainer = shap.explainers.PartitionExplainer(model, Pixels(tree.merges))
    values = explainer(np.ones((1, PIXELS)), max_evals=budget, batch_size=64, silent=True).values[0]
    return time.process_time() - start - spent[0], values.reshape(SIDE, SIDE)


def shap_bpt(python, folder, image, weights):
    """({budget: CPU seconds}, its tree, {budget: map}) of one run in its own environment."""
    np.savez(folder / "given.npz", image=image, weights=weights)
    command = [python, HERE / "_shap_bpt_run.py", folder / "given.npz", folder / "written.npz", *map(str, BUDGETS)]
    cpu = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    written = np.load(folder / "written.npz")
    maps = {budget: written[f"map_{budget}"] for budget in BUDGETS}
    return {int(b): seconds for b, seconds in cpu.items()}, as_hierarchy(written), maps


def astronaut():
    """The photo of scikit-image at 224 pixels a side, uint8."""
    from skimage import data
    from skimage.transform import resize

    return np.rint(resize(data.astronaut(), (SIDE, SIDE), preserve_range=True, anti_aliasing=True)).astype(np.uint8)


def random_weights():
    """Of the free game, (pixels, 3); sums of order one."""
    return np.random.default_rng(0).normal(size=(PIXELS, 3)) / 30


def interleaved(rounds, python):
    """({name: {budget: least CPU seconds}}, {name: largest difference to ours relative to its largest value})."""
    image, weights, labels = astronaut(), random_weights(), np.arange(PIXELS).reshape(SIDE, SIDE)
    cpu, gaps = {}, {}
    tree = balanced(PIXELS)
    ours(tree, weights, 100, labels)  # numba's kernels are compiled once per machine
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(rounds):
            times, maps = {"shap partition": {}}, {"shap partition": {}}
            if python:
                times["shap_bpt"], tree, maps["shap_bpt"] = shap_bpt(python, Path(folder), image, weights)
            ours(tree, weights, 4, labels)  # parts of the tree are made once, with its first use
            for budget in BUDGETS:
                times["shap partition"][budget], maps["shap partition"][budget] = partition(tree, weights, budget)
                seconds, got = ours(tree, weights, budget, labels)
                times.setdefault("xai_ext", {})[budget] = seconds
                for name, theirs in maps.items():
                    gap = np.abs(theirs[budget] - got).max() / np.abs(got).max()
                    gaps[name] = max(gaps.get(name, 0.0), gap)
            for name, by_budget in times.items():
                known = cpu.setdefault(name, by_budget)
                cpu[name] = {b: min(seconds, known[b]) for b, seconds in by_budget.items()}
    return cpu, gaps


MEMORY = """
import numpy as np, torch
from _timing import peak_memory
from xai_ext import Game, MaskedModel
from xai_ext.hierarchies import balanced
from xai_ext.methods.owen import owen
torch.set_num_threads(1)
peak = lambda: peak_memory() / 2**20
"""
BY_BUDGET = """
model = MaskedModel(lambda x: x[:, 0, :2, 0].tanh(), torch.rand(1, 3, 224, 224), batch_size=16)
game = Game(model, np.arange(224 * 224).reshape(224, 224))
owen(game, balanced(224 * 224), budget=100)
first = peak()
owen(game, balanced(224 * 224), budget=1000)
print(first, peak())
"""
MANY_OUTPUTS = """
outputs, atoms = 1000, 2000
weights = torch.rand(atoms, outputs)
def game(n):
    model = MaskedModel(lambda x: (x @ weights).tanh()[:, :n], torch.rand(1, atoms), batch_size=16)
    return Game(model, np.arange(atoms))
owen(game(1), balanced(atoms), budget=100)
first = peak()
explanation = owen(game(outputs), balanced(atoms), budget=1000)
print(peak() - first, explanation.values.nbytes / 2**20)
"""


def peaks(script):
    """Two numbers of megabytes that a fresh process prints."""
    return tuple(map(float, printed_by("-c", MEMORY + script).split()))


def main():
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--shap-bpt", metavar="PYTHON", help="interpreter with shap_bpt installed")
    args = parser.parse_args()
    torch.set_num_threads(1)
    cpu, gaps = interleaved(args.rounds, args.shap_bpt)
    print(f"CPU seconds outside a free model and the tree, {SIDE} x {SIDE}, least of {args.rounds} interleaved rounds")
    print(f"{'evaluations':16}" + "".join(f"{b:>20}" for b in BUDGETS))
    for name, by_budget in cpu.items():
        cells = (f"{s:10.4f} ({s / cpu['xai_ext'][b]:5.1f} x)" for b, s in by_budget.items())
        print(f"{name:16}" + "".join(f"{cell:>20}" for cell in cells))
    for name, gap in gaps.items():
        print(f"largest difference of a pixel to {name} on the same tree, relative: {gap:.1e}")
    first, second = peaks(BY_BUDGET)
    print(f"\npeak memory: {first:.0f} MB after 100 evaluations, {second / first - 1:+.1%} after 1,000")
    grown, result = peaks(MANY_OUTPUTS)
    print(f"1,000 outputs, 2,000 players, 1,000 evaluations: +{grown:.0f} MB = {grown / result:.1f} x the result")


if __name__ == "__main__":
    main()
