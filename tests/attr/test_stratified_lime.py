"""StratifiedLime as a Captum class."""

import types
import warnings

import numpy as np
import pytest
import torch
from captum._utils.models.linear_model import SkLearnLasso, SkLearnLinearRegression
from captum.attr import Lime, LLMAttribution, TextTokenInput
from captum.attr._core.lime import get_exp_kernel_similarity_function
from captum.testing.helpers.basic_models import BasicModel_MultiLayer
from sklearn.linear_model import LinearRegression
from torch import nn

from tests.attr.conformance import CaptumConformance, X
from xai_ext.attr import StratifiedLime
from xai_ext.methods.lime import Lasso, Ridge, Select
from xai_ext.samplers import Bernoulli, Stratified


class TestConformance(CaptumConformance):
    make = StratifiedLime
    name = "Stratified LIME"


class TestAsALime:
    def test_it_is_a_captum_lime(self):
        assert isinstance(StratifiedLime(BasicModel_MultiLayer()), Lime)

    def test_captums_expected_coefficients_are_reproduced(self):
        method = StratifiedLime(
            BasicModel_MultiLayer(),
            interpretable_model=SkLearnLasso(alpha=1.0),
            similarity_func=get_exp_kernel_similarity_function("cosine", 10.0),
            sampler="mc",
        )
        got = method.attribute(X, target=0, n_samples=500, perturbations_per_eval=None, seed=0)
        # Captum's own expectation; its spread over seeds is 0.3
        torch.testing.assert_close(got, torch.tensor([[73.4, 193.3, 113.3]]), rtol=0, atol=1.0)

    def test_the_pixel_cosine_kernel_is_captums_similarity_function(self):
        kwargs = {"interpretable_model": SkLearnLinearRegression(), "sampler": "mc"}
        x, mask = torch.rand(1, 3, 8, 8), torch.arange(64).reshape(8, 8) // 4
        model = nn.Sequential(nn.Flatten(), nn.Linear(192, 1), nn.Sigmoid(), nn.Flatten(0)).eval()
        ours = StratifiedLime(model, kernel="pixel_cosine", kernel_width=1.0, **kwargs)
        captums = StratifiedLime(model, similarity_func=get_exp_kernel_similarity_function(), **kwargs)
        results = [m.attribute(x, feature_mask=mask, n_samples=100, seed=3) for m in (ours, captums)]
        torch.testing.assert_close(results[0], results[1], rtol=1e-4, atol=1e-5)

    @pytest.mark.parametrize("kind", ["function", "generator"])
    def test_a_perturb_func_makes_the_call_captums_own(self, kind):
        rows = torch.rand(50, 1, 3).round().long()

        def generator(original, **kwargs):
            yield from rows

        def function(original, **kwargs):
            assert kwargs["num_interp_features"] == 3
            return torch.bernoulli(torch.full((1, 3), 0.5)).long()

        perturb = generator if kind == "generator" else function
        results = []
        for cls in (Lime, StratifiedLime):
            torch.manual_seed(0)
            method = cls(BasicModel_MultiLayer(), SkLearnLinearRegression(), perturb_func=perturb)
            results.append(method.attribute(X, target=0, n_samples=50, perturbations_per_eval=5))
        torch.testing.assert_close(results[1], results[0], rtol=0, atol=1e-4)

    def test_a_seed_reproduces_a_perturb_func_and_tol_and_explain_are_refused_with_it(self):
        def perturb(original, **kwargs):
            return torch.bernoulli(torch.full((1, 3), 0.5)).long()

        method = StratifiedLime(BasicModel_MultiLayer(), SkLearnLinearRegression(), perturb_func=perturb)
        state = torch.get_rng_state()
        first, second = (method.attribute(X, target=0, n_samples=30, seed=4) for _ in range(2))
        assert torch.equal(first, second)
        assert torch.equal(torch.get_rng_state(), state)
        with pytest.raises(ValueError, match="tol needs this class's own sampling"):
            method.attribute(X, target=0, tol=0.1)
        with pytest.raises(ValueError, match=r"explain\(\) needs this class's own sampling"):
            method.explain(X, target=0)

    def test_a_similarity_func_is_called_as_captum_calls_it(self):
        seen = []

        def similarity(original, perturbed, interpretable, **kwargs):
            seen.append((original, perturbed, interpretable, kwargs))
            return torch.ones(1)

        mask = torch.tensor([[0, 3, 3]])
        StratifiedLime(BasicModel_MultiLayer(), similarity_func=similarity).attribute(
            X, baselines=1.0, target=0, feature_mask=mask, n_samples=10, seed=0
        )
        for original, perturbed, interpretable, kwargs in seen:
            assert torch.equal(original, X)
            assert interpretable.shape == (1, 4)
            assert kwargs["num_interp_features"] == 4
            keep = interpretable[0][mask].bool()
            assert torch.equal(perturbed, torch.where(keep, X, torch.ones(1)))

    def test_the_users_interpretable_model_holds_the_last_fit(self):
        model = SkLearnLinearRegression()
        got = StratifiedLime(BasicModel_MultiLayer(), model, sampler=Bernoulli()).attribute(
            torch.rand(1, 3) * 10, target=0, n_samples=6, seed=0
        )
        torch.testing.assert_close(model.representation().reshape(1, 3), got)

    def test_other_interpretable_models_are_a_type_error(self):
        with pytest.raises(TypeError, match="interpretable_model must be a Captum Model"):
            StratifiedLime(BasicModel_MultiLayer(), interpretable_model="ridge")

    def test_llm_attribution_accepts_it(self):
        class Tokenizer:
            vocabulary = ("<unk>", "a", "b", "c", "d", "e")

            def encode(self, text, **kwargs):
                ids = [self.vocabulary.index(t) for t in text.split()]
                return torch.tensor([ids]) if kwargs.get("return_tensors") else ids

            def decode(self, ids, **kwargs):
                return " ".join(self.vocabulary[int(i)] for i in ids)

            def convert_ids_to_tokens(self, ids):
                return [self.vocabulary[int(i)] for i in ids]

            def __call__(self, text, **kwargs):
                spans, start = [], 0
                for token in text.split():
                    spans.append((start, start + len(token)))
                    start += len(token) + 1
                return {"input_ids": self.encode(text), "offset_mapping": spans}

        class Model(nn.Module):
            device = torch.device("cpu")

            def __init__(self):
                super().__init__()
                self.embedding = nn.Embedding(6, 6)

            def forward(self, input_ids, **kwargs):
                assert len(input_ids) == 1, "a language model of this kind takes one row"
                return types.SimpleNamespace(logits=self.embedding(input_ids).cumsum(1))

        tokenizer = Tokenizer()
        method = LLMAttribution(StratifiedLime(Model().eval()), tokenizer)
        result = method.attribute(
            TextTokenInput("a b c", tokenizer), target="d e", forward_in_tokens=False, n_samples=8
        )
        assert result.seq_attr.shape == (3,)
        assert result.seq_attr.isfinite().all()


