import pytest
import torch

from tests.anomaly.worlds import Blurring, images
from xai_ext.anomaly import Constant, MeanNormal, NearestNormal, Reconstruction, ReconstructionScore
from xai_ext.attr import BPTOwen


def test_the_nearest_normal_is_the_nearest():
    bank, x = images(9), images(3, seed=1)
    x[0] = bank[4] + 0.01
    found = NearestNormal(bank)(x)
    assert torch.equal(found[0], bank[4])
    distances = ((x[:, None] - bank[None]) ** 2).flatten(2).sum(2)
    assert torch.equal(found, bank[distances.argmin(1)])


def test_distances_are_taken_in_the_space_of_the_features():
    bank, x = images(9), images(1, seed=1)
    darkest = NearestNormal(bank, space=lambda s: s.mean((1, 2, 3))[:, None])(x)
    assert torch.equal(darkest[0], bank[(bank.mean((1, 2, 3)) - x.mean()).abs().argmin()])


def test_means_constants_and_reconstructions():
    bank, x = images(5), images(2, seed=1)
    torch.testing.assert_close(MeanNormal(bank)(x)[1], bank.mean(0))
    assert float(Constant(0.25)(x).unique()) == 0.25
    score = ReconstructionScore(Blurring())
    with torch.no_grad():
        torch.testing.assert_close(Reconstruction(score, iterations=2)(x), score.model(score.model(x)))


@pytest.mark.parametrize("make", [lambda b: NearestNormal(b), lambda b: MeanNormal(b), lambda b: Constant(0.5)])
def test_every_reference_is_a_baseline_and_owns_its_memory(make):
    bank, x = images(5), images(2, seed=1)
    reference, before = make(bank), bank.clone()
    attributions = BPTOwen(lambda z: z.sum((1, 2, 3))).attribute(x, baselines=reference, n_samples=20)
    torch.testing.assert_close(attributions.sum((1, 2, 3)), (x - reference(x)).sum((1, 2, 3)))
    reference(x).fill_(9)
    assert torch.equal(bank, before)


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: NearestNormal(images(2), space="latent"), "space must be one of"),
        (lambda: NearestNormal([1]), "bank must be a tensor"),
        (lambda: MeanNormal(images(2, height=3))(images(1)), "the bank holds samples of shape"),
        (lambda: Reconstruction(Blurring()), "must be a ReconstructionScore"),
    ],
)
def test_misfits_are_refused(make, match):
    with pytest.raises(ValueError, match=match):
        make()
