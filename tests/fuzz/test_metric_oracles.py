"""Metrics of random maps against other libraries, brute force and what must not matter by definition."""

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats
from scipy.spatial.distance import cosine
from sklearn import metrics as peers

from tests.strategies import SEEDS
from xai_ext import metrics
from xai_ext.metrics import Absolute, Protocol, detection
from xai_ext.metrics._agreeing import TOP, WHOLE

SIDES = st.integers(1, 9)
RANKED = ("roc_auc", "average_precision", "rank_accuracy", "au_iou", "max_iou", "pointing_game")
BY_RANK = ("spearman", "kendall", "weighted_tau", "rank_correlation", "pairwise_rank_agreement", *TOP)


@st.composite
def some(draw, n):
    """(n,) with few ties, many or none."""
    rng = np.random.default_rng(draw(SEEDS))
    return draw(st.sampled_from([rng.normal(size=n), rng.integers(-2, 3, n) / 2.0, rng.permutation(n) - n / 3]))


@st.composite
def scenes(draw):
    """(map, mask), each (h, w); object and rest are there."""
    h, w = draw(SIDES), draw(SIDES)
    assume(h * w > 1)
    mask = np.zeros(h * w, bool)
    mask[np.random.default_rng(draw(SEEDS)).permutation(h * w)[: draw(st.integers(1, h * w - 1))]] = True
    return draw(some(h * w)).reshape(h, w), mask.reshape(h, w)


@st.composite
def pairs(draw):
    n = draw(st.integers(2, 30))
    a, b = draw(some(n)), draw(some(n))
    assume(np.ptp(a) > 0)
    assume(np.ptp(b) > 0)
    return a, b


def of(name, saliency, mask, **options):
    return float(getattr(metrics, name)(saliency[None], mask[None], **options))


@given(scenes())
def test_separation_is_scikit_learns(scene):
    saliency, mask = scene
    for name, peer in (("roc_auc", peers.roc_auc_score), ("average_precision", peers.average_precision_score)):
        assert of(name, saliency, mask) == pytest.approx(peer(mask.ravel(), saliency.ravel()), abs=1e-12)


@given(scenes(), st.floats(-2, 2))
def test_overlap_is_scikit_learns(scene, level):
    saliency, mask = scene
    predicted = (saliency >= level).ravel()
    expected = {
        "iou": peers.jaccard_score(mask.ravel(), predicted, zero_division=0),
        "f_score": peers.f1_score(mask.ravel(), predicted, zero_division=0),
        "precision": peers.precision_score(mask.ravel(), predicted, zero_division=np.nan),
        "recall": peers.recall_score(mask.ravel(), predicted),
    }
    for name, value in expected.items():
        found = of(name, saliency, mask, threshold=Absolute(level))
        assert found == pytest.approx(value, abs=1e-12, nan_ok=True)


@pytest.mark.parametrize("name", RANKED)
@given(data=st.data())
def test_only_the_ranking_of_pixels_matters_and_not_where_they_are(name, data):
    saliency, mask = data.draw(scenes())
    rng = np.random.default_rng(data.draw(SEEDS))
    levels, group = np.unique(saliency, return_inverse=True)
    other = np.sort(rng.normal(size=len(levels)) * 10 ** rng.uniform(-9, 9))[group.ravel()]
    order = rng.permutation(mask.size)
    moved = other[order].reshape(mask.shape), mask.ravel()[order].reshape(mask.shape)
    assert of(name, *moved) == pytest.approx(of(name, saliency, mask), abs=1e-12)


@given(pairs())
def test_rank_correlations_are_scipys(pair):
    a, b = pair
    expected = {
        "spearman": stats.spearmanr(a, b).statistic,
        "kendall": stats.kendalltau(a, b).statistic,
        "weighted_tau": stats.weightedtau(a, b).statistic,
        "pearson": stats.pearsonr(a, b).statistic,
    }
    if a.any() and b.any():
        expected["cosine"] = 1 - cosine(a, b)
    for name, value in expected.items():
        assert metrics.agreement(a[None], b[None], name).item() == pytest.approx(value, abs=1e-9)


@pytest.mark.parametrize("name", [*TOP, *WHOLE])
@given(data=st.data())
def test_agreement_has_no_direction_and_knows_no_order_of_features(name, data):
    a, b = data.draw(pairs())
    k = data.draw(st.integers(1, len(a)))
    order = np.random.default_rng(data.draw(SEEDS)).permutation(len(a))

    def alike(x, y):
        return metrics.agreement(x[None], y[None], name, k=k, ranking="signed").item()

    found = alike(a, b)
    assert alike(b, a) == pytest.approx(found, abs=1e-12)
    assert alike(a[order], b[order]) == pytest.approx(found, abs=1e-12)
    if name in BY_RANK and "sign" not in name:
        assert alike(3 * a + 7, b) == pytest.approx(found, abs=1e-12)


