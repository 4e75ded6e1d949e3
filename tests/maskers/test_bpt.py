"""The masker whose pixels form a tree."""

import io
import pickle

import numpy as np
import pytest
import shap
from scipy.cluster.hierarchy import is_valid_linkage, ward
from scipy.ndimage import uniform_filter

from tests.trees import chain, members
from xai_ext.hierarchies import Hierarchy, axis_aligned, balanced, bpt
from xai_ext.maskers import BPT
from xai_ext.maskers._pixel_linkage import check_depths
from xai_ext.segmentation import grid

IMAGES = np.random.default_rng(0).random((3, 6, 8, 3))
X = IMAGES[0]
LABELS = grid(X, rows=2, columns=2)
SHAPES = [(1, 1), (1, 2), (2, 1), (3, 5), (40, 100), (224, 224)]


def model(images):
    return np.sin(images.reshape(len(images), -1).cumsum(1)).sum(1)


def counted(images, rows):
    rows.append(len(images))
    return model(images)


def check_linkage(linkage, n):
    """What SHAP takes for granted, found by walking the rows."""
    assert linkage.shape == (n - 1, 4)
    assert linkage.dtype == np.float64
    sizes, used = np.r_[np.ones(n), linkage[:, 3]], set()
    for k, (a, b) in enumerate(linkage[:, :2].astype(int).tolist()):
        assert 0 <= a < b < n + k
        assert not {a, b} & used
        used |= {a, b}
        assert linkage[k, 3] == sizes[a] + sizes[b]


class TestLinkage:
    @pytest.mark.parametrize("shape", SHAPES)
    @pytest.mark.parametrize("hierarchy", ["bpt", "axis_aligned", lambda image, labels: balanced(labels.max() + 1)])
    @pytest.mark.parametrize("regions", [False, True])
    def test_every_hierarchy_gives_a_linkage_that_shap_can_walk(self, shape, hierarchy, regions):
        x = np.random.default_rng(1).random((*shape, 3))
        n = shape[0] * shape[1]
        labels = np.random.default_rng(2).permutation(np.arange(n) % min(n, 7)).reshape(shape) if regions else None
        linkage = BPT(x, 0.0, labels, hierarchy).clustering(x)
        check_linkage(linkage, n)
        n_regions = n if labels is None else labels.max() + 1
        np.testing.assert_array_equal(linkage[:, 2], np.r_[np.full(n - n_regions, -1), np.arange(1, n_regions)])

    def test_without_labels_it_is_the_tree_of_the_pixels(self):
        linkage = BPT(X).clustering(X)
        np.testing.assert_array_equal(linkage[:, [0, 1, 3]], bpt(X).merges[:, [0, 1, 3]])
        assert is_valid_linkage(linkage)

    def test_regions_are_whole_nodes_and_their_pixels_are_joined_by_halves(self):
        labels = np.random.default_rng(3).integers(0, 5, (6, 8))
        tree = balanced(5)
        masker = BPT(X, 0.0, labels, tree)
        linkage = Hierarchy.from_merges(masker.clustering(X))
        inside = linkage.merges[:, 2] < 0
        sets = members(linkage)
        for region in range(5):
            assert set(np.flatnonzero(labels.ravel() == region)) in sets
        merged = [{labels.ravel()[p] for p in pixels} for pixels in sets[48:]]
        assert [len(m) == 1 for m in merged] == inside.tolist()
        assert [m for m in merged if len(m) > 1] == members(tree)[5:]
        child_sizes = np.array([[len(sets[c]) for c in row] for row in linkage.children[inside].tolist()])
        assert (np.abs(np.diff(child_sizes)) <= 1).all()

    def test_one_region_is_never_divided(self):
        masker = BPT(X, 0.0, np.zeros((6, 8), int))
        assert (masker.clustering(X)[:, 2] == -1).all()
        assert masker.merges_of(X).shape == (0, 4)

    @pytest.mark.parametrize(
        ("edit", "match"),
        [
            (lambda m: m.__setitem__((3, 3), 17), "column 3 of merges must count players"),
            (lambda m: m.__setitem__(slice(None), m[::-1].copy()), "merges must be topological"),
            (lambda m: m.__setitem__((5, 0), m[4, 0]), "each id must be merged once"),
        ],
        ids=["size", "reversed", "twice"],
    )
    def test_a_broken_linkage_is_refused_before_shap_walks_it(self, edit, match):
        merges = axis_aligned((6, 8)).merges.copy()
        edit(merges)
        with pytest.raises(ValueError, match=match):
            check_depths(merges)
        masker = BPT(X, hierarchy=lambda image, labels: Hierarchy.from_merges(merges))
        with pytest.raises(ValueError, match=match):
            shap.Explainer(model, masker)(X[None], silent=True)

    def test_a_chain_is_refused_with_the_fix_and_its_depth(self):
        x = np.zeros((1, 5001, 1))
        masker = BPT(x, hierarchy=Hierarchy.from_merges(chain(5001)))
        with pytest.raises(ValueError, match=r"depth at most 1,000 .* got depth 5,000 .* fix: labels="):
            shap.Explainer(model, masker)(x[None], silent=True)
        assert len(check_depths(chain(1001))) == 1000

    def test_many_pixels_at_a_depth_that_one_pixel_may_have_are_refused(self):
        # 64 chains of 900 pixels: the mean depth is 456, so 57,600 pixels have 26 million ancestors
        chains, tops = chain(900), balanced(64).merges
        rows = np.concatenate([_placed(chains, 900, 57_600, k) for k in range(64)])
        last = 57_600 + 899 * np.arange(1, 65) - 1
        tops = np.column_stack([np.r_[last, 57_600 + len(rows) + np.arange(63)][tops[:, :2].astype(int)],
                                tops[:, 2], 900 * tops[:, 3]])  # fmt: skip
        tree = Hierarchy.from_merges(np.concatenate([rows, tops]))
        with pytest.raises(ValueError, match=r"sum to at most 20,000,000, got depth 905 and sum 26,"):
            BPT((240, 240, 1), hierarchy=tree).clustering(np.zeros((240, 240, 1)))


