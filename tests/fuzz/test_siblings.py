"""Legal calls of Captum and SHAP: what the hosts' own methods take, ours take, with an answer of the same form."""

import warnings

import numpy as np
import pytest
import shap
import torch
from captum.attr import KernelShap, Lime, Occlusion, ShapleyValueSampling
from hypothesis import given
from hypothesis import strategies as st

from tests.strategies import SEEDS
from xai_ext import attr, explainers
from xai_ext._checks import InputError, InputTypeError
from xai_ext.maskers import BPT

DOCUMENTED = (InputError, InputTypeError)
PAIRS = {attr.StratifiedLime: Lime, attr.RISE: KernelShap, attr.BPTOwen: ShapleyValueSampling}
# part of a message -> why ours refuse what the sibling takes
LISTED = {"IASSA explains one": "a map steers where the next windows go, and Occlusion has no next windows"}


@st.composite
def tensors(draw, n, dtype, rank=None):
    shape = draw(st.lists(st.integers(1, 4), min_size=rank or 1, max_size=rank or 3))
    rng = np.random.default_rng(draw(SEEDS))
    return torch.from_numpy(rng.normal(size=(n, *shape))).to(dtype)


class Model:
    """Scores of all inputs and of what comes along, per example (), (3,) or (2, 2)."""

    def __init__(self, outputs, n_inputs, dtype):
        self.outputs, self.n_inputs, self.dtype = outputs, n_inputs, dtype

    def __call__(self, *args):
        inputs, extra = args[: self.n_inputs], args[self.n_inputs :]
        score = sum(torch.tanh(x.flatten(1).to(self.dtype) * (i + 1)).sum(1) for i, x in enumerate(inputs))
        for value in extra:
            score = score + (
                value.to(self.dtype).flatten(1).sum(1) if isinstance(value, torch.Tensor) else len(str(value))
            )
        if not self.outputs:
            return score
        return torch.stack([score * (i + 1) for i in range(int(np.prod(self.outputs)))], 1).reshape(-1, *self.outputs)


TARGETS = {
    (): lambda n: [None],
    (3,): lambda n: [None, 0, 2, torch.tensor(1), torch.tensor([1]), [0] * n, torch.arange(n) % 3, -1, (2,)],
    (2, 2): lambda n: [None, (0, 1), (1, 1), [(i % 2, 1) for i in range(n)]],
}  # fmt: skip


def regions(x, rng):
    shape = (rng.choice([1, len(x)]), *x.shape[1:])
    return torch.from_numpy(rng.integers(0, 3, shape))


def filled(x, rng):
    return [0, 0.5, torch.zeros_like(x[:1]), torch.full_like(x, 0.25)][rng.integers(4)]


@st.composite
def calls(draw, rank=None):
    """(model, inputs, keyword arguments) of any perturbation method of Captum."""
    n, dtype = draw(st.integers(1, 3)), draw(st.sampled_from([torch.float32, torch.float64]))
    inputs = tuple(draw(tensors(n, dtype, rank)) for _ in range(draw(st.integers(1, 2))))
    outputs, rng = draw(st.sampled_from(list(TARGETS))), np.random.default_rng(draw(SEEDS))
    each = {
        "baselines": draw(st.sampled_from([None, tuple(filled(x, rng) for x in inputs)])),
        "feature_mask": None if rank else draw(st.sampled_from([None, tuple(regions(x, rng) for x in inputs)])),
    }
    single = len(inputs) == 1 and draw(st.booleans())
    shared = {
        "target": draw(st.sampled_from(TARGETS[outputs](n))),
        "additional_forward_args": draw(
            st.sampled_from([None, (torch.ones(n, 2),), (3, "word"), (torch.ones(n, 2), 7)])
        ),
        "perturbations_per_eval": draw(st.sampled_from([1, 2, 5])),
    }
    given = {
        key: value[0] if single and value is not None else value for key, value in each.items() if value is not None
    }
    model = Model(outputs, len(inputs), draw(st.sampled_from([torch.float32, torch.float64])))
    return model, inputs[0] if single else inputs, given | {k: v for k, v in shared.items() if v is not None}


def quietly(function, *args, **kwargs):
    """The answer or the error."""
    with warnings.catch_warnings(), torch.random.fork_rng():
        warnings.simplefilter("ignore")
        numpys = np.random.get_state()
        try:
            return function(*args, **kwargs)
        except Exception as error:
            return error
        finally:
            np.random.set_state(numpys)


def form(value):
    return [tuple(v.shape) for v in value] if isinstance(value, tuple) else tuple(value.shape)


def same_form(found, expected, model):
    """Ours answers where the sibling does, in its shape, and in hosts.md's dtype: the model's, at least float32."""
    if isinstance(found, Exception):
        listed = isinstance(found, DOCUMENTED) and any(part in str(found) for part in LISTED)
        assert listed or (isinstance(expected, Exception) and isinstance(found, DOCUMENTED)), found
        return False
    for tensor in found if isinstance(found, tuple) else (found,):
        assert tensor.dtype == model.dtype
        assert bool(tensor.isfinite().all())
    if isinstance(expected, Exception):
        return False
    assert form(found) == form(expected)
    return True


