"""RISE's masks, against scikit-image's resize and enumeration of all bits and offsets."""

import itertools

import numpy as np
import pytest
import torch
from skimage.transform import resize

from xai_ext import MaskedModel
from xai_ext.methods._cells import area_average, interpolated, separate, upsampled
from xai_ext.methods._rise_masks import GridMasks, RegionMasks, _bits

SHAPES = [
    ((224, 224), (7, 7)), ((224, 224), (8, 8)), ((97, 130), (5, 7)), ((64, 64), (7, 7)), ((32, 48), (4, 10)),
    ((10, 10), (10, 10)), ((33, 33), (1, 1)), ((40, 40), (2, 2)), ((12, 12), (7, 7)),
]  # fmt: skip


def published(cells, sizes, offsets):
    """The published generator: upsample the cells by whole pitches, crop at the offsets."""
    pitch = [-(-n // s) for n, s in zip(sizes, cells.shape, strict=True)]
    large = [(s + 1) * c for s, c in zip(cells.shape, pitch, strict=True)]
    mask = resize(cells.astype(float), large, order=1, mode="reflect", anti_aliasing=False)
    return mask[tuple(slice(o, o + n) for o, n in zip(offsets, sizes, strict=True))]


def draws(sizes, cells, k=6):
    rng = np.random.default_rng(0)
    bits = rng.random((k, *cells)) < 0.5
    offsets = np.stack([rng.integers(-(-n // s), size=k) for n, s in zip(sizes, cells, strict=True)], 1)
    return bits, offsets, tuple(interpolated(n, s, len(sizes)) for n, s in zip(sizes, cells, strict=True))


@pytest.mark.parametrize(("sizes", "cells"), SHAPES)
def test_masks_are_the_published_ones(sizes, cells):
    bits, offsets, axes = draws(sizes, cells)
    masks = upsampled(torch.from_numpy(bits), axes, offsets).numpy()
    # float64: both sides round coordinates of up to 10 cells, to 2^-50 each;
    # float32: two weights are off by 2^-25 each, and each of the two sums is rounded once more
    exact = (sizes, cells) == SHAPES[0]  # weights are multiples of 1/512: nothing is rounded
    for b, o, mask in zip(bits, offsets, masks, strict=True):
        expected = published(b, sizes, o)
        np.testing.assert_allclose(mask, expected, rtol=0, atol=0 if exact else 4 * 2.0**-25)
        rows, columns = (a.table[i : i + a.size] for a, i in zip(axes, o, strict=True))
        np.testing.assert_allclose(rows @ b @ columns.T, expected, rtol=0, atol=0 if exact else 4e-15)


@pytest.mark.parametrize(("sizes", "cells"), [((50,), (7,)), ((9, 10, 12), (2, 3, 4))])
def test_masks_of_other_dimensions_are_products_of_one_dimensional_interpolations(sizes, cells):
    bits, offsets, axes = draws(sizes, cells)
    masks = upsampled(torch.from_numpy(bits), axes, offsets).numpy()
    for b, o, mask in zip(bits, offsets, masks, strict=True):
        expected = b.astype(float)
        for axis, (n, s) in enumerate(zip(sizes, cells, strict=True)):
            # each axis by scikit-image, as an image of one column per remaining element
            columns = np.moveaxis(expected, axis, 0)
            large = resize(columns.reshape(s, -1), (-(-n // s) * (s + 1), columns[0].size), order=1, mode="reflect",
                           anti_aliasing=False)  # fmt: skip
            expected = np.moveaxis(large[o[axis] : o[axis] + n].reshape(n, *columns.shape[1:]), 0, axis)
        np.testing.assert_allclose(mask, expected, rtol=0, atol=2e-7)


IMAGE = ((1, 1, 8, 8),)
REGIONS = RegionMasks(np.arange(64).reshape(8, 8))


def drawn(masks, n_blocks, *, pairs, shapes=IMAGE, seed=0):
    """Masks (k, positions of all inputs) and features of the first blocks."""
    law = masks.law(MaskedModel(lambda *x: x[0].flatten(1).sum(1), tuple(torch.ones(shape) for shape in shapes)))
    blocks = list(itertools.islice(law.blocks(np.random.default_rng(seed), pairs=pairs), n_blocks))
    keep = torch.cat([torch.cat([k.float().flatten(1) for k in b.keep], 1) for b in blocks])
    return keep.numpy(), np.concatenate([b.features for b in blocks])


@pytest.mark.parametrize(("masks", "shapes"), [(GridMasks(4), IMAGE), (GridMasks(4), IMAGE * 2), (REGIONS, IMAGE)])
def test_in_pairs_each_mask_comes_before_its_complement(masks, shapes):
    keep, features = drawn(masks, 4, pairs=True, shapes=shapes)
    assert keep.shape == (256, 64 * len(shapes))
    assert len(np.unique(keep, axis=0)) == 256
    np.testing.assert_allclose(keep[1::2], 1 - keep[::2], atol=2e-7)
    np.testing.assert_allclose(features[1::2], -features[::2], atol=1e-12)


@pytest.mark.parametrize(("spread", "least", "most"), [(True, 0, 0.5), (False, 0.8, 1.2)])
def test_pairs_of_smooth_masks_are_nearly_orthogonal_to_those_before_and_of_hard_ones_coins(spread, least, most):
    blocks = _bits([30, 34], 0.5, np.random.default_rng(0), pairs=True, spread=spread)
    signs = 2.0 * np.concatenate([next(blocks) for _ in range(2)])[::2] - 1
    inner = signs[:32] @ signs[32:].T
    assert least < (inner**2).mean() / 64 < most  # fair coins: 1


@pytest.mark.parametrize("p", [0.3, 0.5])
def test_single_masks_are_independent_coins(p):
    keep, _ = drawn(RegionMasks(REGIONS.labels, p), 3, pairs=False)
    (bits, _) = np.random.default_rng(0).spawn(2)
    np.testing.assert_array_equal(keep, bits.random((3 * 64, 64)) < p)


def test_places_of_pairs_are_kept_as_often_as_hidden_and_singly_fair():
    first = np.stack([drawn(GridMasks(4), 1, pairs=True, seed=seed)[0][[0, 30, 62]] for seed in range(300)])
    # 4 sigma of a mean of 900 (each 1/2 at most from the mean) = .067
    np.testing.assert_allclose(first.mean((0, 1)), 0.5, atol=0.067)


def test_moments_are_exact():
    size, cells, p = 5, 2, 0.3
    axis = interpolated(size, cells, 2)
    mean, second = np.zeros(size**2), np.zeros((size**2, size**2))
    for bits in itertools.product([False, True], repeat=cells**2):
        weight = p ** sum(bits) * (1 - p) ** (4 - sum(bits)) / axis.offsets**2
        for o in itertools.product(range(axis.offsets), repeat=2):
            m = published(np.array(bits).reshape(2, 2), (size, size), o).ravel()
            mean += weight * m
            second += weight * np.outer(m, m)
    np.testing.assert_allclose(mean, p, atol=1e-12)
    k = axis.covariance()
    np.testing.assert_allclose(second - np.outer(mean, mean), p * (1 - p) * np.kron(k, k), atol=1e-12)
    np.testing.assert_allclose(axis.variance, k.diagonal(), atol=1e-12)
    np.testing.assert_allclose(axis.push, k @ area_average(size, axis.features).T, atol=1e-12)


def test_positions_that_are_cells_are_independent():
    np.testing.assert_array_equal(separate(5).covariance(), np.eye(5))


@pytest.mark.parametrize(("size", "bins"), [(6, 3), (5, 2), (7, 7)])
def test_area_averages_share_what_lies_on_a_border(size, bins):
    fine = np.repeat(np.random.default_rng(0).normal(size=size), bins)  # both grids end on this one's borders
    expected = fine.reshape(bins, size).mean(1)
    np.testing.assert_allclose(area_average(size, bins) @ fine[::bins], expected, atol=1e-12)


@pytest.mark.parametrize(("size", "cells"), [(224, 7), (97, 5), (64, 7), (33, 1), (12, 7), (40, 3)])
def test_a_mask_is_exactly_one_where_all_its_cells_are(size, cells):
    axis = interpolated(size, cells, 2)
    offsets = np.arange(axis.offsets)[:, None].repeat(2, 1)
    masks = upsampled(torch.ones(len(offsets), cells, cells, dtype=torch.bool), (axis, axis), offsets)
    assert bool((masks == 1).all())


def test_a_long_signal_is_masked_in_parts_with_the_same_result(monkeypatch):
    bits, offsets, axes = draws((500,), (49,), k=9)
    whole = upsampled(torch.from_numpy(bits), axes, offsets)
    monkeypatch.setattr("xai_ext.methods._cells._PEAK", 2 * 500 * 49)
    np.testing.assert_allclose(upsampled(torch.from_numpy(bits), axes, offsets), whole, atol=6e-8)


class TestBlending:
    """What a soft mask does to inputs that are no ordinary floats."""

    masks = torch.tensor([[0.0, 0.3, 0.5, 1.0]])

    def image(self, x, baseline):
        return MaskedModel(lambda x: x.sum(1), x, baseline, batch_size=1).images((self.masks,))[0]

    def test_integers_are_rounded(self):
        image = self.image(torch.full((1, 4), 200, dtype=torch.uint8), 11)
        assert image.dtype == torch.uint8
        assert image.tolist() == [[11, 68, 106, 200]]

    def test_large_integers_are_exact_at_the_ends(self):
        x = torch.full((1, 4), 2**40 + 1, dtype=torch.int64)
        assert self.image(x, 3)[0, [0, 3]].tolist() == [3, 2**40 + 1]

    def test_a_bool_is_the_nearer_of_the_two(self):
        assert self.image(torch.ones(1, 4, dtype=torch.bool), 0).tolist() == [[False, False, True, True]]

    @pytest.mark.parametrize("baseline", [float("nan"), float("inf")])
    def test_what_is_not_finite_stays_out_of_what_is_kept(self, baseline):
        image = self.image(torch.ones(1, 4), torch.full((1, 4), baseline))
        assert image[0, 3] == 1
        np.testing.assert_equal(image[0, 0].item(), baseline)
        reverse = self.image(torch.full((1, 4), baseline), torch.ones(1, 4))
        assert reverse[0, 0] == 1

    def test_half_precision_is_blended_in_half_precision(self):
        image = self.image(torch.full((1, 4), 2.0, dtype=torch.float16), 0)
        np.testing.assert_allclose(image[0], [0, 0.6, 1, 2], rtol=1e-3)
        assert image.dtype == torch.float16
