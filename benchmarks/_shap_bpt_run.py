"""One run of shap_bpt with a free model, by the interpreter of its own environment.

Prints {budget: CPU seconds outside the model}; writes its tree and its maps, so that ours can run on the same tree.
"""

import argparse
import json
import time

import numpy as np
from shap_bpt.shap_bpt import Explainer, build_bpt_from_image


class FreeGame:
    """The model of `owen_engine.py`, and the CPU time it took."""

    def __init__(self, weights):
        self.weights, self.seconds = weights, 0.0

    def __call__(self, masks):
        start = time.process_time()
        a, b, c = (masks.reshape(len(masks), -1).astype(np.float64) @ self.weights).T
        self.seconds += time.process_time() - start
        return (np.tanh(a) + b * c)[:, None]


def main():
    """Explain the image of the given file at each budget."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("given", help="npz with image and weights")
    parser.add_argument("written", help="npz for tree and maps")
    parser.add_argument("budgets", type=int, nargs="+")
    args = parser.parse_args()
    given = np.load(args.given)
    tree = build_bpt_from_image(given["image"])
    maps, cpu = {}, {}
    for budget in args.budgets:
        game = FreeGame(given["weights"])
        start = time.process_time()
        explained = Explainer(game, given["image"], 1).explain_instance(budget - 2, bpt=tree, batch_size=64)
        cpu[budget] = time.process_time() - start - game.seconds
        maps[f"map_{budget}"] = explained[0]
    arrays = {name: np.array(getattr(tree, name)) for name in ("pixels", "leaf_idx", "cl_start", "cl_end")}
    children = np.stack([tree.cl_left, tree.cl_right], 1)
    np.savez(args.written, children=children, **arrays, **maps)
    print(json.dumps(cpu))


if __name__ == "__main__":
    main()
