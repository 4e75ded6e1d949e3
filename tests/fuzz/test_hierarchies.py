"""Trees, regions and baselines of images of every kind: valid and finite, or refused in our words."""

import inspect
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.cluster.hierarchy import is_valid_linkage
from scipy.ndimage import label

from tests.laws import GeneratorsUntouched
from tests.strategies import DTYPES, LAYOUTS, SEEDS, laid_out, merges
from xai_ext import baselines, segmentation
from xai_ext._checks import InputError, InputTypeError
from xai_ext.hierarchies import Hierarchy, axis_aligned, balanced, bpt

TERMS = ("color", "area", "perimeter")
DOCUMENTED = (InputError, InputTypeError)
SIDES = st.integers(1, 9)
KINDS = ("noise", "constant", "ramp", "huge", "tiny", "both", "steps", "extreme", "not finite")


def public(module):
    """Its functions by introspection."""
    functions = inspect.getmembers(module, inspect.isfunction)
    return {n: f for n, f in functions if f.__module__ == module.__name__ and not n.startswith("_")}


def values(shape, kind, rng):
    return {
        "noise": rng.normal(size=shape),
        "constant": np.full(shape, 0.3),
        "ramp": np.arange(np.prod(shape), dtype=float).reshape(shape) % 256,
        "huge": rng.normal(size=shape) * 1e300,
        "tiny": rng.random(shape) * 1e-308,
        "both": np.where(rng.random(shape) < 0.5, 1e-300, 1e300),
        "extreme": rng.choice([-1.7e308, 1.7e308], shape),
        "steps": rng.integers(0, 3, shape) / 2.0,
        "not finite": np.where(rng.random(shape) < 0.2, rng.choice([np.nan, np.inf, -np.inf]), 1.0),
    }[kind]


def as_dtype(array, dtype):
    """Without the warnings of a cast that overflows."""
    with np.errstate(all="ignore"):
        return torch.from_numpy(np.asarray(array, dtype=np.float64)).to(dtype)


def copied(image):
    return image.double().numpy().copy() if isinstance(image, torch.Tensor) else image.copy()


@st.composite
def pictures(draw):
    """A tensor (C, H, W) or (1, C, H, W), or an array (H, W) or (H, W, C); and its (H, W)."""
    h, w, c = draw(SIDES), draw(SIDES), draw(st.integers(1, 5))
    rng, kind = np.random.default_rng(draw(SEEDS)), draw(st.sampled_from(KINDS))
    form = draw(st.sampled_from(["tensor", "batch", "flat", "array", "reversed"]))
    if form in ("tensor", "batch"):
        x = laid_out(as_dtype(values((1, c, h, w), kind, rng), draw(DTYPES)), draw(st.sampled_from(LAYOUTS)))
        return (x if form == "batch" else x[0]), (h, w)
    dtype = draw(st.sampled_from(["f2", "f4", "f8", "u1", "i4", "u8", "?", ">f4", "c16"]))
    with np.errstate(all="ignore"):
        array = values((h, w) if form == "flat" else (h, w, c), kind, rng).astype(dtype)
    return (array[:, ::-1] if form == "reversed" else array), (h, w)


@st.composite
def regions(draw, shape):
    """Labels: players 0..n-1 of any shape, in several pieces; or with gaps, negative, of another type or shape."""
    rng = np.random.default_rng(draw(SEEDS))
    players = np.unique(rng.integers(0, draw(st.integers(1, 12)), shape), return_inverse=True)[1].reshape(shape)
    how = draw(st.sampled_from(["players"] * 4 + ["gaps", "negative", "floats", "shape", "bytes"]))
    return {
        "players": players, "gaps": players * 3 + 2, "negative": players - 4, "floats": players + 0.5,
        "shape": players[:-1], "bytes": players.astype(np.uint8),
    }[how]  # fmt: skip


def assert_tree(tree, n, area, heights=1):
    """By definition: SciPy's check of the linkage, and nodes that are the unions of their children."""
    assert (tree.n_players, tree.merges.shape) == (n, (n - 1, 4))
    assert n == 1 or is_valid_linkage(tree.merges * [1, 1, heights, 1])
    assert tree.areas.sum() == area
    below = [{i} for i in range(n)]
    for a, b in tree.merges[:, :2].astype(int):
        below.append(below[a] | below[b])
    for node, players in enumerate(below):
        assert set(tree.order[tree.start[node] : tree.stop[node]].tolist()) == players
        assert tree.node_areas[node] == tree.areas[list(players)].sum()
    return below