class TestResults:
    def test_two_outputs_without_a_target_are_an_error_with_the_fix(self):
        with pytest.raises(ValueError, match=r"target=model\(x\)\.argmax"):
            StratifiedLime(BasicModel_MultiLayer()).attribute(X)

    def test_all_zero_coefficients_are_not_silent(self):
        with pytest.warns(UserWarning, match="all coefficients are 0"):
            StratifiedLime(lambda x: torch.ones(len(x))).attribute(X)

    def test_very_many_players_are_not_silent(self):
        with pytest.warns(UserWarning, match="10201 players"):
            StratifiedLime(lambda x: x.flatten(1).sum(1)).attribute(torch.ones(1, 101, 101), n_samples=20)

    def test_coefficients_come_with_standard_errors_that_shrink(self):
        x = torch.rand(1, 3, 16, 16)
        mask = torch.arange(256).reshape(16, 16) // 8
        model = nn.Sequential(nn.Flatten(), nn.Linear(768, 2), nn.Sigmoid()).eval()
        method = StratifiedLime(model)
        errors = [
            method.explain(x, target=1, feature_mask=mask, n_samples=b, seed=0)[0].std_error.mean() for b in (200, 3200)
        ]
        assert 0 < errors[1] < errors[0] / 3

    def test_a_tolerance_saves_evaluations_of_easy_examples_only(self):
        def model(x):
            return x[:, :20].sum(1) + 20 * torch.sin(10 * x[:, 20:].sum(1))

        x = torch.cat([torch.ones(1, 40), torch.ones(1, 40)])
        x[0, 20:] = 0
        easy, hard = StratifiedLime(model).explain(x, n_samples=1000, seed=0, tol=0.05)
        assert easy.n_evals < 500
        assert hard.n_evals > easy.n_evals

    @pytest.mark.parametrize("sampler", ["mc", "antithetic", "foldover", "stratified"])
    @pytest.mark.parametrize("weighting", ["kernel", "importance", "none"])
    def test_a_linear_model_is_explained_by_its_contributions(self, sampler, weighting):
        w = torch.linspace(-1, 1, 25, dtype=torch.float64)
        method = StratifiedLime(lambda x: x @ w, Ridge(0.0), sampler=sampler, weighting=weighting)
        x = torch.rand(2, 25, dtype=torch.float64)
        got = method.attribute(x, baselines=x.flip(0), n_samples=120, perturbations_per_eval=None)
        torch.testing.assert_close(got, (x - x.flip(0)) * w, rtol=0, atol=1e-9)

    def test_sparse_volumes_and_signals_are_explained(self):
        for shape in ((1, 2, 12), (1, 1, 3, 4, 5)):
            x = torch.rand(shape)
            mask = torch.arange(x[0, 0].numel()).reshape(x[0, 0].shape) % 6
            explanation = StratifiedLime(lambda t: t.flatten(1).sum(1)).explain(x, feature_mask=mask)[0]
            assert explanation.labels[0].shape == shape[2:]
            got = StratifiedLime(lambda t: t.flatten(1).sum(1)).attribute(x, feature_mask=mask)
            assert got.shape == shape

    def test_a_budget_of_three_is_an_error(self):
        with pytest.raises(ValueError, match="n_samples must be at least 4"):
            StratifiedLime(BasicModel_MultiLayer()).attribute(X, target=0, n_samples=3)

    def test_no_warning_is_given_in_ordinary_use(self):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            StratifiedLime(BasicModel_MultiLayer()).attribute(torch.cat([X, X]), target=0)