def _placed(merges, size, n, k):
    """The k-th of several trees of `size` players among n."""
    ids = np.r_[size * k + np.arange(size), n + (size - 1) * k + np.arange(size - 1)]
    return np.column_stack([ids[merges[:, :2].astype(int)], merges[:, 2:]])


class TestUnpatchedShap:
    @pytest.mark.parametrize("labels", [None, LABELS], ids=["pixels", "regions"])
    @pytest.mark.parametrize("baseline", [0.2, "blur(3,3)", "mean"])
    def test_auto_is_the_partition_explainer_and_values_sum_to_the_score(self, labels, baseline):
        explainer = shap.Explainer(model, BPT(X, baseline, labels))
        assert type(explainer) is shap.PartitionExplainer
        result = explainer(IMAGES, max_evals=60, silent=True)
        assert result.values.shape == (3, 6, 8, 1)
        np.testing.assert_allclose(result.values.sum((1, 2, 3)) + result.base_values, model(IMAGES), atol=1e-6)

    @pytest.mark.parametrize(("tree", "cost"), [(Hierarchy.from_merges(chain(4)), 16), (balanced(4), 12)])
    def test_four_regions_cost_what_their_tree_costs_and_have_one_value_each(self, tree, cost):
        x = np.random.default_rng(4).random((1, 8, 8, 3))
        labels, rows = grid(x[0], rows=2), []
        explainer = shap.Explainer(lambda images: counted(images, rows), BPT(x[0], 0.1, labels, tree))
        result = explainer(x, max_evals=5000, silent=True)
        assert sum(rows) == cost == tree.exact_cost
        for region in range(4):
            values = result.values[0, ..., 0][labels == region]
            np.testing.assert_allclose(values, values[0], rtol=1e-12)
        assert len(np.unique(result.values.round(12))) == 4
        assert result.values.sum() + result.base_values[0] == pytest.approx(model(x)[0], abs=1e-12)

    def test_the_baseline_is_evaluated_once_where_it_is_the_same_for_all_rows(self):
        evaluations = []
        for baseline in (0.2, "mean"):
            rows = []
            masker = BPT(X, baseline, LABELS)
            shap.Explainer(lambda images, rows=rows: counted(images, rows), masker)(IMAGES, max_evals=4, silent=True)
            evaluations.append(sum(rows))
        assert evaluations == [1 + 3 * 3, 3 * 4]


class TestCache:
    def test_a_tree_is_built_once_per_content(self):
        built = []

        def hierarchy(image, labels):
            built.append(image.copy())
            return balanced(labels.max() + 1)

        masker, x = BPT(X, 0.0, hierarchy=hierarchy), X.copy()
        for row in (x, x.copy(), x):
            masker.clustering(row)
            masker.merges_of(row)
        assert len(built) == 1
        x[0, 0, 0] += 1
        masker.clustering(x)
        assert len(built) == 2

    def test_eight_rows_are_remembered(self):
        built = []

        def hierarchy(image, labels):
            built.append(None)
            return balanced(labels.max() + 1)

        masker = BPT(X, 0.0, hierarchy=hierarchy)
        rows = np.random.default_rng(5).random((9, *X.shape))
        for row in [*rows[:8], *rows[:8]]:
            masker.clustering(row)
        assert len(built) == 8
        masker.clustering(rows[8])
        masker.clustering(rows[0])
        assert len(built) == 10
        for row in (rows[2], rows[1], rows[2]):  # the row used last is forgotten last
            masker.clustering(row)
        assert len(built) == 11

    def test_fifty_images_in_a_row_all_get_their_own_blur_and_tree(self):
        masker = BPT(X.shape, "blur(3,3)")
        for seed in range(50):
            x = np.random.default_rng(seed).random(X.shape)  # ids of dead arrays are reused
            np.testing.assert_allclose(masker(False, x)[0][0], uniform_filter(x, (3, 3, 1), mode="mirror"))
            np.testing.assert_array_equal(masker.merges_of(x), bpt(x).merges)


