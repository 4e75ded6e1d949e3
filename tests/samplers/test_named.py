"""Samplers by name."""

import pytest

from xai_ext.samplers import Antithetic, Bernoulli, Stratified, named_sampler


def test_names_stand_for_samplers():
    assert [named_sampler(n) for n in ("mc", "antithetic", "stratified")] == [Bernoulli(), Antithetic(), Stratified()]


def test_an_instance_passes():
    sampler = Bernoulli(0.3)
    assert named_sampler(sampler) is sampler


def test_an_unknown_name_suggests_the_nearest():
    with pytest.raises(ValueError, match="did you mean 'stratified'"):
        named_sampler("stratifed")


def test_something_else_is_a_type_error():
    with pytest.raises(TypeError, match="sampler must be a name or have"):
        named_sampler(3)
