"""Every sampler, also one that is written tomorrow: shapes, laws and exact counts under random settings."""

import importlib
import inspect
import pkgutil
from math import comb

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import xai_ext.samplers
from tests.laws import GeneratorsUntouched
from tests.strategies import SEEDS
from xai_ext._checks import InputError, InputTypeError
from xai_ext.methods.lime import Cosine, Euclidean
from xai_ext.samplers import Antithetic, Bernoulli, Foldover, Stratified, named_sampler
from xai_ext.samplers._named import SAMPLERS
from xai_ext.testing.oracles import all_coalitions

DOCUMENTED = (InputError, InputTypeError)
PAIRED = ("pair", "orthogonal pair", "stratum of pairs")
SIGMAS = 8  # of a mean of independent pairs: 1e-15 per comparison


class Adaptive:
    """What a sampler with ``tell`` looks like: after an answer it draws with another probability."""

    group, p = "row", 0.5

    def ask(self, n, size, rng):
        return Bernoulli(self.p).ask(n, size, rng)

    def log_law(self, n):
        return Bernoulli(self.p).log_law(n)

    def tell(self, coalitions, values):
        self.p = 0.25 if values.any() else 0.5


def found():
    """The samplers of the package by introspection."""
    modules = [
        importlib.import_module(m.name) for m in pkgutil.iter_modules(xai_ext.samplers.__path__, "xai_ext.samplers.")
    ]
    classes = [c for m in modules for _, c in inspect.getmembers(m, inspect.isclass) if c.__module__ == m.__name__]
    return {c.__name__: c for c in classes if hasattr(c, "ask") and not getattr(c, "_is_protocol", False)}


CLASSES = found() | {"Adaptive": Adaptive}


@st.composite
def laws(draw, n):
    """Probabilities of the sizes, some of them none."""
    weights = np.array(draw(st.lists(st.sampled_from([0, 0, 1, 2, 7, 1e-9]), min_size=n + 1, max_size=n + 1)), float)
    if draw(st.booleans()):
        weights = weights + weights[::-1]
    return weights / weights.sum() if weights.any() else weights


KERNELS = st.one_of(
    st.floats(0.01, 10).map(Cosine),
    st.floats(0.01, 10).map(Euclidean),
    st.sampled_from([lambda z: np.zeros(len(z)), lambda z: np.full(len(z), np.nan), lambda z: z[:, :1] * 1.0]),
)


@st.composite
def samplers(draw, name, n):
    """One of that class, with settings where they are known; it may be refused."""
    if name == "Bernoulli":
        return Bernoulli(draw(st.one_of(st.floats(1e-3, 0.999), st.floats())))
    if name == "Antithetic":
        return Antithetic(draw(st.one_of(st.just(Bernoulli()), samplers("Stratified", n), samplers("Bernoulli", n))))
    if name == "Stratified":
        law = draw(st.one_of(st.sampled_from(["uniform", "binomial", "shapley", "kernel", "unknown"]), laws(n)))
        kernel = draw(KERNELS) if isinstance(law, str) and law == "kernel" else None
        return Stratified(law, draw(st.booleans()), draw(st.sampled_from(["fixed", "iid"])), kernel)
    return CLASSES[name]()


