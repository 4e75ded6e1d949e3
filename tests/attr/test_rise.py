"""RISE as a Captum class."""

import numpy as np
import pytest
import torch
from torch import nn

from tests.attr.conformance import CaptumConformance
from xai_ext import MaskedModel
from xai_ext.attr import RISE
from xai_ext.methods.rise import GridMasks, rise


class TestConformance(CaptumConformance):
    make = RISE
    name = "RISE"


def score(x):
    return x[:, 0, 4:7, 2:5].mean((1, 2)) * x[:, 1].mean((1, 2))


X = torch.rand(2, 2, 12, 9, generator=torch.Generator().manual_seed(0))


def test_positions_carry_the_methods_values_on_every_channel():
    got = RISE(score).attribute(X, n_samples=60, seed=3, cells=3)
    assert got.shape == X.shape
    assert torch.equal(got[:, 0], got[:, 1])
    expected = rise(MaskedModel(score, X[1:], batch_size=1), GridMasks(3), budget=60, rng=3).region_map()
    np.testing.assert_allclose(got[1, 0], expected, rtol=1e-5, atol=1e-7)


def test_the_map_without_channels():
    whole = RISE(score).attribute(X, n_samples=60, seed=3)
    one = RISE(score).attribute(X, n_samples=60, seed=3, return_input_shape=False)
    assert one.shape == (2, 1, 12, 9)
    assert torch.equal(one, whole[:, :1])


def test_all_outputs_are_explained_without_a_target():
    model = nn.Sequential(nn.Flatten(), nn.Linear(216, 3)).eval()
    both = RISE(model).attribute(X, n_samples=40, seed=0)
    assert both.shape == (2, 3, 2, 12, 9)
    torch.testing.assert_close(both[:, 1], RISE(model).attribute(X, target=1, n_samples=40, seed=0))


def test_spatial_dims_makes_gray_images_images():
    got = RISE(lambda x: x[:, 3, 4]).attribute(X[:, 0], n_samples=40, seed=0, spatial_dims=2, cells=4)
    assert got.shape == (2, 12, 9)
    assert np.unravel_index(int(got[0].argmax()), (12, 9)) == pytest.approx((3, 4), abs=1)


def test_every_argument_of_the_method_arrives():
    names = ("cells", "keep_probability", "estimator")
    e = RISE(score).explain(X[:1], n_samples=500, seed=0, cells=(2, 3), keep_probability=0.3, estimator="beta", tol=9.0)
    assert [e[0].diagnostics[n] for n in names] == [(2, 3), 0.3, "beta"]
    assert e[0].diagnostics["stop"] == "tol"


def test_the_docstring_says_what_the_values_are_not():
    assert "not Shapley values" in RISE.__doc__
