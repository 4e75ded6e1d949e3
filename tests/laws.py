"""Laws that every piece of a kind obeys; the test of a piece inherits the laws of its kind."""

import random

import numpy as np
import pytest
import torch
from scipy.stats import chisquare

from tests.games import additive, game_of, xor_and
from xai_ext import Explanation, Game, MaskedModel


class GeneratorsUntouched:
    """``with GeneratorsUntouched():`` fails if a global generator moved."""

    def __enter__(self):
        self.before = self.states()

    def __exit__(self, *_):
        assert self.states() == self.before, "a global random generator moved"

    @staticmethod
    def states():
        return torch.get_rng_state().tolist(), np.random.get_state()[1].tolist(), random.getstate()


class SamplerLaws:
    """Set `make`, the class."""

    make = None

    def sampler(self):
        return type(self).make()

    @pytest.mark.parametrize(("n", "size"), [(1, 4), (2, 7), (5, 60), (1500, 10)])
    def test_coalitions_are_bool_rows(self, n, size):
        coalitions = self.sampler().ask(n, size, np.random.default_rng(0))
        assert coalitions.shape == (size, n)
        assert coalitions.dtype == bool

    def test_the_same_generator_gives_the_same_coalitions_and_no_other_moves(self):
        with GeneratorsUntouched():
            first, second = (self.sampler().ask(9, 31, np.random.default_rng(4)) for _ in range(2))
        np.testing.assert_array_equal(first, second)
        assert (self.sampler().ask(9, 31, np.random.default_rng(5)) != first).any()

    @pytest.mark.parametrize("n", [1, 2, 5, 12])
    def test_sizes_follow_the_law(self, n):
        law = np.exp(self.sampler().log_law(n))
        assert law.shape == (n + 1,)
        assert law.sum() == pytest.approx(1, abs=1e-12)
        rows = 20_000
        sizes = self.sampler().ask(n, rows, np.random.default_rng(2)).sum(1)
        counts = np.bincount(sizes, minlength=n + 1)
        assert not counts[law == 0].any()
        kept = law > 0
        if kept.sum() == 1:  # nothing to test: all rows have that size
            return
        assert chisquare(counts[kept], rows * law[kept]).pvalue > 1e-4

    def test_players_are_exchangeable(self):
        kept = self.sampler().ask(4, 20_000, np.random.default_rng(3)).mean(0)
        np.testing.assert_allclose(kept, kept.mean(), atol=0.02)  # 4 sigma of a mean of 20,000 is 0.014

    def test_the_law_of_1500_players_is_finite_where_it_is_not_zero(self):
        law = self.sampler().log_law(1500)
        assert not np.isnan(law).any()
        assert (law < np.inf).all()


class StreamLaws:
    """For samplers whose rows do not depend on how many are asked for at once."""

    def test_asking_twice_continues_the_stream(self):
        whole = self.sampler().ask(6, 20, np.random.default_rng(1))
        rng = np.random.default_rng(1)
        np.testing.assert_array_equal(np.concatenate([self.sampler().ask(6, k, rng) for k in (8, 12)]), whole)


class MethodLaws:
    """Override `explain(game, rng) -> Explanation` with settings under which the laws hold exactly."""

    atol = 1e-9

    def explain(self, game, rng=0):
        raise NotImplementedError

    def test_an_additive_game_gives_its_weights(self):
        weights = np.array([3.0, -1.0, 0.5, 0.0, 2.0])
        explanation = self.explain(game_of(additive(weights, constant=7.0), 5))
        np.testing.assert_allclose(explanation.values, weights, atol=self.atol)

    def test_a_dummy_player_gets_nothing(self):
        explanation = self.explain(game_of(xor_and, 6))
        np.testing.assert_allclose(explanation.values[4:], 0, atol=self.atol)

    def test_symmetric_players_get_the_same(self):
        values = self.explain(game_of(xor_and, 5)).values
        np.testing.assert_allclose([values[0], values[2]], [values[1], values[3]], atol=self.atol)

    def test_values_are_linear_in_the_game(self):
        together = self.explain(game_of(lambda z: 2 * xor_and(z) + additive([1.0, 2, 3, 4, 5])(z), 5)).values
        apart = (
            2 * self.explain(game_of(xor_and, 5)).values + self.explain(game_of(additive([1, 2, 3, 4, 5.0]), 5)).values
        )
        np.testing.assert_allclose(together, apart, atol=self.atol)

    def test_several_outputs_give_what_each_gives_alone(self):
        both = self.explain(game_of(lambda z: torch.stack([xor_and(z), z.sum(1) ** 2], 1), 5)).values
        assert both.shape == (5, 2)
        np.testing.assert_allclose(both[:, 0], self.explain(game_of(xor_and, 5)).values, atol=self.atol)
        np.testing.assert_allclose(both[:, 1], self.explain(game_of(lambda z: z.sum(1) ** 2, 5)).values, atol=self.atol)

    def test_a_constant_game_gives_zeros(self):
        explanation = self.explain(game_of(lambda z: torch.full((len(z),), 3.0), 4))
        np.testing.assert_allclose(explanation.values, 0, atol=self.atol)

    def test_one_player_is_explained(self):
        explanation = self.explain(game_of(additive([4.0]), 1))
        assert explanation.values.shape == (1,)

    def test_the_explanation_is_complete_in_form(self):
        game = game_of(xor_and, 5)
        with GeneratorsUntouched():
            explanation = self.explain(game)
        assert isinstance(explanation, Explanation)
        assert explanation.std_error.shape == explanation.values.shape == (5,)
        assert (explanation.std_error >= 0).all()
        assert explanation.full_value == game.full_value[0]
        assert explanation.base_value == game.base_value[0]
        assert explanation.n_evals == game.n_evals

    def test_the_same_generator_gives_the_same_bits_at_any_batch_size(self):
        results = [self.explain(game_of(xor_and, 12, batch_size=b), rng=3) for b in (1, 7, None)]
        for other in results[1:]:
            np.testing.assert_array_equal(other.values, results[0].values)
            np.testing.assert_array_equal(other.std_error, results[0].std_error)