@given(pairs())
def test_concordance_is_the_mean_of_spearmans(pair):
    a, b = (x.argsort().argsort().astype(float) for x in pair)
    c = np.roll(a, 1)
    rhos = [stats.spearmanr(x, y).statistic for x, y in ((a, b), (a, c), (b, c))]
    found = metrics.kendall_w([a[None], b[None], c[None]], "signed").item()
    assert (3 * found - 1) / 2 == pytest.approx(np.mean(rhos), abs=1e-9)


@given(st.integers(1, 25).flatmap(some))
def test_complexity_is_that_of_the_definitions(a):
    assume(a.any())
    size = np.abs(a)
    gaps = np.abs(size[:, None] - size).sum()
    assert metrics.entropy(a[None]).item() == pytest.approx(stats.entropy(size), abs=1e-9)
    assert metrics.gini(a[None]).item() == pytest.approx(gaps / (2 * len(a) * size.sum()), abs=1e-9)


@given(pairs())
def test_distances_are_those_of_the_definitions(pair):
    a, b = (np.abs(x) for x in pair)
    p, q = a / a.sum(), b / b.sum()
    middle = (p + q) / 2
    divergence = (stats.entropy(p, middle, base=2) + stats.entropy(q, middle, base=2)) / 2
    found = {name: getattr(metrics, name)(a[None, None], b[None, None]).item() for name in ("js_distance", "sim", "kl")}
    assert found["js_distance"] ** 2 == pytest.approx(divergence, abs=1e-9)
    assert found["sim"] == pytest.approx(1 - np.abs(p - q).sum() / 2, abs=1e-9)
    with np.errstate(all="ignore"):
        assert found["kl"] == pytest.approx(np.where(q > 0, q * np.log(q / p), 0).sum(), abs=1e-9)
    at = np.arange(len(p))
    assert metrics.emd(a[None, None], b[None, None]).item() == pytest.approx(
        stats.wasserstein_distance(at, at, p, q), abs=1e-6
    )


@given(st.integers(2, 30).flatmap(lambda n: st.tuples(some(n), SEEDS)))
def test_detection_is_scikit_learns(drawn):
    scores, seed = drawn
    truth = np.random.default_rng(seed).random(len(scores)) < 0.5
    assume(truth.any())
    assume(not truth.all())
    assert detection.auroc(scores, truth) == pytest.approx(peers.roc_auc_score(truth, scores), abs=1e-12)
    best = max(peers.f1_score(truth, scores >= t) for t in np.unique(scores))
    assert detection.f1_max(scores, truth).value == pytest.approx(best, abs=1e-12)


@st.composite
def small_games(draw):
    """A tiny image (1, C, h, w), a map (1, h, w), a baseline and weights of a model that is not additive."""
    c, h, w = draw(st.tuples(st.integers(1, 3), st.integers(1, 3), st.integers(1, 3)))
    rng = np.random.default_rng(draw(SEEDS))
    x, weights = (torch.from_numpy(rng.normal(size=(1, c, h, w))) for _ in range(2))
    return x, draw(some(h * w)).reshape(1, h, w), float(rng.normal()), weights


@given(small_games(), st.booleans())
def test_curves_are_those_of_removing_each_group_of_ties(game, insert):
    x, saliency, baseline, weights = game

    def model(images):
        return (images * weights).flatten(1).sum(1).tanh() + images.flatten(1).amax(1)

    scores, shares = [], []
    for level in [np.inf, *np.unique(saliency)[::-1]]:
        moved = torch.from_numpy(saliency >= level)[:, None]
        scores.append(model(torch.where(moved == insert, x, baseline)).item())
        shares.append(moved.double().mean().item())
    function = metrics.insertion if insert else metrics.deletion
    found = function(model, x, saliency, baseline, protocol=Protocol(n_steps=9), return_curve=True)
    np.testing.assert_allclose(found.curve[0], scores, atol=1e-12)
    np.testing.assert_allclose(found.fractions[0], shares, atol=1e-12)
    assert found.auc.item() == pytest.approx(np.trapezoid(scores, shares), abs=1e-12)
    both = metrics.deletion_insertion(model, x, saliency, baseline, protocol=Protocol(n_steps=9))
    assert (both.insertion if insert else both.deletion).item() == pytest.approx(found.auc.item(), abs=1e-12)
    gap = metrics.srg(model, x, saliency, baseline, protocol=Protocol(n_steps=9))
    assert gap.item() == pytest.approx((both.insertion - both.deletion).item(), abs=1e-12)


@given(small_games(), SEEDS)
def test_curves_know_neither_the_scale_of_a_map_nor_the_order_of_pixels(game, seed):
    x, saliency, baseline, _ = game

    def model(images):  # the same of all pixels
        return images.sum(1).flatten(1).logsumexp(1)

    order = np.random.default_rng(seed).permutation(saliency.size)
    n, c, h, w = x.shape
    moved = x.reshape(n, c, -1)[:, :, order].reshape(x.shape), saliency.reshape(-1)[order].reshape(1, h, w) ** 3 * 7
    found = [metrics.deletion(model, *one, baseline).item() for one in ((x, saliency), moved)]
    assert found[0] == pytest.approx(found[1], abs=1e-9)
