"""Binary partition trees: the greedy sequence, exactly."""

import math
import os
import subprocess
import sys

import numpy as np
import pytest
import torch

from xai_ext.hierarchies import bpt
from xai_ext.hierarchies._graph import region_type
from xai_ext.segmentation import grid, pixels

module = sys.modules[bpt.__module__]
ALL = ("color", "area", "perimeter")


def touching(labels, connectivity):
    """Pairs of neighbouring pixels (p, q, 1 for a shared side or 0 for a corner)."""
    height, width = labels.shape
    for y in range(height):
        for x in range(width):
            for dy, dx in ((0, 1), (1, 0)) + ((1, -1), (1, 1)) * (connectivity == 8):
                if y + dy < height and 0 <= x + dx < width:
                    yield y * width + x, (y + dy) * width + x + dx, int(0 in (dy, dx))


def distance(colors, mask, terms):
    """Of the region that a merge would give, from its pixels alone."""
    values, padded = colors[mask].astype(np.float64), np.pad(mask, 1)
    color = 0.0
    for channel in values.T:
        side = channel.max() - channel.min() + 1.0
        color += side * side
    color += max(0, 3 - values.shape[1])
    perimeter = sum(int(np.diff(padded.astype(int), axis=a).astype(bool).sum()) for a in (0, 1))
    value = color if "color" in terms else 1.0
    value = value * int(mask.sum()) if "area" in terms else value
    return value * math.sqrt(perimeter) if "perimeter" in terms else value


def greedy(colors, labels=None, connectivity=8, terms=ALL):
    """The merge table by definition: every distance from sets of pixels, every pair at every step."""
    labels = pixels(colors) if labels is None else labels
    edges = list(touching(labels, connectivity))
    players, node, members = labels.ravel(), labels.ravel().copy(), np.bincount(labels.ravel()) > 0
    ends = sorted({tuple(sorted((players[p], players[q]))) for p, q, _ in edges if players[p] != players[q]})
    number = {pair: k for k, pair in enumerate(ends)}
    count, known, rows = dict.fromkeys(range(len(members)), 1), {}, []
    while len(count) > 1:
        best = {}
        for p, q, _ in edges:
            if node[p] != node[q]:
                pair = tuple(sorted((int(node[p]), int(node[q]))))
                first = number[tuple(sorted((players[p], players[q])))]
                best[pair] = min(first, best.get(pair, first))
        for a, b in best.keys() - known.keys():
            known[a, b] = distance(colors, np.isin(node, (a, b)).reshape(labels.shape), terms)
        a, b = min(best, key=lambda pair: (known[pair], best[pair]))
        new = len(members) + len(rows)
        rows.append([a, b, known[a, b], count[a] + count[b]])
        count[new] = count.pop(a) + count.pop(b)
        node[np.isin(node, (a, b))] = new
    return np.array(rows, dtype=float).reshape(-1, 4)


def image(kind, shape, seed=0):
    rng = np.random.default_rng(seed)
    high = {"noise": 256, "three levels": 3, "flat": 1}[kind]
    return rng.integers(0, high, shape).astype(np.uint8)


