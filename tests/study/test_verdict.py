"""Sentences by rule, on planted scores."""

import numpy as np

from xai_ext.study._score import Score
from xai_ext.study._verdict import verdict
from xai_ext.study.photo_agreement import PhotoAgreement


def score(name, values, host="captum", status="ok", **more):
    mean = {"srg": float(np.mean(values))} if values else {}
    error = {"srg": float(np.std(values, ddof=1) / len(values) ** 0.5)} if len(values) > 1 else {}
    return Score(name, host, "pixels", status, metrics=mean, std_errors=error, values={"srg": list(values)}, **more)


def agreement(names=(), matrix=(), floor=()):
    return PhotoAgreement(
        "spearman", tuple(names), np.array(matrix).reshape(len(names), len(names)), np.array(floor), ()
    )


SCORES = [
    score("best", [4.0]), score("near", [3.0, 4.6]), score("far", [2.0]), score("bad", [-1.0]),
    score("random_segments", [0.0, 1.0, 2.5], "reference"), score("center", [3.9], "reference"),
    score("broken", [], status="failed"), score("double", [2.0], same_as="far"),
]  # fmt: skip


def test_methods_above_all_random_draws():
    assert (
        "2 of 5 methods have a higher SRG than all 3 maps of random values per region (at most 2.50): best, near."
        in (verdict(SCORES, agreement()))
    )


def test_the_best_and_what_seed_noise_does_not_tell_from_it():
    # sd of (3, 4.6) is 1.13, its standard error .8: 4 - 3.8 < 2 * .8
    assert "best has the highest SRG, 4.00; within seed noise of it: near." in verdict(SCORES, agreement())
    alone = verdict([score("a", [4.0]), score("b", [3.9, 3.9])], agreement())
    assert "a has the highest SRG, 4.00; no other is within seed noise of it." in alone


def test_pairs_that_agree_less_than_their_seeds():
    found = agreement(["a", "b", "c"], [[1, 0.2, 0.9], [0.2, 1, 0.7], [0.9, 0.7, 1]], [0.8, 0.6, 1.0])
    said = verdict(SCORES, found)
    # a-b: .2 below both floors; b-c: .7 is above b's .6; a-c: .9 is above a's .8
    assert (
        "1 of 3 pairs of maps agree less than runs of either method with other seeds do: least b and a (0.20)." in said
    )


def test_statuses_doubles_and_references_that_win():
    said = verdict(SCORES, agreement())
    assert "Failed: broken." in said
    assert "double gives the map of far." in said
    assert "center, which knows nothing of the model, has a higher SRG than near, far, bad, double." in said
    assert "random_segments, which knows nothing of the model, has a higher SRG than bad." in said


def test_nothing_to_say():
    assert verdict([score("a", [], status="skipped")], agreement()) == ["Skipped: a."]
    assert verdict([], agreement()) == ["No method gave a map that could be scored."]
