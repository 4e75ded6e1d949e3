"""Imputed pixels, against a sparse direct solve."""

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from scipy.sparse import lil_matrix
from scipy.sparse.linalg import spsolve

from tests.laws import GeneratorsUntouched
from tests.metrics.examples import Spy, curved, examples
from xai_ext.metrics import LinearImputer, Protocol, deletion, deletion_insertion, srg
from xai_ext.metrics import _multigrid as multigrid

NEIGHBOURS = [(y, x) for y in (-1, 0, 1) for x in (-1, 0, 1) if y or x]


def direct(image, missing):
    """One equation per missing pixel: its value is the weighted mean of its neighbours inside the image."""
    height, width = missing.shape
    pixels = [tuple(p) for p in np.argwhere(missing)]
    number = {p: i for i, p in enumerate(pixels)}
    matrix, right = lil_matrix((len(pixels),) * 2), np.zeros((len(pixels), len(image)))
    for (y, x), i in number.items():
        inside = [(y + v, x + u, 1 / 6 if 0 in (v, u) else 1 / 12) for v, u in NEIGHBOURS]
        inside = [(b, a, w) for b, a, w in inside if 0 <= b < height and 0 <= a < width]
        total = sum(w for _, _, w in inside)
        matrix[i, i] = 1
        for b, a, w in inside:
            if (b, a) in number:
                matrix[i, number[b, a]] -= w / total
            else:
                right[i] += w / total * image[:, b, a]
    filled = image.copy()
    filled[:, missing] = spsolve(matrix.tocsc(), right).reshape(-1, len(image)).T
    return filled


def masks(shape, smooth, seed=0):
    field = np.random.default_rng(seed).normal(size=shape)
    field = gaussian_filter(field, 6) if smooth else field
    return np.stack([field < np.quantile(field, p) for p in (0.1, 0.5, 0.9)])


def picture(channels, *shape, seed=0):
    field = np.random.default_rng(seed).normal(size=(channels, *shape))
    return gaussian_filter(field, (0, 2, 2))


class TestSolver:
    @pytest.mark.parametrize("smooth", [False, True])
    def test_it_solves_what_a_direct_solver_does(self, smooth):
        image, missing = picture(3, 64, 64), masks((64, 64), smooth)
        expected = np.stack([direct(image, m) for m in missing])
        scale = np.ptp(image)
        coarse = LinearImputer()(torch.from_numpy(image).float(), torch.from_numpy(missing))
        assert np.abs(coarse.numpy() - expected).max() <= 1e-3 * scale
        fine = LinearImputer(tol=1e-9)(torch.from_numpy(image), torch.from_numpy(missing))
        assert np.abs(fine.numpy() - expected).max() <= 1e-7 * scale

    @pytest.mark.parametrize("shape", [(1, 7), (9, 4), (13, 21)])
    def test_odd_and_narrow_images(self, shape):
        image, missing = picture(2, *shape), masks(shape, False)
        found = LinearImputer(tol=1e-10)(torch.from_numpy(image), torch.from_numpy(missing))
        np.testing.assert_allclose(found, np.stack([direct(image, m) for m in missing]), atol=1e-8)

    def test_accelerators_run_the_same_algorithm(self, monkeypatch):
        image, missing = torch.from_numpy(picture(3, 30, 21)), torch.from_numpy(masks((30, 21), False))
        expected = multigrid.fill(image, missing, 1e-9)
        monkeypatch.setattr(multigrid, "_solve_in_cache", multigrid._solve)
        torch.testing.assert_close(multigrid.fill(image, missing, 1e-9), expected, rtol=0, atol=1e-8)

    def test_it_takes_few_iterations_however_large_the_image(self, monkeypatch):
        monkeypatch.setattr(multigrid, "_MOST_ITERATIONS", 14)
        for side in (32, 128):
            image, missing = torch.from_numpy(picture(1, side, side)), torch.from_numpy(masks((side, side), True))
            multigrid.fill(image.float(), missing, 1e-4)
        monkeypatch.setattr(multigrid, "_MOST_ITERATIONS", 1)
        with pytest.raises(RuntimeError, match="did not converge to"):
            multigrid.fill(image.float(), missing, 1e-4)