@pytest.mark.parametrize("name", CLASSES)
@given(st.data())
def test_a_sampler_gives_lawful_coalitions_or_a_documented_error(name, data):
    n, size, seed = data.draw(st.integers(-1, 12)), data.draw(st.integers(-1, 80)), data.draw(SEEDS)
    try:
        sampler = data.draw(samplers(name, max(n, 0)))
        law = np.exp(sampler.log_law(n))
        with GeneratorsUntouched():
            first = sampler.ask(n, size, np.random.default_rng(seed))
    except DOCUMENTED as error:
        assert str(error)
        return
    assert n >= 0
    assert size >= 0
    assert (first.shape, first.dtype) == ((size, n), bool)
    assert law.shape == (n + 1,)
    assert abs(law.sum() - 1) < 1e-9
    assert (law[first.sum(1)] > 0).all()
    np.testing.assert_array_equal(sampler.ask(n, size, np.random.default_rng(seed)), first)
    if sampler.group in PAIRED:
        np.testing.assert_array_equal(first[1::2], ~first[: size // 2 * 2 : 2])
    if hasattr(sampler, "tell"):
        sampler.tell(first, np.arange(float(size)))
        assert sampler.ask(n, size, np.random.default_rng(seed)).shape == (size, n)


@given(st.data())
def test_the_law_is_the_enumeration_of_all_coalitions(data):
    n, p = data.draw(st.integers(1, 10)), data.draw(st.floats(0.01, 0.99))
    z = all_coalitions(n)
    sizes, kernel = z.sum(1), Cosine(data.draw(st.floats(0.05, 2)))
    inside = (sizes > 0) & (sizes < n)
    weights = {
        Bernoulli(p): p**sizes * (1 - p) ** (n - sizes),
        Foldover(): np.ones(2**n),
        Antithetic(): np.ones(2**n),
        Stratified(): 1 / np.array([comb(n, s) for s in sizes]),
        Stratified("shapley"): [1 / (comb(n, s) * s * (n - s)) if i else 0 for s, i in zip(sizes, inside, strict=True)],
        Stratified("kernel", kernel=kernel): np.sqrt(np.exp(-(((1 - np.sqrt(sizes / n)) / kernel.width) ** 2))),
    }
    for sampler, weight in weights.items():
        by_size = np.bincount(sizes, weight, minlength=n + 1)
        if by_size.any():  # KernelSHAP's law has no size for one player
            np.testing.assert_allclose(np.exp(sampler.log_law(n)), by_size / by_size.sum(), rtol=1e-9, atol=1e-300)


@given(st.data())
def test_strata_hold_the_share_of_their_law_up_to_one_row(data):
    n, size, pairs = data.draw(st.integers(1, 10)), data.draw(st.integers(1, 90)), data.draw(st.booleans())
    try:
        sampler = Stratified(data.draw(st.one_of(st.sampled_from(["uniform", "binomial", "shapley"]), laws(n))), pairs)
        drawn = sampler.ask(n, size, np.random.default_rng(data.draw(SEEDS)))
    except InputError:
        return
    off = np.abs(np.bincount(drawn.sum(1), minlength=n + 1) - size * np.exp(sampler.log_law(n)))
    limit = np.ones(n + 1) if not pairs else np.where(2 * np.arange(n + 1) == n, 2, 1) + size % 2
    assert (off < limit + 1e-6).all()


@pytest.mark.parametrize("name", SAMPLERS)
@given(st.data())
def test_players_and_sizes_are_drawn_as_often_as_the_law_says(name, data):
    n, rows = data.draw(st.integers(1, 10)), 400
    sampler = named_sampler(name, Cosine(data.draw(st.floats(0.1, 1))))
    drawn = sampler.ask(n, rows, np.random.default_rng(data.draw(SEEDS)))
    law = np.exp(sampler.log_law(n))
    error = SIGMAS * np.sqrt(0.5 / rows)  # of pairs: half as many, each of variance at most 1/4
    assert np.abs(drawn.mean(0) - (law * np.arange(n + 1)).sum() / n).max() < error
    assert np.abs(np.bincount(drawn.sum(1), minlength=n + 1) / rows - law).max() < error


@given(st.integers(1, 12), st.lists(st.integers(0, 30), max_size=4), st.floats(0.01, 0.99), SEEDS)
def test_independent_rows_do_not_depend_on_how_many_are_asked_for_at_once(n, sizes, p, seed):
    rng, whole = np.random.default_rng(seed), Bernoulli(p).ask(n, sum(sizes), np.random.default_rng(seed))
    parts = [np.zeros((0, n), bool), *(Bernoulli(p).ask(n, size, rng) for size in sizes)]
    np.testing.assert_array_equal(np.concatenate(parts), whole)
