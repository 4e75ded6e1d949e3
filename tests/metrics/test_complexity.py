"""Concentration of maps, against sums over all pairs and SciPy."""

import numpy as np
import pytest
import torch
from scipy import stats

from xai_ext.metrics import Status, effective_complexity, entropy, gini, hoyer

MAPS = np.random.default_rng(0).integers(-4, 5, (200, 3, 4)).astype(float)
FLAT = np.abs(MAPS.reshape(200, -1))


def test_gini_is_the_mean_difference_of_pairs():
    expected = [np.abs(a[:, None] - a).sum() / (2 * len(a) * a.sum()) for a in FLAT]
    np.testing.assert_allclose(gini(MAPS), expected, atol=1e-12)


def test_entropy_is_scipys():
    np.testing.assert_allclose(entropy(MAPS), [stats.entropy(a) for a in FLAT], atol=1e-12)


def test_hoyer_is_its_formula():
    root = np.sqrt(12)
    expected = [(root - a.sum() / np.linalg.norm(a)) / (root - 1) for a in FLAT]
    np.testing.assert_allclose(hoyer(MAPS), expected, atol=1e-12)


def test_effective_complexity_counts():
    np.testing.assert_array_equal(effective_complexity(MAPS), (FLAT > 0).sum(1))
    np.testing.assert_array_equal(effective_complexity(MAPS, eps=0.6), (FLAT > 0.6 * FLAT.max(1)[:, None]).sum(1))
    np.testing.assert_array_equal(effective_complexity(MAPS, eps=1.0, relative=False), (FLAT > 1).sum(1))
    with pytest.raises(ValueError, match="eps must be at least 0"):
        effective_complexity(MAPS, eps=-1)


@pytest.mark.parametrize("metric", [gini, entropy, hoyer])
def test_zero_maps_have_none_and_extremes_their_ends(metric):
    one = np.zeros(4)
    one[2] = -7
    found = metric(np.stack([np.zeros(4), np.ones(4), one, [1, np.nan, 0, 0]]), return_details=True)
    ends = {gini: (0, 0.75), entropy: (np.log(4), 0), hoyer: (0, 1)}[metric]
    assert found.value.isnan().tolist() == [True, False, False, True]
    assert found.value[1:3].tolist() == pytest.approx(ends, abs=1e-15)
    assert found.status.tolist() == [Status.CONSTANT, Status.CONSTANT, Status.OK, Status.NON_FINITE]


def test_a_single_feature_has_no_sparseness():
    found = hoyer(np.ones((1, 1)), return_details=True)
    assert found.value.isnan().all()
    assert found.status.tolist() == [Status.TOO_FEW]
    assert effective_complexity(np.zeros((1, 4))).item() == 0


@pytest.mark.parametrize("scale", [1e-300, 1e300])
def test_extreme_units_do_not_overflow(scale):
    for metric in (gini, entropy, hoyer, effective_complexity):
        torch.testing.assert_close(metric(MAPS * scale), metric(MAPS), rtol=1e-10, atol=1e-12)


def test_regions_may_be_counted():
    labels = np.array([[0, 0, 1, 1], [0, 0, 1, 1], [2, 2, 2, 2]])
    assert (effective_complexity(np.ones((1, 3, 4)), feature_mask=labels) == 3).all()
    with pytest.raises(TypeError, match=r"gini\(\) has no argument 'masks'"):
        gini(MAPS, masks=None)
