"""KernelSHAP, against Shapley values by definition."""

import numpy as np
import pytest
import torch

from tests.games import bent, game_of, shapley, unanimity, unanimity_shapley, xor_and
from tests.laws import BudgetLaws, MethodLaws
from xai_ext.methods.lime import Linear, Ridge, lime
from xai_ext.samplers import Antithetic, Stratified

SAMPLERS = [Stratified("shapley"), Stratified(), Antithetic(), Stratified("shapley", pairs=True)]


class TestLaws(MethodLaws, BudgetLaws):
    def explain(self, game, rng=0):
        return lime(game, budget=64, weighting="kernelshap", rng=rng)

    def spend(self, game, budget):
        return lime(game, budget=budget, weighting="kernelshap", rng=0)


@pytest.mark.parametrize("sampler", [None, *SAMPLERS], ids=str)
@pytest.mark.parametrize("n", [1, 2, 3, 8])
def test_all_coalitions_give_shapley_values(n, sampler):
    explanation = lime(game_of(bent(n), n), sampler, budget=300, weighting="kernelshap")
    np.testing.assert_allclose(explanation.values, shapley(bent(n), n), atol=1e-9)
    assert explanation.estimand == "Shapley"
    assert explanation.diagnostics["complete"]
    assert not explanation.std_error.any()


@pytest.mark.filterwarnings("ignore:the weights leave")  # fair coins suit no Shapley value
@pytest.mark.parametrize("sampler", SAMPLERS, ids=str)
def test_values_are_complete_at_every_budget(sampler):
    value = bent(12)
    for budget in (*range(4, 40), 60, 99, 200):
        explanation = lime(game_of(value, 12), sampler, budget=budget, weighting="kernelshap", rng=budget)
        total = explanation.full_value - explanation.base_value
        assert abs(explanation.values.sum() - total) < 1e-12
        assert explanation.diagnostics["local_pred"][0] == pytest.approx(float(explanation.full_value), abs=1e-12)


def test_draws_approach_shapley_values_within_their_standard_errors():
    coefficients = {(0,): 1.0, (1, 2): -2.0, (3, 4, 5): 3.0, (0, 6): 0.5}
    truth = unanimity_shapley(coefficients, 15)
    runs = [
        lime(game_of(unanimity(coefficients), 15, batch_size=4096), budget=400, weighting="kernelshap", rng=seed)
        for seed in range(60)
    ]
    errors, std_error = (np.stack(a) for a in ([e.values - truth for e in runs], [e.std_error for e in runs]))
    assert np.abs(errors.mean(0) / (errors.std(0) / np.sqrt(60))).max() < 4
    # 60 runs know a standard deviation to 9 %, their median over 15 players to a few
    assert np.median(np.sqrt((std_error**2).mean(0)) / errors.std(0)) == pytest.approx(1, abs=0.15)


def test_it_serves_several_outputs():
    def both(z):
        return torch.stack([bent(12)(z), xor_and(z)], 1)

    together = lime(game_of(both, 12), budget=300, weighting="kernelshap", rng=1)
    for i, value in enumerate((bent(12), xor_and)):
        alone = lime(game_of(value, 12), budget=300, weighting="kernelshap", rng=1)
        np.testing.assert_array_equal(together.values[:, i], alone.values)


@pytest.mark.parametrize("surrogate", [Ridge(), Linear()], ids=str)
def test_another_surrogate_is_refused(surrogate):
    with pytest.raises(ValueError, match="has its own surrogate"):
        lime(game_of(xor_and, 5), weighting="kernelshap", surrogate=surrogate)