class TestImputer:
    def test_known_pixels_stay_and_nothing_known_is_the_mean(self):
        image = torch.from_numpy(picture(3, 8, 8)).float()
        missing = torch.zeros(2, 8, 8, dtype=torch.bool)
        missing[0, 2:5, 3] = True
        missing[1] = True
        found = LinearImputer()(image, missing)
        assert torch.equal(found[0][:, ~missing[0]], image[:, ~missing[0]])
        torch.testing.assert_close(found[1], image.mean((1, 2), keepdim=True).expand_as(image))

    def test_a_constant_image_stays_constant(self):
        image = torch.full((1, 9, 9), 3.25)
        assert torch.equal(LinearImputer()(image, torch.from_numpy(masks((9, 9), False))), image.expand(3, 1, 9, 9))

    def test_noise_has_its_size_and_only_where_filled(self):
        image, missing = torch.zeros(3, 60, 60), torch.zeros(1, 60, 60, dtype=torch.bool)
        missing[0, :40] = True
        with GeneratorsUntouched():
            found = LinearImputer(noise=0.5)(image, missing, np.random.default_rng(1))[0]
        assert found[:, :40].std().item() == pytest.approx(0.5, abs=4 * 0.5 / (2 * 7200) ** 0.5)
        assert (found[:, 40:] == 0).all()

    @pytest.mark.parametrize(
        ("make", "message"),
        [
            (lambda: LinearImputer(noise=-1), "noise must be at least 0"),
            (lambda: LinearImputer(tol=0), "tol must be a positive"),
            (lambda: LinearImputer()(torch.ones(2, 2), torch.ones(1, 2, 2) > 0), r"fills an image \(C, H, W\)"),
            (lambda: deletion(curved, examples(1, 4), torch.ones(1, 4), LinearImputer()), r"needs one input \(B, C"),
        ],
    )
    def test_what_cannot_be_filled_is_refused(self, make, message):
        with pytest.raises(ValueError, match=message):
            make()


class TestCurves:
    def test_the_model_sees_imputed_images(self):
        x, maps, model = examples(1, 2, 6, 5), examples(1, 6, 5, seed=1), Spy(curved)
        found = deletion(
            model, x, maps, LinearImputer(tol=1e-9), protocol=Protocol(n_steps=3), max_examples_per_batch=2,
            return_curve=True,
        )  # fmt: skip
        order = np.argsort(-maps[0].numpy().ravel())
        for count, score in zip(found.counts[0].tolist(), found.curve[0], strict=True):
            missing = np.zeros(30, bool)
            missing[order[:count]] = True
            filled = x[0].numpy() if not count else direct(x[0].numpy(), missing.reshape(6, 5)) if count < 30 else None
            if filled is None:
                filled = x[0].mean((1, 2), keepdim=True).expand(2, 6, 5).numpy()
            assert score.item() == pytest.approx(curved(torch.from_numpy(filled.copy())[None]).item(), abs=1e-6)
        assert len(model.rows) == 4

    def test_noise_depends_on_the_generator_and_not_on_batches(self):
        x, maps = examples(2, 2, 6, 5), examples(2, 6, 5, seed=1)

        def run(size, seed=0, part=slice(None)):
            imputer, rng = LinearImputer(noise=0.3), np.random.default_rng(seed)
            return deletion_insertion(curved, x[part], maps[part], imputer, max_examples_per_batch=size, rng=rng).srg

        assert torch.equal(run(1), run(7))
        assert torch.equal(run(7, part=slice(1, 2)), run(7)[1:])
        assert (run(7) != run(7, seed=1)).all()

    def test_srg_needs_no_further_evaluation(self):
        x, maps, model = examples(1, 2, 8, 8), examples(1, 8, 8, seed=1), Spy(curved)
        srg(model, x, maps, LinearImputer(), max_examples_per_batch=8)
        assert len(model.rows) == 56