class TestMembers:
    def test_what_shap_reads(self):
        masker = BPT(X, 0.0)
        assert masker.shape == (1, 48)
        assert masker.image_shape == (6, 8, 3)
        assert masker.image_data is masker.immutable_outputs is True
        assert masker.default_batch_size == 64
        assert masker.mask_shapes(X) == [(6, 8, 1)]
        for absent in ("invariants", "supports_delta_masking", "reset_delta_masking", "data_transform"):
            assert not hasattr(masker, absent)

    @pytest.mark.parametrize(
        ("baseline", "fixed"), [(0.5, True), (X, True), ("mean", False), ("blur(3,3)", False), (lambda x: x, False)]
    )
    def test_the_background_is_fixed_where_it_does_not_depend_on_the_row(self, baseline, fixed):
        assert BPT(X, baseline).fixed_background is fixed

    def test_a_flat_or_grey_image_is_masked_too(self):
        x = np.zeros((5, 7, 1))
        result = shap.Explainer(model, BPT(x, 1.0))(x[None], max_evals=20, silent=True)
        assert result.values.sum() + result.base_values[0] == pytest.approx(model(x[None])[0], abs=1e-12)

    def test_regions_of_a_callable_follow_the_row(self):
        masker = BPT(X.shape, labels=lambda x: (x[..., 0] > 0.5).astype(int))
        np.testing.assert_array_equal(masker.labels_of(X), X[..., 0] > 0.5)
        assert len(masker.merges_of(X)) == 1

    def test_an_undivided_node_of_a_foreign_tree_shares_by_pixels(self):
        tree = Hierarchy.from_merges(ward(np.random.default_rng(6).random((4, 2))))
        labels = np.repeat([0, 0, 0, 1, 1, 2, 3, 3], 6).reshape(8, 6).T
        np.testing.assert_array_equal(BPT(X, 0.0, labels, tree).hierarchy_of(X).areas, [18, 12, 6, 12])

    @pytest.mark.parametrize("function", [bpt, axis_aligned])
    def test_our_own_builders_have_names(self, function):
        assert BPT(X, hierarchy=function).hierarchy == function.__name__


class TestErrors:
    @pytest.mark.parametrize(
        ("hierarchy", "error", "match"),
        [
            ("btp", ValueError, "did you mean 'bpt'"),
            (3, TypeError, "hierarchy must be 'bpt', 'axis_aligned', a Hierarchy or a callable"),
            (balanced(5), ValueError, "hierarchy must be over the 4 regions of the masker, got a tree of 5"),
        ],
    )
    def test_an_impossible_hierarchy_is_refused_by_the_constructor(self, hierarchy, error, match):
        with pytest.raises(error, match=match):
            BPT(X, 0.0, LABELS, hierarchy)

    @pytest.mark.parametrize(
        ("built", "error", "match"),
        [
            (balanced(5), ValueError, "over the 48 regions"),
            (np.zeros((47, 4)), TypeError, "the hierarchy callable must return a Hierarchy, got ndarray"),
        ],
    )
    def test_what_a_callable_builds_is_checked(self, built, error, match):
        with pytest.raises(error, match=match):
            BPT(X, hierarchy=lambda image, labels: built).clustering(X)

    def test_a_row_of_another_shape_is_an_error_with_the_fix(self):
        with pytest.raises(ValueError, match=r"x\[None\]"):
            BPT(X).clustering(X[:, :4])


def _built_from_noise(image, labels):
    return bpt(image + np.random.default_rng(0).normal(size=image.shape), labels)


@pytest.mark.parametrize("labels", [None, LABELS], ids=["pixels", "regions"])
@pytest.mark.parametrize("hierarchy", ["bpt", axis_aligned, _built_from_noise, "fixed"])
@pytest.mark.parametrize("pickled", [False, True])
def test_keeping_it_keeps_everything(labels, hierarchy, pickled):
    tree = balanced(48 if labels is None else 4) if hierarchy == "fixed" else hierarchy
    masker, stream = BPT(X, "blur(3,3)", labels, tree), io.BytesIO()
    masker.clustering(X)
    if pickled:
        loaded = pickle.loads(pickle.dumps(masker))
    else:
        masker.save(stream)
        stream.seek(0)
        loaded = shap.maskers.Masker.load(stream)
    assert type(loaded) is BPT
    assert loaded.has_pixel_players is (labels is None)
    for method in ("clustering", "labels_of", "merges_of", "baseline_of"):
        np.testing.assert_array_equal(getattr(loaded, method)(X), getattr(masker, method)(X))