def test_the_defaults_are_orthogonal_pairs_limes_kernel_and_ridge():
    x = torch.rand(1, 30)
    defaults = StratifiedLime(lambda t: t.square().sum(1)).attribute(x, seed=1)
    spelt_out = StratifiedLime(
        lambda t: t.square().sum(1), Ridge(1.0), sampler="foldover", weighting="kernel", kernel="cosine",
        kernel_width=0.25,
    ).attribute(x, n_samples=1000, seed=1)  # fmt: skip
    np.testing.assert_array_equal(defaults, spelt_out)


class TestKnobs:
    def explain(self, **knobs):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Flatten(), nn.Linear(192, 4), nn.Tanh(), nn.Linear(4, 1), nn.Flatten(0)).eval()
        mask = torch.arange(64).reshape(8, 8) // 4
        x = torch.rand(1, 3, 8, 8)
        (explanation,) = StratifiedLime(model, **knobs).explain(x, feature_mask=mask, n_samples=120, seed=1)
        return explanation

    @pytest.mark.parametrize("sampler", ["mc", "stratified", "stratified_pairs", "published", "glime"])
    def test_every_sampler_has_a_name(self, sampler):
        explanation = self.explain(sampler=sampler, weighting="none" if sampler == "glime" else "importance")
        assert explanation.estimand == "LIME"

    def test_shapley_values_come_with_their_own_law_unless_told(self):
        explanation = self.explain(weighting="kernelshap")
        assert explanation.estimand == "Shapley"
        assert "shapley" in explanation.diagnostics["law"]
        assert explanation.values.sum() == pytest.approx(float(explanation.full_value - explanation.base_value))
        insisted = self.explain(weighting="kernelshap", sampler=Stratified("shapley", pairs=True))
        assert "pairs=True" in insisted.diagnostics["law"]

    def test_glime_needs_a_kernel_of_sizes(self):
        with pytest.raises(ValueError, match="law='kernel' and kernel="):
            self.explain(sampler="glime", kernel="pixel_cosine")

    def test_few_features_are_selected_before_the_surrogate_is_fitted(self):
        assert np.count_nonzero(self.explain(num_features=3).values) == 3
        captums = self.explain(num_features=3, interpretable_model=SkLearnLinearRegression())
        assert np.count_nonzero(captums.values) == 3

    @pytest.mark.parametrize("model", [Lasso(0.1), LinearRegression(), Select(2), Ridge(2.0)], ids=str)
    def test_surrogates_and_regressors_are_interpretable_models(self, model):
        assert self.explain(interpretable_model=model).values.any()

    def test_an_unknown_weighting_is_refused_at_once(self):
        with pytest.raises(ValueError, match="did you mean 'kernelshap'"):
            StratifiedLime(nn.Identity(), weighting="kernelshp")
