"""Distances of maps; their numbers against SciPy are in `test_vectors.py`."""

import numpy as np
import pytest
import torch
from scipy.stats import wasserstein_distance

from xai_ext.metrics import emd, js_distance, kl, l2, sim

A, B = np.random.default_rng(0).random((2, 4, 5, 6))


@pytest.mark.parametrize("distance", [l2, js_distance, emd])
def test_it_is_zero_for_equal_maps_and_symmetric(distance):
    np.testing.assert_allclose(distance(A, A), 0, atol=1e-7)
    torch.testing.assert_close(distance(A, B), distance(B, A), rtol=1e-9, atol=1e-12)


def test_mass_moves_as_far_as_it_is_moved():
    a, b = np.zeros((2, 1, 7, 9))
    a[0, 1, 2], b[0, 4, 6] = 3, 9
    assert emd(a, b).item() == pytest.approx(5)
    rows = A[:1, :1, :], B[:1, :1, :]
    expected = wasserstein_distance(range(6), range(6), *(r.ravel() for r in rows))
    assert emd(*rows).item() == pytest.approx(expected, abs=1e-9)


def test_divergence_from_a_map_without_mass_there_is_infinite():
    a, b = np.array([[1.0, 0]]), np.array([[1.0, 1]])
    assert kl(a, b).item() == np.inf
    assert kl(b, a).item() == pytest.approx(np.log(2))
    assert sim(a, b).item() == pytest.approx(0.5)
    assert js_distance(np.array([[1.0, 0]]), np.array([[0.0, 1]])).item() == pytest.approx(1)


def test_undefined_examples_are_nan_alone():
    a = A.copy()
    a[0], a[1, 0, 0] = 0, np.nan
    for distance in (js_distance, kl, sim, emd):
        for found in (distance(a, B), distance(B, a)):
            assert found.isnan().tolist() == [True, True, False, False]


@pytest.mark.parametrize(
    ("function", "maps", "message"),
    [
        (kl, (-A, B), "negative values"),
        (emd, (np.ones((1, 33, 32)), np.ones((1, 33, 32))), "at most 1024 pixels"),
        (emd, (np.ones((1, 9)), np.ones((1, 9))), "emd compares images"),
        (l2, (A, B[:, :4]), "same shapes"),
        (l2, (A, B[:2]), "as many examples"),
    ],
)
def test_what_cannot_be_compared_is_refused(function, maps, message):
    with pytest.raises(ValueError, match=message):
        function(*maps)
