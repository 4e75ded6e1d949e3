"""What Captum's users expect of an attribution class: inherited by the test of each of ours.

The cases follow Captum's conventions; models and configurations come from ``captum.testing``.
"""

import copy
import inspect
import pickle
import random
import threading
import warnings

import numpy as np
import pytest
import torch
from captum.attr import Lime, NoiseTunnel
from captum.testing.helpers.basic_models import (
    BasicModel_ConvNet,
    BasicModel_MultiLayer,
    BasicModel_MultiLayer_MultiInput,
    BasicModelBoolInput,
)
from torch import nn

X = torch.tensor([[20.0, 50.0, 30.0]])
BUDGET = 20


def generator_states():
    return torch.get_rng_state().tolist(), np.random.get_state()[1].tolist(), random.getstate()


def target_configs():
    """Captum's own configurations with one target per example."""
    states = torch.get_rng_state(), np.random.get_state(), random.getstate()
    from captum.testing.attr.helpers.test_config import config

    torch.set_rng_state(states[0])
    np.random.set_state(states[1])
    random.setstate(states[2])
    chosen = []
    for case in config:
        names = [a.__name__ for a in case["algorithms"]]
        tunnel = case.get("noise_tunnel", False)
        target = case["attribute_args"].get("target")
        per_example = isinstance(target, list) or (isinstance(target, torch.Tensor) and target.numel() > 1)
        if per_example and ("FeatureAblation" if tunnel else "ShapleyValueSampling") in names:
            chosen.append(pytest.param(case, id=case["name"]))
    return chosen


def as_tuple(value):
    return value if isinstance(value, tuple) else (value,)


def row(value, i, n):
    """Row i of an argument that has one row per example."""
    if isinstance(value, tuple):
        return tuple(row(v, i, n) for v in value)
    if isinstance(value, torch.Tensor) and value.dim() and value.shape[0] == n:
        return value[i : i + 1]
    return value


class Spy(nn.Module):
    """Records the rows of every call."""

    def __init__(self, model):
        super().__init__()
        self.model, self.calls = model, []

    def forward(self, *args):
        self.calls.append(len(args[0]))
        return self.model(*args)


