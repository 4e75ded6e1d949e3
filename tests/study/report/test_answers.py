"""Sentences about planted studies."""

import numpy as np
import pytest

from tests.study.test_disagreement_report import noisy_study
from xai_ext.study.disagreement import Key, disagreement_report
from xai_ext.study.report._answers import answers


def said(report):
    return {question: " ".join(sentences) for question, sentences in answers(report)}


@pytest.fixture(scope="module")
def planted():
    return noisy_study(n_images=12)


def test_there_are_four_questions(planted):
    assert list(said(planted)) == [
        "Do the methods disagree?", "What changes an explanation most?", "On which images do they disagree?",
        "Which method should be chosen?",
    ]  # fmt: skip


def test_what_was_planted_is_said_with_its_interval(planted):
    first = said(planted)["Do the methods disagree?"]
    assert first.startswith("2 of 3 pairs of methods disagree beyond the noise of their own seeds")
    rows = planted.beyond_noise[(planted.beyond_noise.measure == "spearman")].set_index(["a", "b"])
    worst = rows.excess.idxmax()
    low, high = rows.low[worst], rows.high[worst]
    assert f"Furthest apart are {worst[0]} and {worst[1]}" in first
    assert f"({low:.2f} to {high:.2f})" in first.replace("\N{MINUS SIGN}", "-")
    changes = said(planted)["What changes an explanation most?"]
    assert changes.index("another method") < changes.index("another seed")


def test_without_scores_nothing_is_recommended(planted):
    assert said(planted)["Which method should be chosen?"] == "No score was given to choose by."


def test_one_image_is_described_without_intervals():
    maps = [{Key(m, seed=s): np.random.default_rng(s).normal(size=(8, 8)) for m in "AB" for s in (0, 1)}]
    first = said(disagreement_report(maps, metrics=["spearman"], n_permutations=9))["Do the methods disagree?"]
    assert first.startswith("One image gives no intervals")
    assert "(no interval)" in first


def test_a_reference_that_wins_is_named_as_one():
    rng = np.random.default_rng(0)
    maps = [{m: rng.normal(size=(8, 8)) for m in ("center", "rise")} for _ in range(12)]
    scores = [{"center": {"srg": 2 + rng.normal()}, "rise": {"srg": rng.normal() - 2}} for _ in range(12)]
    report = disagreement_report(maps, scores=scores, metrics=["spearman"], n_permutations=9)
    last = said(report)["Which method should be chosen?"]
    assert "no method is shown to beat center" in last
    assert "does not look at the model" in last
    assert "choose" not in last