def smooth(height, width, seed=0):
    """Like a photo: edges, shades, and many equal values."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width] / max(height, width)
    parts = [np.sin(9 * y + c) + np.cos(7 * x * (c + 1)) + (x + y > 0.9) + 0.1 * rng.random(y.shape) for c in range(3)]
    return (40 * (np.stack(parts, -1) + 2)).astype(np.uint8)


def float_noise(height=9, width=13, channels=3, seed=0):
    """No two distances tie."""
    return 255 * np.random.default_rng(seed).random((height, width, channels))


def sets(tree, ids):
    """Every region as a set of the values that `ids` gives to its players."""
    named = np.ravel(ids)[tree.order]
    return {frozenset(named[a:b].tolist()) for a, b in zip(tree.start, tree.stop, strict=True)}


class TestTheSequenceIsGreedy:
    @pytest.mark.parametrize("kind", ["noise", "three levels", "flat"])
    @pytest.mark.parametrize("shape", [(12, 12, 3), (14, 9, 1), (9, 14, 4)])
    @pytest.mark.parametrize("connectivity", [4, 8])
    def test_pixels(self, kind, shape, connectivity):
        colors = image(kind, shape)
        tree = bpt(colors, color="raw", connectivity=connectivity)
        np.testing.assert_array_equal(tree.merges, greedy(colors, connectivity=connectivity))

    @pytest.mark.parametrize("connectivity", [4, 8])
    def test_atoms_some_of_them_in_pieces(self, connectivity):
        colors, labels = image("three levels", (14, 11, 3)), grid(np.zeros((14, 11)), rows=6)
        labels = labels % 31  # atoms 0..4 have a second piece at the other end
        tree = bpt(colors, labels, color="raw", connectivity=connectivity)
        np.testing.assert_array_equal(tree.merges, greedy(colors, labels, connectivity))
        np.testing.assert_array_equal(tree.areas, np.bincount(labels.ravel()))

    @pytest.mark.parametrize("terms", [("color",), ("area",), ("color", "area"), ("perimeter", "color")])
    def test_distances_with_fewer_terms(self, terms):
        colors = image("three levels", (8, 9, 3))
        np.testing.assert_array_equal(bpt(colors, color="raw", terms=terms).merges, greedy(colors, terms=terms))

    def test_float_channels(self):
        colors = float_noise(8, 11)
        tree = bpt(colors, color="raw", quantize=False)
        np.testing.assert_array_equal(tree.merges, greedy(colors.astype(np.float32)))

    @pytest.mark.parametrize("shape", [(1, 9, 3), (9, 1, 3), (2, 8, 3), (8, 2, 3), (2, 2, 1)])
    def test_narrow_images(self, shape):
        colors = image("three levels", shape)
        np.testing.assert_array_equal(bpt(colors, color="raw").merges, greedy(colors))

    def test_the_published_vector(self):
        colors = np.zeros((3, 3, 3), np.uint8)
        colors[..., 0] = [[10, 12, 200], [11, 14, 205], [90, 95, 210]]
        expected = [
            (0, 3, 29.3938769, 2), (1, 4, 53.8887743, 2), (2, 5, 186.161220, 2), (6, 7, 186.161220, 2),
            (9, 10, 305.470129, 4), (8, 11, 1043.68961, 3), (12, 13, 140367.181, 6), (14, 15, 1259640.88, 9),
        ]  # fmt: skip
        np.testing.assert_allclose(bpt(colors, color="raw").merges, expected, rtol=5e-9)  # nine digits given

    def test_joining_certain_pairs_first_changes_nothing(self, monkeypatch):
        from xai_ext.hierarchies import _merging

        for colors in (smooth(110, 130), image("noise", (60, 70, 3)), image("flat", (40, 50, 3))):
            tree = bpt(colors)
            with monkeypatch.context() as patch:
                patch.setattr(_merging, "_ROUNDS", 0)
                np.testing.assert_array_equal(tree.merges, bpt(colors).merges)
            with monkeypatch.context() as patch:
                patch.setattr(module, "_BLOCK", 7)
                np.testing.assert_array_equal(tree.merges, bpt(colors).merges)

    @pytest.mark.parametrize("levels", [2, 3])
    def test_a_nearest_pair_is_not_joined_while_a_neighbour_may_come_nearer(self, levels, monkeypatch):
        # perimeters shrink where holes close: in a few of these, joining every pair of mutual nearest goes wrong
        from xai_ext.hierarchies import _merging

        options = {"color": "raw", "terms": ("color", "perimeter"), "connectivity": 4}
        images = [np.random.default_rng(seed).integers(0, levels, (24, 24)).astype(np.uint8) for seed in range(40)]
        trees = [bpt(colors, **options).merges for colors in images]
        monkeypatch.setattr(_merging, "_ROUNDS", 0)
        for colors, merges in zip(images, trees, strict=True):
            np.testing.assert_array_equal(merges, bpt(colors, **options).merges)

    def test_most_pairs_of_a_photo_are_certain(self):
        from xai_ext.hierarchies import _graph, _merging

        graph = _graph.pixel_graph(smooth(64, 64).astype(np.float32), 8, ALL)
        assert _merging.merge_certain(graph, np.arange(4096, dtype=np.int32), 0) > 0.5 * 4096

    @pytest.mark.parametrize("seed", [0, 1, 2])
    def test_a_merge_below_its_parts_comes_right_after_them(self, seed):
        colors = image("noise", (16, 16, 1), seed) // 128
        rows = greedy(colors, terms=("color", "perimeter"))
        assert (np.diff(rows[:, 2]) < 0).any()
        np.testing.assert_array_equal(bpt(colors, color="raw", terms=("color", "perimeter")).merges, rows)


class TestSymmetry:
    def test_players_already_merged_give_the_rest_of_the_tree(self):
        colors = float_noise(12, 15)
        whole = bpt(colors, color="raw", quantize=False)
        region, _ = whole.cut(regions=40)
        rest = bpt(colors, region[pixels(colors)], color="raw", quantize=False)
        np.testing.assert_array_equal(rest.merges[:, 2], whole.merges[-39:, 2])
        assert sets(rest, np.arange(40)) == sets(whole.cut(regions=40)[1], np.arange(40))

    @pytest.mark.parametrize(
        "turn", [np.fliplr, np.flipud, np.rot90, lambda a: a.swapaxes(0, 1), lambda a: np.rot90(a, 2)]
    )
    def test_a_turned_image_has_the_turned_tree(self, turn):
        colors = float_noise()
        plain, turned = (bpt(c, color="raw", quantize=False) for c in (colors, turn(colors)))
        assert sets(turned, turn(pixels(colors))) == sets(plain, pixels(colors))

    def test_a_permutation_of_channels_changes_nothing(self):
        colors = float_noise()
        plain, permuted = (bpt(c, color="raw", quantize=False) for c in (colors, colors[..., [2, 0, 1]]))
        assert sets(permuted, pixels(colors)) == sets(plain, pixels(colors))

    def test_height_and_width_do_not_mix(self):
        colors = float_noise(40, 100)
        wide, high = (bpt(c, quantize=False) for c in (colors, colors.transpose(1, 0, 2)))
        assert sets(high, pixels(colors).T) == sets(wide, pixels(colors))

    @pytest.mark.parametrize("connectivity", [4, 8])
    def test_pixels_as_labels_are_no_labels(self, connectivity):
        colors, options = image("three levels", (20, 30, 3)), {"connectivity": connectivity, "color": "raw"}
        expected = bpt(colors, **options).merges
        for labels in (pixels(colors), torch.from_numpy(pixels(colors))):
            np.testing.assert_array_equal(bpt(colors, labels, **options).merges, expected)

    def test_one_picture_in_any_format_has_one_tree(self):
        colors = smooth(20, 30)
        expected = bpt(colors).merges
        for copy in (colors / 255, colors.astype(np.float64), (colors / 255).astype(np.float32)):
            np.testing.assert_array_equal(bpt(copy).merges, expected)
            np.testing.assert_array_equal(bpt(torch.from_numpy(copy).movedim(-1, 0)).merges, expected)

    def test_extra_channels_are_channels(self):
        colors = image("noise", (9, 8, 4))
        joined = bpt(colors[..., :2], color="raw", extra=colors[..., 2:])
        np.testing.assert_array_equal(joined.merges, bpt(colors, color="raw").merges)


class TestExtremes:
    @pytest.mark.parametrize("shape", [(1, 1), (1, 1, 1), (1, 1, 3)])
    def test_one_pixel(self, shape):
        tree = bpt(np.zeros(shape))
        assert tree.merges.shape == (0, 4)
        np.testing.assert_array_equal(tree.order, [0])

    def test_one_atom(self):
        tree = bpt(np.zeros((4, 5)), np.zeros((4, 5), int))
        assert (tree.n_players, tree.areas.tolist()) == (1, [20])

    def test_a_flat_image_has_a_balanced_tree(self):
        assert bpt(np.ones((128, 128, 3))).depths.max() <= 19  # log2 of the pixels is 14

    def test_an_atom_may_have_any_number_of_neighbours(self):
        labels = np.zeros((25, 25), int)
        labels[1::2, 1::2] = 1 + np.arange(144).reshape(12, 12)
        colors = smooth(25, 25)
        np.testing.assert_array_equal(bpt(colors, labels, color="raw").merges, greedy(colors, labels))

    def test_the_inputs_are_not_written_to(self):
        colors, labels = smooth(9, 9), grid(np.zeros((9, 9)), rows=3)
        copies = colors.copy(), labels.copy()
        bpt(colors, labels)
        np.testing.assert_array_equal(colors, copies[0])
        np.testing.assert_array_equal(labels, copies[1])

    def test_a_region_fits_into_80_bytes(self):  # the memory per pixel that the benchmark promises rests on it
        assert region_type(3).itemsize == 80

    def test_the_settings_are_named(self):
        assert bpt(smooth(3, 3)).structure == (
            "bpt, color=auto, connectivity=8, terms=color+area+perimeter, quantized, ties by edge number"
        )


class TestErrors:
    @pytest.mark.parametrize(
        ("options", "match"),
        [
            ({"terms": ()}, "terms must be some of 'color', 'area', 'perimeter'"),
            ({"terms": ("colour",)}, "terms must be some of"),
            ({"terms": ("color", "color")}, "each at most once"),
            ({"connectivity": 6}, "connectivity must be 4 .* or 8 .*, got 6"),
            ({"color": "lab"}, "color must be one of 'auto', 'rgb', 'raw', got 'lab'"),
            ({"extra": np.zeros((3, 4))}, r"\(H, W\) = \(4, 3\), got \(3, 4\)"),
            ({"extra": np.full((4, 3), np.nan)}, "extra holds NaN"),
            ({"labels": np.zeros((3, 4), int)}, r"\(H, W\) = \(4, 3\), got \(3, 4\)"),
            ({"labels": np.zeros((4, 3))}, "labels must be integers, got float64; fix: .*relabelled"),
            ({"labels": np.full((4, 3), 1)}, "without gaps, got 1 ids from 1 to 1; fix: .*relabelled"),
            ({"labels": np.arange(12).reshape(4, 3) % 2 * 2}, "2 ids from 0 to 2"),
            ({"labels": np.arange(12).reshape(4, 3) % 2 * 2 - 1}, "2 ids from -1 to 1"),
        ],
    )
    def test_what_cannot_be_used_is_named(self, options, match):
        with pytest.raises(ValueError, match=match):
            bpt(np.zeros((4, 3, 3)), **options)

    def test_connectivity_is_a_number(self):
        with pytest.raises(TypeError, match="connectivity must be the int 4 or 8, got '8'"):
            bpt(np.zeros((4, 3)), connectivity="8")

    def test_edge_numbers_have_31_bits(self, monkeypatch):
        assert 4 * module._MOST_PLAYERS < 2**31 <= 4 * (module._MOST_PLAYERS + 1)
        monkeypatch.setattr(module, "_MOST_PLAYERS", 11)
        with pytest.raises(ValueError, match="at most 11 players, got 12; fix: labels="):
            bpt(np.zeros((4, 3)))


def test_numba_is_imported_with_the_first_tree():
    script = (
        "import sys, numpy, xai_ext.hierarchies\nfrom xai_ext.hierarchies import bpt\n"
        "print('numba' in sys.modules)\nbpt(numpy.zeros((2, 2)))\nprint('numba' in sys.modules)"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert result.stdout.split() == ["False", "True"]


@pytest.mark.parametrize("atoms", [False, True])
def test_the_tree_is_the_same_without_the_compiler(atoms):
    script = (
        "import numpy as np\nfrom xai_ext.hierarchies import bpt\nfrom xai_ext.segmentation import grid\n"
        "photo = np.random.default_rng(0).integers(0, 256, (6, 5, 3)).astype(np.uint8)\n"
        f"print(bpt(photo{', grid(photo, rows=3, columns=2)' * atoms}).merges.tolist())"
    )
    environments = [os.environ | {"NUMBA_DISABLE_JIT": value} for value in "01"]
    compiled, interpreted = (
        subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, env=e)
        for e in environments
    )
    assert interpreted.stdout == compiled.stdout != ""
