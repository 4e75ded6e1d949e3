"""Kernels, against their definitions on images."""

import numpy as np
import pytest
import torch
from captum.attr._core.lime import get_exp_kernel_similarity_function
from sklearn.metrics import pairwise_distances

from xai_ext import Game, MaskedModel
from xai_ext.methods._kernels import Cosine, Euclidean, PixelCosine, named_kernel
from xai_ext.samplers import Bernoulli

COALITIONS = Bernoulli().ask(13, 40, np.random.default_rng(0))


@pytest.mark.parametrize("width", [0.25, 1.0])
def test_cosine_is_limes_kernel(width):
    rows = np.concatenate([np.ones((1, 13)), COALITIONS])
    distances = pairwise_distances(rows, rows[:1], metric="cosine").ravel()[1:]
    np.testing.assert_allclose(Cosine(width)(COALITIONS), np.exp(-(distances**2) / (2 * width**2)), atol=1e-12)


def test_the_empty_coalition_has_distance_one():
    assert Cosine(0.25)(np.zeros((1, 5), bool))[0] == pytest.approx(np.exp(-8))


def test_euclidean_counts_absent_players():
    np.testing.assert_allclose(Euclidean(2.0)(COALITIONS), np.exp(-(~COALITIONS).sum(1) / 8), atol=1e-12)
    np.testing.assert_allclose(Euclidean()(COALITIONS), Euclidean(0.75 * np.sqrt(13))(COALITIONS))


@pytest.mark.parametrize("width", [0.5, 1.0])
@pytest.mark.parametrize("baseline", [0.0, 0.7])
def test_pixel_cosine_is_captums_kernel_of_the_masked_images(width, baseline):
    torch.manual_seed(0)
    inputs = (torch.randn(1, 3, 6, 5), torch.randn(1, 4))
    labels = (torch.randint(0, 9, (6, 5)), torch.tensor([9, 10, 11, 12]))
    labels[0].view(-1)[:9] = torch.arange(9)
    game = Game(MaskedModel(lambda a, b: a.sum((1, 2, 3)), inputs, (baseline, baseline)), labels)
    captums = get_exp_kernel_similarity_function("cosine", width)
    expected = [captums(inputs, game.images(z[None]), None) for z in COALITIONS]
    np.testing.assert_allclose(PixelCosine(width).on(game)(COALITIONS), expected, atol=1e-6)


def test_names_stand_for_kernels_and_other_things_are_refused():
    assert named_kernel("cosine", 0.5) == Cosine(0.5)
    assert named_kernel("pixel_cosine", 1.0) == PixelCosine(1.0)
    with pytest.raises(ValueError, match="kernel must be one of"):
        named_kernel("gauss", 1.0)
    with pytest.raises(TypeError, match="kernel must be a name or a callable"):
        named_kernel(3, 1.0)


def test_a_kernel_is_a_name_or_a_function_of_coalitions():
    def kernel(coalitions):
        return np.ones(len(coalitions))

    assert named_kernel(kernel, 0.25) is kernel
    with pytest.raises(TypeError, match="a name or a callable of coalitions, got float"):
        named_kernel(0.25, 0.25)