class BudgetLaws:
    """Set `spend(game, budget)`: a method with a budget of evaluations."""

    least = 4

    def spend(self, game, budget):
        raise NotImplementedError

    @pytest.mark.parametrize("budget", [*range(4, 24), 50, 51])
    @pytest.mark.parametrize("n", [1, 3, 9])
    def test_the_budget_is_never_exceeded(self, n, budget):
        rows = []

        def spy(z):
            rows.append(len(z))
            return z.sum(1)

        explanation = self.spend(game_of(spy, n, batch_size=4), budget)
        assert sum(rows) <= budget
        assert explanation.n_evals == sum(rows)

    def test_a_budget_too_small_is_an_error_that_says_why(self):
        with pytest.raises(ValueError, match="budget must be at least 4"):
            self.spend(game_of(xor_and, 5), 3)


class MaskedModelLaws:
    """Set `shapes`, the shape of each input (without the batch dimension), and `dtype`."""

    shapes = ((3, 5, 4),)
    dtype = torch.float32

    def tensors(self, seed=0):
        generator = torch.Generator().manual_seed(seed)
        made = (torch.randn(1, *s, generator=generator) * 4 for s in self.shapes)
        return tuple(x.to(self.dtype) for x in made)

    def model(self, forward=None, **kwargs):
        inputs, baselines = self.tensors(0), self.tensors(1)
        forward = forward or (lambda *x: sum(i.double().flatten(1).sin().sum(1) for i in x))
        return MaskedModel(forward, inputs, baselines, **kwargs)

    def masks(self, k):
        generator = torch.Generator().manual_seed(2)
        return tuple(torch.rand(k, *s, generator=generator) < 0.5 for s in self.shapes)

    def test_a_mask_exchanges_elements_bit_by_bit(self):
        seen = []

        def forward(*images):
            seen.append([i.clone() for i in images])
            return torch.zeros(len(images[0]))

        masks = self.masks(3)
        self.model(forward, batch_size=3)(masks)
        for image, mask, x, b in zip(seen[-1], masks, self.tensors(0), self.tensors(1), strict=True):
            assert torch.equal(image, torch.where(mask, x, b))

    def test_full_and_base_value_are_the_scores_of_input_and_baseline(self):
        model = self.model()
        for value, tensors in ((model.full_value, self.tensors(0)), (model.base_value, self.tensors(1))):
            np.testing.assert_allclose(value, [float(model.forward(*tensors))], rtol=1e-12)

    def test_every_row_is_counted_once(self):
        model = self.model(batch_size=4)
        model(self.masks(10))
        assert model.n_evals == 10
        assert model.full_value is model.full_value
        assert model.n_evals == 11

    def test_the_batch_size_changes_nothing(self):
        scores = [self.model(batch_size=b)(self.masks(9)) for b in (1, 4, 9, None)]
        for other in scores[1:]:
            np.testing.assert_array_equal(other, scores[0])

    def test_nothing_of_the_users_is_touched(self):
        inputs = self.tensors(0)
        versions, copies = [x._version for x in inputs], [x.clone() for x in inputs]
        with GeneratorsUntouched():
            model = MaskedModel(lambda *x: x[0].flatten(1).float().sum(1), inputs, 0)
            model(self.masks(5))
        assert versions == [x._version for x in inputs]
        assert all(torch.equal(a, b) for a, b in zip(inputs, copies, strict=True))

    def test_the_model_runs_without_a_graph(self):
        enabled = []

        def forward(*images):
            enabled.append(torch.is_grad_enabled())
            return torch.zeros(len(images[0]))

        model = self.model(forward, batch_size=2)
        Game(model, tuple(torch.zeros(s, dtype=torch.int64) for s in self.shapes))(np.ones((2, 1), bool))
        assert model.full_value == model.base_value
        assert not any(enabled)

    def test_a_player_of_a_game_takes_all_its_elements_along(self):
        inputs = self.tensors(0)
        total = sum(x[0].numel() for x in inputs)
        labels, start = [], 0
        for x in inputs:
            labels.append((torch.arange(x[0].numel()).reshape(x[0].shape) + start) % min(4, total))
            start += x[0].numel()
        game = Game(self.model(), tuple(labels))
        coalitions = np.random.default_rng(0).random((6, game.n_players)) < 0.5
        masks = tuple(torch.from_numpy(coalitions)[:, a] for a in labels)
        np.testing.assert_allclose(game(coalitions), self.model()(masks), rtol=1e-12)
