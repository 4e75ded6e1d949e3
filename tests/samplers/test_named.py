"""Samplers by name."""

import pytest

from xai_ext.methods.lime import Cosine
from xai_ext.samplers import Antithetic, Bernoulli, Foldover, Stratified, named_sampler


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