@given(st.data())
def test_a_partition_tree_is_a_valid_tree_of_touching_regions_or_a_documented_error(data):
    image, shape = data.draw(pictures())
    labels = data.draw(st.one_of(st.none(), regions(shape)))
    corners = data.draw(st.sampled_from([4, 8]))
    settings = {
        "color": data.draw(st.sampled_from(["auto", "rgb", "raw"])),
        "terms": data.draw(st.sampled_from([TERMS, ("color", "area"), ("color",), "area", "perimeter"])),
        "quantize": data.draw(st.booleans()),
        "extra": data.draw(st.sampled_from([None, np.zeros(shape), np.full((*shape, 2), 1e300)])),
    }  # fmt: skip
    before = copied(image)
    try:
        with GeneratorsUntouched():
            tree = bpt(image, labels, connectivity=corners, **settings)
    except DOCUMENTED as error:
        assert str(error)
        return
    np.testing.assert_array_equal(copied(image), before)
    players = np.arange(shape[0] * shape[1]).reshape(shape) if labels is None else labels
    below = assert_tree(tree, players.max() + 1, players.size)
    assert np.isfinite(tree.merges).all()
    if labels is None:  # unions of touching pixels hang together
        touching = np.ones((3, 3)) if corners == 8 else None
        assert all(label(np.isin(players, list(node)), touching)[1] == 1 for node in below)


@given(st.data())
def test_nested_rectangles_are_a_valid_tree_or_a_documented_error(data):
    shape = data.draw(st.tuples(SIDES, SIDES))
    labels = data.draw(st.one_of(st.none(), regions(shape)))
    given = data.draw(st.sampled_from([shape, list(shape), np.array(shape), (0, 3), (3,), 7, (2.0, 3), "ab", None]))
    try:
        tree = axis_aligned(given, labels)
    except DOCUMENTED as error:
        assert str(error)
        return
    players = np.arange(shape[0] * shape[1]).reshape(shape) if labels is None else labels
    assert_tree(tree, players.max() + 1, players.size)


@given(st.one_of(st.integers(-3, 70), st.sampled_from([True, 2.0, "3", None, np.int64(5)])))
def test_halves_of_the_index_range_are_a_valid_tree_or_a_documented_error(n):
    try:
        tree = balanced(n)
    except DOCUMENTED as error:
        assert str(error)
        return
    below = assert_tree(tree, n, n)
    assert tree.depths.max() == np.ceil(np.log2(n))
    assert all(players == set(range(min(players), max(players) + 1)) for players in below)


@given(st.data())
def test_a_tree_of_random_merges_is_the_tree_that_the_table_says(data):
    n = data.draw(st.integers(1, 20))
    table = data.draw(merges(n))
    rng = np.random.default_rng(data.draw(SEEDS))
    flipped = table.copy()
    swap = rng.random(n - 1) < 0.5
    flipped[swap, :2] = flipped[swap, 1::-1]
    areas = rng.integers(1, 9, n)
    tree = Hierarchy.from_merges(flipped, areas)
    assert_tree(tree, n, areas.sum())
    depths = [0] * (2 * n - 1)
    for k in range(n - 2, -1, -1):
        for child in table[k, :2].astype(int):
            depths[child] = depths[n + k] + 1
    assert tree.depths.tolist() == depths
    assert tree.exact_cost == 2 + sum(2 ** (d + 1) for d in depths[n:])
    regions = data.draw(st.integers(1, n))
    region, top = tree.cut(regions=regions)
    assert_tree(top, regions, areas.sum())
    np.testing.assert_array_equal(np.bincount(region, areas), top.areas)


CELLS = st.sampled_from([0.0, 1.0, 2.0, -1.0, 0.5, np.nan, np.inf, 1e300, 7.0])
TABLES = st.sampled_from(
    [None, "abcd", [[0, 1, 1, 2], [3]], np.zeros((2, 4), complex), [["a"] * 4], 3, {}, np.zeros((0, 3))]
)


@given(st.data())
def test_malformed_merges_are_refused_or_a_valid_tree(data):
    n = data.draw(st.integers(2, 6))
    table = data.draw(merges(n))
    kind = data.draw(st.sampled_from(["twice", "cell", "cells", "cut", "other"]))
    if kind == "twice":  # one player in the place of another: all counts are right
        table[:, :2][table[:, :2] == n - 1] = 0
    for _ in range(("cell", "cells").index(kind) + 1 if "cell" in kind else 0):
        table[data.draw(st.integers(0, n - 2)), data.draw(st.integers(0, 3))] = data.draw(CELLS)
    cut = data.draw(st.sampled_from([table[:, :3], table[1:], table[0]]))
    given = {"cut": cut, "other": data.draw(TABLES)}.get(kind, table)
    areas = data.draw(st.sampled_from([None, None, np.ones(n), np.zeros(n), [1] * (n - 1), "ab", [[1]], [None] * n]))
    try:
        tree = Hierarchy.from_merges(given, areas)
    except DOCUMENTED as error:
        assert str(error)
        return
    linkage = np.asarray(given, dtype=float)
    assert len(linkage) == 0 or is_valid_linkage(linkage * [1, 1, 0, 1])
    assert_tree(tree, len(linkage) + 1, len(linkage) + 1, heights=0)  # which are the user's own


