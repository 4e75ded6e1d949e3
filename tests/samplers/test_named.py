"""Samplers by name."""

import numpy as np
import pytest

from xai_ext._checks import InputError, InputTypeError
from xai_ext.methods.lime import Cosine
from xai_ext.samplers import Antithetic, Bernoulli, Foldover, Stratified, named_sampler
from xai_ext.samplers._named import SAMPLERS


def test_names_stand_for_samplers():
    assert [named_sampler(n) for n in ("mc", "antithetic", "stratified")] == [Bernoulli(), Antithetic(), Stratified()]
    assert named_sampler("foldover") == Foldover()
    assert named_sampler("stratified_pairs") == Stratified(pairs=True)
    assert named_sampler("published") == Stratified(allocation="iid")
    assert named_sampler("glime", Cosine(0.5)) == Stratified("kernel", kernel=Cosine(0.5))


def test_glime_needs_the_kernel_that_it_draws_from():
    with pytest.raises(ValueError, match="law='kernel' and kernel="):
        named_sampler("glime")


def test_an_instance_passes():
    sampler = Bernoulli(0.3)
    assert named_sampler(sampler) is sampler


def test_an_unknown_name_suggests_the_nearest():
    with pytest.raises(ValueError, match="did you mean 'stratified'"):
        named_sampler("stratifed")


def test_something_else_is_a_type_error():
    with pytest.raises(TypeError, match="sampler must be a name or have"):
        named_sampler(3)


@pytest.mark.parametrize("name", SAMPLERS)
class TestEdges:
    def test_nobody_and_no_rows_are_empty_arrays(self, name):
        sampler = named_sampler(name, Cosine())
        assert sampler.ask(0, 0, np.random.default_rng(0)).shape == (0, 0)
        assert sampler.ask(0, 3, np.random.default_rng(0)).shape == (3, 0)

    @pytest.mark.parametrize(("n", "size"), [(-1, 3), (3, -1), (2.0, 3), (3, True)])
    def test_no_numbers_of_players_and_rows_are_refused(self, name, n, size):
        with pytest.raises((InputError, InputTypeError), match=r"(n|size) must be"):
            named_sampler(name, Cosine()).ask(n, size, np.random.default_rng(0))


@pytest.mark.parametrize(
    "kernel", [lambda z: np.zeros(len(z)), lambda z: np.full(len(z), np.nan), lambda z: z[:, :1] * 1.0]
)
def test_a_kernel_without_weights_is_refused(kernel):
    with pytest.raises(InputError, match="kernel"):
        named_sampler("glime", kernel).ask(4, 10, np.random.default_rng(0))
