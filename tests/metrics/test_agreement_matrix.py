"""Matrices, the floor of noise, and maps that know nothing."""

from itertools import combinations

import numpy as np
import pytest
import torch

from tests.laws import GeneratorsUntouched
from xai_ext.metrics import Status, agreement, agreement_matrix, noise_floor, reference_maps


def maps(n=3, shape=(2, 9, 8), seed=0):
    rng = np.random.default_rng(seed)
    return {name: rng.integers(-4, 5, shape).astype(float) for name in "abcde"[:n]}


class TestMatrix:
    def test_entries_are_those_of_agreement(self):
        given, metrics, ks = maps(), ("feature_agreement", "spearman", "ssim"), (2, 0.25)
        found = agreement_matrix(given, metrics, ks)
        assert found.names == ("a", "b", "c")
        assert found.values["feature_agreement"].shape == (2, 3, 3, 2)
        for i, x in enumerate("abc"):
            for j, y in enumerate("abc"):
                for name in metrics:
                    expected = agreement(given[x], given[y], name, k=ks)
                    torch.testing.assert_close(found.values[name][:, i, j], expected, rtol=1e-13, atol=1e-13)

    def test_means_leave_out_what_is_undefined(self):
        given = maps()
        given["a"][0, 0, 0] = np.nan
        found = agreement_matrix(given, ["pearson"])
        assert found.status[0, 0].tolist() == [Status.NON_FINITE] * 3
        assert found.mean("pearson")[0, 1] == found.values["pearson"][1, 0, 1].item()
        given["a"][1] = 1.0
        assert np.isnan(agreement_matrix(given, ["pearson"]).mean("pearson")[0]).all()

    def test_unequal_batches_and_no_map_are_refused(self):
        with pytest.raises(ValueError, match="as many examples"):
            agreement_matrix({"a": np.ones((1, 3)), "b": np.ones((2, 3))})
        with pytest.raises(ValueError, match="at least one map"):
            agreement_matrix({})


class TestNoiseFloor:
    def test_it_is_the_mean_over_pairs_of_runs(self):
        runs = list(maps().values())
        expected = np.mean([agreement(a, b).numpy() for a, b in combinations(runs, 2)], axis=0)
        np.testing.assert_allclose(noise_floor(runs), expected, atol=1e-14)

    def test_equal_runs_agree_and_one_run_is_refused(self):
        run = np.random.default_rng(0).normal(size=(2, 5))
        np.testing.assert_allclose(noise_floor([run, run, run]), 1, atol=1e-12)
        with pytest.raises(ValueError, match="at least two runs"):
            noise_floor([run])


class TestReferenceMaps:
    GIVEN = torch.from_numpy(np.random.default_rng(0).normal(size=(3, 8, 6)))

    def drawn(self, kind, seed=1):
        with GeneratorsUntouched():
            return reference_maps(self.GIVEN, kind, np.random.default_rng(seed))

    def test_shuffled_and_rolled_keep_the_values(self):
        for kind in ("shuffled", "rolled"):
            found = self.drawn(kind)
            assert torch.equal(found.flatten(1).sort(1).values, self.GIVEN.flatten(1).sort(1).values)
            assert not torch.equal(found, self.GIVEN)

    def test_rolled_keeps_the_neighbours(self):
        found, given = self.drawn("rolled")[0].numpy(), self.GIVEN[0].numpy()
        (y,), (x,) = np.nonzero(found == given[0, 0])
        np.testing.assert_array_equal(np.roll(found, (-y, -x), (0, 1)), given)

    def test_the_centre_is_highest_and_random_is_random(self):
        center = reference_maps(torch.zeros(1, 9, 5), "center", np.random.default_rng(0))[0]
        assert center.argmax().item() == 4 * 5 + 2
        assert center[0, 2].item() == pytest.approx(np.exp(-((4 / (9 / 4)) ** 2) / 2))
        assert ((self.drawn("random") >= 0) & (self.drawn("random") < 1)).all()
        assert not torch.equal(self.drawn("random"), self.drawn("random", seed=2))

    def test_another_image_is_the_next_one(self):
        assert torch.equal(self.drawn("other_image"), self.GIVEN[[2, 0, 1]])
        with pytest.raises(ValueError, match="at least two examples"):
            reference_maps(self.GIVEN[:1], "other_image", np.random.default_rng(0))
