"""lime's image explainer on games that are images of one row; run by the interpreter whose `lime` is measured.

Reads jobs from one .npz file and writes another. A job without scores gets the coalitions that would be drawn, one
with scores the coefficients fitted to them. With lime_stratified installed, `--stratified` uses its sampling.
"""

import argparse
import contextlib
import io

import numpy as np
from lime.lime_image import LimeImageExplainer


def explain(n, budget, seed, scores, top, stratified):
    """(coalitions (budget, n), coefficients (n, outputs)); with `top`, that many labels, most probable first."""
    rows = []

    def known(images):
        rows.extend(images[:, 0, :, 0] > 0.5)
        return scores[len(rows) - len(images) : len(rows)]

    more = {"use_stratification": True} if stratified else {}
    with contextlib.redirect_stderr(io.StringIO()):
        found = LimeImageExplainer(random_state=np.random.RandomState(seed)).explain_instance(
            np.ones((1, n, 3)), known, labels=tuple(range(scores.shape[1])), hide_color=0.0, top_labels=top or None,
            num_samples=budget, segmentation_fn=lambda _: np.arange(n)[None], **more,
        )  # fmt: skip
    coefficients = np.zeros((n, scores.shape[1]))
    for label, pairs in found.local_exp.items():
        for player, value in pairs:
            coefficients[player, label] = value
    return np.array(rows), coefficients


def main():
    """Do all jobs of a file: n, budget, seed, top (jobs,), and i-th scores where there are any."""
    parser = argparse.ArgumentParser()
    parser.add_argument("jobs")
    parser.add_argument("results")
    parser.add_argument("--stratified", action="store_true")
    args = parser.parse_args()
    results = {}
    with np.load(args.jobs) as jobs:
        for i, (n, budget, seed, top) in enumerate(jobs["settings"]):
            known = f"scores{i}" in jobs.files
            scores = jobs[f"scores{i}"] if known else np.zeros((budget, 1))
            rows, coefficients = explain(n, budget, seed, scores, top, args.stratified)
            results[str(i)] = coefficients if known else rows
    np.savez_compressed(args.results, **results)


if __name__ == "__main__":
    main()
