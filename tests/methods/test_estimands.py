"""Every law and weighting estimates what it says, with standard errors that are the spread of runs."""

import numpy as np
import pytest
import torch

from tests.games import additive, all_coalitions, bent, game_of, shapley
from xai_ext.methods import _standard_error
from xai_ext.methods.lime import Cosine, Linear, PublishedCode, lime
from xai_ext.samplers import Antithetic, Bernoulli, Foldover, Stratified

LAWS = [
    Bernoulli(),
    Bernoulli(0.6),
    Antithetic(),
    Foldover(),
    Stratified(),
    Stratified(pairs=True),
    Stratified(allocation="iid"),
    Stratified("binomial"),
    Stratified("shapley"),
    Stratified("shapley", pairs=True, allocation="iid"),
    Stratified("kernel", kernel=Cosine()),
]


@pytest.mark.parametrize("weighting", ["kernel", "importance", "none", "kernelshap", PublishedCode()], ids=str)
@pytest.mark.parametrize("sampler", LAWS, ids=str)
@pytest.mark.filterwarnings("ignore:the weights leave")
def test_an_additive_game_is_exact_under_every_law_and_weighting(sampler, weighting):
    players = np.linspace(-2, 2, 10)
    surrogate = None if weighting == "kernelshap" else Linear()
    game = game_of(additive(players, constant=3.0), 10)
    explanation = lime(game, sampler, budget=400, weighting=weighting, surrogate=surrogate, rng=0)
    np.testing.assert_allclose(explanation.values, players, atol=1e-9)
    assert explanation.std_error.max() < 1e-9


class TestMeans:
    n, runs, budget = 12, 200, 2002

    def deviation(self, sampler, weighting, truth, surrogate):
        """Largest deviation of the mean of all runs from the truth, in standard errors of that mean."""
        value = bent(self.n)
        values = np.stack([
            lime(game_of(value, self.n, batch_size=4096), sampler, budget=self.budget, weighting=weighting,
                 surrogate=surrogate, rng=seed).values
            for seed in range(self.runs)
        ])  # fmt: skip
        return (np.abs(values.mean(0) - truth) / (values.std(0) / np.sqrt(self.runs))).max()

    def limes(self):
        coalitions = all_coalitions(self.n)
        y = bent(self.n)(torch.from_numpy(coalitions.astype(float))).numpy()
        design = np.column_stack([np.ones(len(y)), coalitions])
        multiplicity = np.full(len(y), (self.budget - 2) / len(y))
        multiplicity[[0, -1]] += 1  # f(baseline) and f(x) are rows of every run
        root = np.sqrt(multiplicity * Cosine()(coalitions))[:, None]
        return np.linalg.lstsq(root * design, root[:, 0] * y, rcond=None)[0][1:]

    @pytest.mark.slow
    @pytest.mark.parametrize("sampler", LAWS, ids=str)
    def test_importance_estimates_lime_under_every_law(self, sampler):
        assert self.deviation(sampler, "importance", self.limes(), Linear()) < 4

    @pytest.mark.slow
    @pytest.mark.parametrize("sampler", [Stratified(), Stratified("shapley")], ids=str)
    def test_the_plain_kernel_does_not(self, sampler):
        assert self.deviation(sampler, "kernel", self.limes(), Linear()) > 10

    @pytest.mark.slow
    def test_glime_without_weights_estimates_lime(self):
        sampler = Stratified("kernel", kernel=Cosine())
        assert self.deviation(sampler, "none", self.limes(), Linear()) < 4
        assert lime(game_of(bent(5), 5), sampler, weighting="none").estimand == "LIME"

    @pytest.mark.slow
    @pytest.mark.parametrize(
        "sampler", [Stratified("shapley"), Stratified(), Stratified("shapley", pairs=True)], ids=str
    )
    def test_kernelshap_estimates_shapley_values(self, sampler):
        assert self.deviation(sampler, "kernelshap", shapley(bent(self.n), self.n), None) < 4


@pytest.mark.slow
class TestStandardErrors:
    n, runs = 15, 200
    cells = (
        (Bernoulli(), "kernel"),
        (Antithetic(), "kernel"),
        (Foldover(), "kernel"),
        (Stratified(), "kernel"),
        (Stratified(), "importance"),
        (Stratified(pairs=True), "kernel"),
        (Stratified("shapley"), "kernelshap"),
        (Stratified("shapley", pairs=True), "kernelshap"),
    )

    def ratio(self, sampler, weighting, per_player):
        made = [
            lime(game_of(bent(self.n), self.n, batch_size=4096), sampler, budget=2 + per_player * self.n,
                 weighting=weighting, rng=seed)
            for seed in range(self.runs)
        ]  # fmt: skip
        return np.median(np.mean([e.std_error for e in made], 0) / np.std([e.values for e in made], 0))

    @pytest.mark.parametrize(("sampler", "weighting"), cells, ids=str)
    def test_they_are_the_spread_of_runs(self, sampler, weighting):
        # 200 runs know a standard deviation to 5 %, the median over 15 players to about 2
        assert 0.90 <= self.ratio(sampler, weighting, 10) <= 1.10
        assert 0.80 <= self.ratio(sampler, weighting, 4) <= 1.25

    def test_without_the_small_sample_correction_they_would_be_too_small(self, monkeypatch):
        monkeypatch.setattr(_standard_error, "_LEAST", 1.0)
        assert self.ratio(Antithetic(), "kernel", 4) < 0.80