SETTINGS = {
    "grid": {"rows": st.integers(-1, 10), "columns": st.one_of(st.none(), st.integers(0, 10))},
    "slic": {
        "n_segments": st.integers(0, 90), "compactness": st.sampled_from([0.0, 0.01, 10.0, np.nan]),
        "sigma": st.sampled_from([0.0, 1.0, -1.0, np.nan]),
    },
    "quickshift": {
        "kernel_size": st.sampled_from([0.5, 2.0, 0.0, np.inf]), "max_dist": st.sampled_from([1.0, 5.0, 200.0, -1.0]),
        "ratio": st.sampled_from([0.0, 0.2, 1.0, 2.0, np.nan]), "seed": st.sampled_from([0, 42, -1]),
    },
}  # fmt: skip
SEGMENTATIONS = [n for n, f in public(segmentation).items() if "labels" not in inspect.signature(f).parameters]


@pytest.mark.parametrize("name", [n for n in SEGMENTATIONS if n != "channels_last"])
@given(st.data())
def test_a_segmentation_numbers_its_regions_without_gaps_or_is_a_documented_error(name, data):
    image, shape = data.draw(pictures())
    settings = {key: data.draw(values) for key, values in SETTINGS.get(name, {}).items() if data.draw(st.booleans())}
    try:
        with GeneratorsUntouched():
            labels = getattr(segmentation, name)(image, **settings)
    except DOCUMENTED as error:
        assert str(error)
        return
    assert (labels.shape, labels.dtype) == (shape, np.int64)
    assert np.unique(labels).tolist() == list(range(labels.max() + 1))


@given(st.data())
def test_an_image_has_its_channels_last_whatever_its_form(data):
    image, shape = data.draw(pictures())
    try:
        array = segmentation.channels_last(image)
    except InputTypeError:
        assert image.dtype.kind == "c"
        return
    assert array.shape[:2] == shape
    first = image if isinstance(image, np.ndarray) else image.double().numpy()
    spatial = first if isinstance(image, np.ndarray) else np.moveaxis(first.reshape(-1, *shape), 0, -1)
    np.testing.assert_array_equal(array, spatial.reshape(array.shape))


@given(st.data())
def test_relabelled_regions_are_the_same_regions(data):
    shape = data.draw(st.tuples(SIDES, SIDES))
    labels = data.draw(regions(shape))
    found = segmentation.relabelled(labels)
    assert np.unique(found).tolist() == list(range(len(np.unique(labels))))
    assert len(np.unique(np.stack([np.ravel(labels), np.ravel(found)]), axis=1).T) == len(np.unique(labels))


@st.composite
def batches(draw):
    """(N, C, *spatial) of any dtype and layout, one to three spatial dimensions."""
    spatial = draw(st.lists(SIDES, min_size=1, max_size=3))
    shape = (draw(st.integers(1, 2)), draw(st.integers(1, 4)), *spatial)
    rng, kind = np.random.default_rng(draw(SEEDS)), draw(st.sampled_from(KINDS[:-2]))
    x = as_dtype(values(shape, kind, rng), draw(DTYPES))
    return laid_out(x, draw(st.sampled_from(LAYOUTS))) if x.dim() == 4 else x


FILLS = {
    "constant": lambda data, x: {"value": data.draw(st.sampled_from([0, 1, 0.5, -1, True]))},
    "segment_mean": lambda data, x: {"labels": data.draw(regions(tuple(x.shape[2:])))},
    "blur": lambda data, x: {"sigma": data.draw(st.sampled_from([0.5, 10.0, 0.0, -1.0, np.nan]))},
    "inpaint": lambda data, x: {"mask": data.draw(st.sampled_from(
        [None, np.zeros(x.shape[2:]), np.ones(x.shape[2:]), np.arange(x.shape[-1]) % 2 == 0, np.ones((11, 2))]
    ))},
}  # fmt: skip


@pytest.mark.parametrize("name", public(baselines))
@given(st.data())
def test_a_baseline_looks_like_its_input_and_is_finite_or_is_a_documented_error(name, data):
    x = data.draw(batches())
    before = x.clone()
    try:
        with GeneratorsUntouched(), warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Matrix is exactly singular")
            made = getattr(baselines, name)(x, **FILLS.get(name, lambda *_: {})(data, x))
    except DOCUMENTED as error:
        assert str(error)
        return
    assert torch.equal(x.view(torch.uint8) if x.dtype == torch.bool else x, before)
    assert (made.shape, made.dtype) == (x.shape, x.dtype)
    assert made.data_ptr() != x.data_ptr()
    assert bool(made.isfinite().all()) or not bool(x.isfinite().all())