class CaptumConformance:
    """Set `make` (the class), `name` (its progress text) and `draws` (is a result without a seed random?)."""

    make = None
    name = ""
    draws = True

    def attribute(self, model, *args, **kwargs):
        kwargs.setdefault("n_samples", BUDGET)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="all coefficients are 0")
            return type(self).make(model).attribute(*args, **kwargs)

    # C1: the class

    def test_the_first_parameters_of_attribute_are_limes(self):
        ours = list(inspect.signature(type(self).make.attribute).parameters.values())
        captums = list(inspect.signature(Lime.attribute).parameters.values())
        assert [(p.name, p.kind) for p in ours[: len(captums)]] == [(p.name, p.kind) for p in captums]
        assert all(p.kind is p.KEYWORD_ONLY for p in ours[len(captums) :])
        shared = [p for p in captums if p.name not in ("n_samples",)]
        assert all(o.default == c.default for o, c in zip(ours, captums, strict=False) if c in shared)

    def test_the_class_describes_itself(self):
        method = type(self).make(BasicModel_MultiLayer())
        assert method.get_name() == self.name
        assert method.has_convergence_delta() is False
        with pytest.raises(NotImplementedError, match="attribute_future is not implemented"):
            method.attribute_future()

    def test_usage_is_logged_outside_and_gradients_are_off_inside(self):
        attribute, enabled = type(self).make.attribute, []
        without_log = attribute.__wrapped__  # what NoiseTunnel calls
        assert callable(without_log.__wrapped__)
        assert not hasattr(without_log.__wrapped__, "__wrapped__")

        def forward(x):
            enabled.append(torch.is_grad_enabled())
            return x.sum(1)

        without_log(type(self).make(forward), X, n_samples=BUDGET)
        assert enabled
        assert not any(enabled)

    def test_an_unknown_keyword_is_refused(self):
        with pytest.raises(TypeError, match="unexpected keyword"):
            self.attribute(BasicModel_MultiLayer(), X, target=0, n_sample=3)

    # C2: targets

    @pytest.mark.parametrize("case", target_configs())
    def test_a_batch_gives_what_its_examples_give_alone(self, case):
        args = copy.deepcopy(case["attribute_args"])
        method = type(self).make(case["model"])
        if case.get("noise_tunnel"):
            method = NoiseTunnel(method)
            args["seed"] = 0
        n, target = len(as_tuple(args["inputs"])[0]), args["target"]
        args["n_samples"] = 30 if case.get("noise_tunnel") is None else 10
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.manual_seed(1234)
            whole = as_tuple(method.attribute(**args))
            torch.manual_seed(1234)
            for i in range(n):
                single = {k: row(v, i, n) for k, v in args.items()}
                state = torch.get_rng_state()  # LIME draws once per example, in batch order
                for form in (target[i], target[i : i + 1]):
                    torch.set_rng_state(state)
                    if not issubclass(type(self).make, Lime):
                        torch.manual_seed(1234)
                    alone = as_tuple(method.attribute(**(single | {"target": form})))
                    for a, b in zip(alone, whole, strict=True):
                        torch.testing.assert_close(a, b[i : i + 1], rtol=0, atol=1e-4)

    # C3: hooks

    @pytest.mark.parametrize("target", [0, (9999,) * 20])
    def test_no_hook_is_left_behind(self, target):
        model = BasicModel_MultiLayer()
        if target == 0:
            self.attribute(model, X, target=target)
        else:
            with pytest.raises(AssertionError, match="does not index"):
                self.attribute(model, X, target=target)
            with pytest.raises(ValueError, match="does not index"):
                self.attribute(model, X, target=target)
        for module in model.modules():
            assert not module._forward_hooks
            assert not module._backward_hooks
            assert not module._forward_pre_hooks

    # C4: rows per call

    @pytest.mark.parametrize("rows", [2, 3, None])
    def test_the_result_does_not_depend_on_perturbations_per_eval(self, rows):
        model, x = BasicModel_MultiLayer(), torch.cat([X, X / 2])
        expected = self.attribute(model, x, target=[0, 1], seed=0)
        torch.testing.assert_close(
            self.attribute(model, x, target=[0, 1], seed=0, perturbations_per_eval=rows), expected, rtol=0, atol=1e-5
        )

    def test_a_convolutional_model_gives_the_same_at_20_perturbations_per_eval(self):
        model, x = BasicModel_ConvNet().eval(), torch.arange(100.0).reshape(1, 1, 10, 10)
        mask = torch.arange(100).reshape(10, 10) // 10
        expected = self.attribute(model, x, target=0, feature_mask=mask, n_samples=60, seed=0)
        got = self.attribute(model, x, target=0, feature_mask=mask, n_samples=60, seed=0, perturbations_per_eval=20)
        torch.testing.assert_close(got, expected, rtol=0, atol=1e-5)

    # C6: feature masks

    @pytest.mark.parametrize("dtype", [torch.int32, torch.uint8, torch.float32, torch.bool])
    def test_a_mask_of_any_integral_dtype_is_read_as_int64(self, dtype):
        mask = torch.tensor([[0, 0, 1]])
        kwargs = {"target": 0, "seed": 0}
        expected = self.attribute(BasicModel_MultiLayer(), X, feature_mask=mask, **kwargs)
        got = self.attribute(BasicModel_MultiLayer(), X, feature_mask=mask.to(dtype), **kwargs)
        torch.testing.assert_close(got, expected, rtol=0, atol=0)

    @pytest.mark.parametrize("ids", [(0, 5), (-1, 0), (1, 2)])
    def test_ids_may_have_gaps_or_start_anywhere(self, ids):
        mask = torch.tensor([[ids[0], ids[0], ids[1]]])
        expected = self.attribute(BasicModel_MultiLayer(), X, target=0, seed=0, feature_mask=torch.tensor([0, 0, 1]))
        got = self.attribute(BasicModel_MultiLayer(), X, target=0, seed=0, feature_mask=mask)
        torch.testing.assert_close(got, expected, rtol=0, atol=0)
        flat = self.attribute(BasicModel_MultiLayer(), X, target=0, seed=0, feature_mask=mask, return_input_shape=False)
        assert flat.shape == (1, ids[1] - ids[0] + 1)
        assert flat[0, 0] == expected[0, 0]
        assert flat[0, -1] == expected[0, 2]
        assert not flat[0, 1:-1].any()

    def test_a_fractional_mask_is_refused(self):
        with pytest.raises(ValueError, match="labels must be integers"):
            self.attribute(BasicModel_MultiLayer(), X, target=0, feature_mask=torch.tensor([[0.5, 0, 1]]))

    def test_an_id_shared_by_two_inputs_is_one_player(self):
        model = BasicModel_MultiLayer_MultiInput()
        inputs = (X, 2 * X)
        masks = (torch.tensor([[0, 1, 2]]), torch.tensor([[0, 1, 2]]))
        a, b = self.attribute(model, inputs, target=0, feature_mask=masks, additional_forward_args=(3 * X, 1), seed=0)
        torch.testing.assert_close(a, b, rtol=0, atol=0)

    def test_an_empty_input_gets_an_empty_result(self):
        def forward(x, y):
            return x.sum(1)

        a, b = self.attribute(forward, (X, torch.zeros(1, 0)), seed=0)
        assert a.shape == (1, 3)
        assert b.shape == (1, 0)

    # C7: baselines and inputs

    @pytest.mark.parametrize(
        "baseline",
        [4, 4.0, torch.tensor(4.0), torch.full((1, 3), 4.0), torch.full((2, 3), 4.0), lambda x: torch.full_like(x, 4)],
        ids=["int", "float", "0-d", "one row", "all rows", "callable"],
    )
    def test_every_form_of_a_baseline_means_the_same(self, baseline):
        x = torch.cat([X, X / 2])
        expected = self.attribute(BasicModel_MultiLayer(), x, torch.full_like(x, 4), target=0, seed=0)
        got = self.attribute(BasicModel_MultiLayer(), x, baseline, target=0, seed=0)
        torch.testing.assert_close(got, expected, rtol=0, atol=0)

    def test_a_distribution_of_baselines_is_refused(self):
        with pytest.raises(ValueError, match="a baseline tensor must have the input's shape"):
            self.attribute(BasicModel_MultiLayer(), X, torch.zeros(5, 3), target=0)

    def test_nan_baselines_do_not_leak_into_kept_elements(self):
        def forward(x):
            return torch.where(x.isnan(), 0.0, x).sum(1)

        got = self.attribute(forward, X, float("nan"), seed=0)
        assert got.isfinite().all()

    @pytest.mark.parametrize("kind", ["int64", "float64", "requires_grad", "expanded", "transposed"])
    def test_inputs_of_any_kind_are_not_written_to(self, kind):
        x = {
            "int64": X.long(),
            "float64": X.double(),
            "requires_grad": X.clone().requires_grad_(),
            "expanded": X[:, :1].expand(1, 3),
            "transposed": X.T.contiguous().T,
        }[kind]
        before, version = x.detach().clone(), x._version
        got = self.attribute(lambda t: t.double().square().sum(1), x, seed=0)
        assert torch.equal(x.detach(), before)
        assert x._version == version
        assert got.shape == x.shape
        assert got.dtype == torch.float64
        assert not got.requires_grad

    def test_bool_inputs_are_exchanged(self):
        x = torch.tensor([[True, False, True]])
        got = self.attribute(BasicModelBoolInput(), x, target=0, feature_mask=torch.tensor([[0, 0, 1]]), seed=0)
        assert got.shape == x.shape
        assert got.isfinite().all()

    # C8, C9: what the model returns, what else it takes

    @pytest.mark.parametrize(
        ("forward", "rows"),
        [
            (lambda x: float(x.sum()), 1),
            (lambda x: int(x.sum()), 1),
            (lambda x: x.sum(), 1),
            (lambda x: x.sum().reshape(1), 1),
            (lambda x: x.sum(0)[:3], 3),
        ],
        ids=["float", "int", "0-d", "(1,)", "(3,)"],
    )
    def test_one_answer_per_batch_explains_the_batch(self, forward, rows):
        x = torch.cat([X, X])
        got = self.attribute(forward, x, seed=0)
        assert got.shape == (rows, 3)
        with pytest.raises(ValueError, match="perturbations_per_eval must be 1"):
            self.attribute(forward, x, perturbations_per_eval=2)
        with pytest.raises(ValueError, match="feature_mask must be the same for all examples"):
            self.attribute(forward, x, feature_mask=torch.tensor([[0, 1, 2], [2, 1, 0]]))

    def test_extra_arguments_arrive_row_by_row_or_unchanged(self):
        x, per_row, table, seen = torch.cat([X, X / 2]), torch.tensor([[1.0], [2.0]]), torch.arange(7.0), []

        def forward(inputs, scale, lookup, name):
            seen.append((scale.unique().numel(), lookup, name))
            return inputs.sum(1) * scale[:, 0]

        extra = (per_row, table, "name")
        got = self.attribute(forward, x, additional_forward_args=extra, seed=0, perturbations_per_eval=3)
        alone = self.attribute(forward, x[1:], additional_forward_args=(per_row[1:], *extra[1:]), seed=0)
        torch.testing.assert_close(got[1:], alone, rtol=0, atol=1e-4)
        assert all(lookup is table and name == "name" for _, lookup, name in seen)
        assert all(kinds == 1 for kinds, _, _ in seen[1:])

    # C10: projection

    def test_attribute_is_a_projection_of_explain(self):
        x, mask = torch.cat([X, X / 2]), torch.tensor([0, 1, 1])
        kwargs = {"target": 0, "feature_mask": mask, "seed": 0, "n_samples": BUDGET}
        method = type(self).make(BasicModel_MultiLayer())
        attributions = method.attribute(x, **kwargs)
        for example, explanation in zip(attributions, method.explain(x, **kwargs), strict=True):
            np.testing.assert_allclose(example, explanation.region_map(), rtol=1e-6)

    # C11: progress

    @pytest.mark.parametrize("rows", [1, 2, 3])
    def test_the_progress_bar_ends_at_100_percent(self, capsys, rows):
        self.attribute(
            BasicModel_MultiLayer(), X, target=0, show_progress=True, perturbations_per_eval=rows, n_samples=7
        )
        assert f"{self.name} attribution: 100%" in capsys.readouterr().err

    # C12: randomness

    def test_manual_seed_reproduces_and_no_other_generator_moves(self):
        x = torch.rand(1, 30)
        torch.manual_seed(0)
        first = self.attribute(lambda t: t.sum(1) ** 2, x)
        _, numpy_state, python_state = generator_states()
        torch.manual_seed(0)
        torch.testing.assert_close(self.attribute(lambda t: t.sum(1) ** 2, x), first, rtol=0, atol=0)
        assert generator_states()[1:] == (numpy_state, python_state)

    def test_a_seed_reproduces_and_moves_no_generator(self):
        x = torch.rand(1, 30)
        states = generator_states()
        first = self.attribute(lambda t: t.sum(1) ** 2, x, seed=5)
        torch.testing.assert_close(self.attribute(lambda t: t.sum(1) ** 2, x, seed=5), first, rtol=0, atol=0)
        assert generator_states() == states

    def test_only_a_class_that_draws_moves_torchs_generator(self):
        def run():
            return self.attribute(lambda t: t.sum(1) ** 2, x)

        x = torch.rand(1, 30)
        torch.manual_seed(3)
        before = torch.get_rng_state()
        first, second = run(), run()
        assert torch.equal(torch.get_rng_state(), before) is not self.draws
        assert torch.equal(first, second) is not self.draws
        torch.manual_seed(3)
        assert torch.equal(run(), first)
        assert torch.equal(run(), second)

    # C13: NoiseTunnel, form of the results

    @pytest.mark.parametrize("kind", ["smoothgrad", "smoothgrad_sq", "vargrad"])
    def test_noise_tunnel_accepts_the_class(self, kind):
        tunnel = NoiseTunnel(type(self).make(BasicModel_MultiLayer()))
        x = torch.cat([X, X / 2])
        got = tunnel.attribute(x, nt_type=kind, nt_samples=4, nt_samples_batch_size=2, target=0, n_samples=BUDGET)
        assert got.shape == x.shape
        assert got.isfinite().all()

    def test_results_are_ordinary_contiguous_tensors(self):
        got = self.attribute(BasicModel_MultiLayer(), X.expand(2, 3), target=0)
        assert got.dtype == torch.float32
        assert got.is_contiguous()
        assert not got.requires_grad
        assert not got.is_inference()

    # C14: what the model sees

    @pytest.mark.parametrize(("n", "rows", "budget"), [(1, 1, 7), (1, 4, 30), (3, 2, 11)])
    def test_neither_budget_nor_rows_per_call_are_exceeded(self, n, rows, budget):
        spy = Spy(BasicModel_MultiLayer())
        x = torch.rand(n, 12)
        self.attribute(
            lambda t: spy(t.reshape(len(t), 4, 3).sum(1)), x, target=0, n_samples=budget, perturbations_per_eval=rows
        )
        assert max(spy.calls) <= rows * n
        assert sum(spy.calls) <= budget * n

    # C15: copies

    def test_a_copy_with_another_forward_func_calls_that(self):
        method = type(self).make(BasicModel_MultiLayer())
        expected = method.attribute(X, target=0, n_samples=BUDGET, seed=0)  # a copy inherits what a call leaves behind
        copied = copy.copy(method)
        copied.forward_func = lambda x: 100 * x.sum(1)
        got = copied.attribute(X, n_samples=BUDGET, seed=0)
        assert (got > 100).all()
        assert torch.equal(method.attribute(X, target=0, n_samples=BUDGET, seed=0), expected)

    def test_a_call_leaves_nothing_on_the_object(self):
        method = type(self).make(BasicModel_MultiLayer())
        before = dict(vars(method))
        method.attribute(X, target=0, n_samples=BUDGET, seed=0)
        assert vars(method).keys() == before.keys()
        assert all(vars(method)[name] is value for name, value in before.items())

    @pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
    def test_duplicates_give_the_same(self, duplicate):
        method = type(self).make(BasicModel_MultiLayer())
        kwargs = {"target": 0, "n_samples": BUDGET, "seed": 0}
        torch.testing.assert_close(duplicate(method).attribute(X, **kwargs), method.attribute(X, **kwargs))

    def test_threads_do_not_disturb_each_other(self):
        method = type(self).make(lambda x: x.sum(1) ** 2)
        x = torch.rand(8, 20)
        serial = [method.attribute(x[i : i + 1], n_samples=40, seed=i) for i in range(8)]
        results = [None] * 8

        def work(i):
            results[i] = method.attribute(x[i : i + 1], n_samples=40, seed=i)

        threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for got, expected in zip(results, serial, strict=True):
            torch.testing.assert_close(got, expected, rtol=0, atol=0)

    # C16: the model stays trainable and as it was

    def test_a_model_that_caches_a_tensor_can_be_trained_afterwards(self):
        class Caching(nn.Module):
            def __init__(self):
                super().__init__()
                self.weight, self.cache = nn.Parameter(torch.ones(3)), None

            def forward(self, x):
                if self.cache is None:
                    self.cache = torch.arange(3.0)
                return (x * self.weight * self.cache).sum(1)

        model = Caching()
        self.attribute(model, X)
        model(X).sum().backward()
        assert model.weight.grad is not None

    @pytest.mark.parametrize("training", [True, False])
    def test_mode_and_state_stay_also_after_an_exception(self, training):
        model = nn.Sequential(nn.Linear(3, 4), nn.Dropout(0.5), nn.Linear(4, 1)).train(training)
        state = copy.deepcopy(model.state_dict())
        x = torch.rand(4, 3)
        with pytest.raises(ValueError, match="does not index"):
            self.attribute(model, x, target=5)
        self.attribute(model, x, target=0)
        assert model.training is training
        for name, value in state.items():
            torch.testing.assert_close(model.state_dict()[name], value, rtol=0, atol=0)

    def test_an_exception_of_the_model_passes_unchanged(self):
        class Broken(Exception):
            pass

        def forward(x):
            raise Broken("mine")

        with pytest.raises(Broken, match="mine"):
            self.attribute(forward, X)

    # C18: the rest of Captum

    def test_scripted_and_traced_models_give_the_same(self):
        model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)).eval()
        expected = self.attribute(model, X, target=0, seed=0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            compiled = [torch.jit.script(model), torch.jit.trace(model, X)]
        for other in compiled:
            torch.testing.assert_close(self.attribute(other, X, target=0, seed=0), expected, rtol=1e-4, atol=1e-4)

    def test_captums_infidelity_and_visualization_take_the_result(self):
        from captum.attr import visualization
        from captum.metrics import infidelity

        model, x = nn.Sequential(nn.Flatten(), nn.Linear(100, 2)).eval(), torch.rand(1, 1, 10, 10)
        mask = torch.arange(100).reshape(10, 10) // 25
        attributions = self.attribute(model, x, target=0, feature_mask=mask, n_samples=16, seed=0)

        def perturb(inputs):
            noise = torch.ones_like(inputs) * 0.01
            return noise, inputs - noise

        score = infidelity(model, perturb, x, attributions, target=0)
        assert score.shape == (1,)
        image = attributions[0].movedim(0, -1).numpy()
        figure, _ = visualization.visualize_image_attr(image, sign="all", use_pyplot=False)
        assert figure.axes


class TwoPlayerShapley:
    """C5: values by hand that every Shapley-type class gives two players, whatever its tree or order; set `make`."""

    make = None

    def values(self, model, x, mask, **kwargs):
        return type(self).make(model).attribute(x, feature_mask=torch.tensor(mask), n_samples=BUDGET, **kwargs)

    @pytest.mark.parametrize(("baseline", "expected"), [(0, [275.0, 275, 115]), (4, [248.0, 248, 104])])
    def test_each_element_carries_the_whole_value_of_its_player(self, baseline, expected):
        got = self.values(BasicModel_MultiLayer(), X, [[0, 0, 1]], baselines=baseline, target=0)
        torch.testing.assert_close(got, torch.tensor([expected]))

    def test_each_example_may_have_its_own_mask(self):
        x = torch.tensor([[2.0, 10, 3], [20, 50, 30]])
        got = self.values(BasicModel_MultiLayer(), x, [[0, 0, 1], [1, 1, 0]], target=0)
        torch.testing.assert_close(got, torch.tensor([[39.5, 39.5, 10.5], [275, 275, 115]]))

    @pytest.mark.parametrize(("baseline", "expected"), [(None, [35.0, 35, 35]), (True, [-40.0, -40, 0])])
    def test_bool_inputs_have_values(self, baseline, expected):
        x = torch.tensor([[True, False, True]])
        got = self.values(BasicModelBoolInput(), x, [[0, 0, 1]], baselines=baseline, target=0)
        torch.testing.assert_close(got, torch.tensor([expected]))

    def test_without_a_target_each_output_has_its_values(self):
        model, x, masks = BasicModel_MultiLayer(), X.expand(2, 3), [[1, 1, 0], [0, 1, 1]]
        got = self.values(model, x, masks)
        assert got.shape == (2, 2, 3)
        torch.testing.assert_close(got[:, 0], torch.tensor([[275.0, 275, 115], [75, 315, 315]]))
        torch.testing.assert_close(got[:, 1], self.values(model, x, masks, target=1))
