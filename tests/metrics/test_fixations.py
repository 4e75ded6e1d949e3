"""Maps against fixations, by hand."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from tests.metrics.examples import scenes
from xai_ext.metrics import auc_judd, nss

MAPS, MASKS = scenes(8)


@pytest.mark.parametrize("ddof", [0, 1])
def test_nss_is_the_mean_z_score(ddof):
    expected = [((a - a.mean()) / a.std(ddof=ddof))[m].mean() for a, m in zip(MAPS, MASKS, strict=True)]
    np.testing.assert_allclose(nss(MAPS, MASKS, ddof=ddof), expected, atol=1e-12)


def test_without_ties_judds_area_is_nearly_the_roc():
    maps = np.random.default_rng(0).normal(size=MAPS.shape)
    expected = [roc_auc_score(m.ravel(), a.ravel()) for a, m in zip(maps, MASKS, strict=True)]
    found = auc_judd(maps, MASKS)
    # thresholds at fixations only: each of the trapezoids misses less than one step of the curve
    np.testing.assert_allclose(found, expected, atol=0.5 / MASKS.sum((1, 2)).min() + 1e-12)


def test_judds_area_by_hand():
    saliency = np.array([[[9.0, 8, 7], [6, 5, 4]]])
    fixated = np.array([[[1, 0, 1], [0, 0, 0]]])
    # thresholds 9 and 7: (0, 1/2), (1/4, 1), then (1, 1)
    assert auc_judd(saliency, fixated).item() == pytest.approx((0.5 + 1) / 2 * 0.25 + 0.75)


def test_undefined_examples_are_nan_alone():
    maps, masks = MAPS.copy(), MASKS.copy()
    maps[0, 0, 0], masks[1], maps[2], masks[3] = np.nan, False, 1.0, True
    assert nss(maps, masks)[:5].isnan().tolist() == [True, True, True, False, False]
    assert auc_judd(maps, masks)[:5].isnan().tolist() == [True, True, False, True, False]


def test_shapes_must_fit():
    with pytest.raises(ValueError, match="fixations must have the shape of the maps"):
        nss(MAPS, MASKS[:, :4])