@pytest.mark.parametrize("ours", PAIRS, ids=lambda c: c.__name__)
@given(st.data())
def test_a_legal_captum_call_gives_the_siblings_form(ours, data):
    model, inputs, kwargs = data.draw(calls())
    before = [x.clone() for x in (inputs if isinstance(inputs, tuple) else (inputs,))]
    sibling = PAIRS[ours]
    whole = {} if sibling is ShapleyValueSampling else {"return_input_shape": data.draw(st.booleans())}
    if ours is attr.RISE and "feature_mask" not in kwargs:
        whole = {}  # without players RISE has positions, (N, 1, *spatial)
    expected = quietly(
        sibling(model).attribute, inputs, n_samples=2 if sibling is ShapleyValueSampling else 20, **kwargs, **whole
    )
    found = quietly(ours(model).attribute, inputs, n_samples=20, seed=0, **kwargs, **whole)
    same_form(found, expected, model)
    assert all(
        torch.equal(a, b) for a, b in zip(before, inputs if isinstance(inputs, tuple) else (inputs,), strict=True)
    )


@pytest.mark.parametrize("ours", [*PAIRS, attr.IASSA], ids=lambda c: c.__name__)
@given(st.data())
def test_the_order_of_the_examples_changes_nothing(ours, data):
    n = data.draw(st.integers(2, 4))
    x, rng = data.draw(tensors(n, torch.float64)), np.random.default_rng(data.draw(SEEDS))
    labels, baseline, scale = (
        torch.from_numpy(rng.integers(0, 3, x.shape)),
        torch.full_like(x[:1], 0.5),
        torch.from_numpy(rng.random((n, 2))),
    )
    order = torch.from_numpy(rng.permutation(n))
    model = Model((3,), 1, torch.float64)

    def maps(i):
        shared = {"perturbations_per_eval": data.draw(st.sampled_from([1, 3, None])), "n_samples": 30, "seed": 5}
        masks = {"feature_mask": labels[i]} if with_labels else {}
        return ours(model).attribute(x[i], baseline, (i % 3).tolist(), (scale[i],), **masks, **shared)

    with_labels = data.draw(st.booleans())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.testing.assert_close(maps(order), maps(torch.arange(n))[order], rtol=1e-9, atol=1e-9)


@given(st.data())
def test_a_legal_call_of_occlusion_gives_iassas_first_map(data):
    model, inputs, kwargs = data.draw(calls(rank=data.draw(st.sampled_from([2, 3]))))
    each = inputs if isinstance(inputs, tuple) else (inputs,)
    windows = tuple((x.shape[1], *(data.draw(st.integers(1, side)) for side in x.shape[2:])) for x in each)
    strides = tuple((w[0], *(data.draw(st.integers(1, side)) for side in w[1:])) for w in windows)
    if not isinstance(inputs, tuple):
        windows, strides = windows[0], strides[0]
    given_strides = data.draw(st.sampled_from([None, strides]))
    shared = {"sliding_window_shapes": windows, "strides": given_strides, **kwargs}
    expected = quietly(Occlusion(model).attribute, inputs, **shared)
    found = quietly(attr.IASSA(model).attribute, inputs, levels=1, **shared)
    if same_form(found, expected, model):
        for a, b in zip(found, expected, strict=True) if isinstance(found, tuple) else [(found, expected)]:
            torch.testing.assert_close(a, b.to(a), rtol=1e-4, atol=1e-4)  # Captum answers in float32


def sums(images):
    flat = np.asarray(images).reshape(len(images), -1).astype(float)
    return np.stack([flat.sum(1), flat.max(1), np.square(flat).mean(1)], 1)


def one_sum(images):
    return sums(images)[:, 0]


def chance(images):
    return 1 / (1 + np.exp(-np.tanh(sums(images))))


@pytest.mark.parametrize("name", ["BPTOwen", "StratifiedLime", "RISE", "IASSA"])
@given(st.data())
def test_a_legal_shap_call_gives_partitions_form(name, data):
    shape = data.draw(st.tuples(st.integers(1, 2), st.integers(2, 6), st.integers(1, 6), st.integers(1, 3)))
    rng = np.random.default_rng(data.draw(SEEDS))
    images = rng.random(shape).astype(data.draw(st.sampled_from(["f4", "f8"])))
    labels = data.draw(st.sampled_from([None, rng.integers(0, 4, shape[1:3])]))
    masker = BPT(images[0], data.draw(st.sampled_from([0, "mean", "blur(3,3)"])), labels)
    function, link = data.draw(st.sampled_from([(sums, None), (one_sum, None), (chance, shap.links.logit)]))
    linked = {"link": link, "linearize_link": False} if link else {}
    names = {"output_names": ["a", "b", "c"]} if function is not one_sum and data.draw(st.booleans()) else {}
    outputs = [None] if function is one_sum else [None, [0], [2, 1], shap.Explanation.argsort.flip[:2], np.array([1])]
    kwargs = {"max_evals": data.draw(st.sampled_from(["auto", 40, 61])), "outputs": data.draw(st.sampled_from(outputs))}
    kwargs |= {"batch_size": data.draw(st.sampled_from(["auto", 1, 7])), "silent": True}
    expected = quietly(shap.Explainer(function, masker, seed=0, **linked, **names), images, **kwargs)
    found = quietly(getattr(explainers, name)(function, masker, seed=0, **linked, **names), images, **kwargs)
    if isinstance(found, Exception):
        assert isinstance(found, DOCUMENTED), found
        assert isinstance(expected, Exception) or any(part in str(found) for part in LISTED), found
        return
    assert found.values.dtype == np.float64
    assert np.isfinite(found.values).all()
    if isinstance(expected, Exception):
        return
    assert found.values.shape == expected.values.shape
    assert np.shape(found.base_values) == np.shape(expected.base_values)
    np.testing.assert_allclose(found.base_values, expected.base_values, rtol=1e-6, atol=1e-9)
    np.testing.assert_array_equal(found.data, expected.data)
    if name == "BPTOwen":
        axes = (1, 2, 3)
        np.testing.assert_allclose(found.values.sum(axes), expected.values.sum(axes), rtol=1e-6, atol=1e-6)
