"""The reference network: sizes, losses, training, files."""

import math

import numpy as np
import pytest
import torch
from torch.nn.functional import binary_cross_entropy, binary_cross_entropy_with_logits

from tests.anomaly.worlds import images
from tests.laws import GeneratorsUntouched
from xai_ext.anomaly import VAEGAN, Max, ReconstructionScore, normal_deviations, train_vae_gan
from xai_ext.anomaly._training import Augmentation, _Run
from xai_ext.anomaly._vae_parts import PRESETS, discriminator
from xai_ext.metrics.detection import auroc


def size(module):
    return sum(p.numel() for p in module.parameters())


class TestNetwork:
    def test_the_presets_have_the_published_sizes(self):
        assert size(VAEGAN("small")) == 865_745
        paper = VAEGAN("paper")
        assert size(paper.decoder) == 1_158_819
        assert size(paper) - size(paper.decoder) == 3_020_768
        assert size(discriminator(paper.preset)) == 328_545

    @pytest.mark.parametrize(("preset", "options"), [("small", {"size": 16}), ("small", {"size": 24, "channels": 3}),
                                                     ("paper", {"size": 16})])  # fmt: skip
    def test_images_come_back_in_their_shape_between_0_and_1(self, preset, options):
        network = VAEGAN(preset, **options).eval()
        p = network.preset
        x = torch.rand(2, p.channels, p.size, p.size)
        with torch.no_grad():
            y = network(x)
        assert y.shape == x.shape
        assert 0 < y.min() <= y.max() < 1

    def test_without_noise_a_sample_is_the_reconstruction(self):
        network, x = VAEGAN(size=16).eval(), images(2, height=16, width=16)
        torch.testing.assert_close(network.sampled(x, torch.zeros(32)), network(x))

    @pytest.mark.parametrize(
        ("make", "match"),
        [
            (lambda: VAEGAN("big"), "preset must be one of"),
            (lambda: VAEGAN(widht=3), "fields of a preset"),
            (lambda: VAEGAN(size=20), "multiple of 8"),
            (lambda: VAEGAN(size=16)(torch.zeros(1, 1, 8, 8)), r"images must be \(N, 1, 16, 16\)"),
            (lambda: VAEGAN.load("gravel"), "there is no file"),
            (lambda: train_vae_gan(torch.zeros(1, 1, 16, 16)), "at least two"),
            (lambda: train_vae_gan(torch.zeros(4, 1, 16, 8)), r"\(N, C, s, s\)"),
            (lambda: train_vae_gan(2 + torch.zeros(4, 1, 16, 16)), r"0\.\.1"),
        ],
    )
    def test_misuse_is_refused(self, make, match):
        with pytest.raises((ValueError, TypeError), match=match):
            make()


class TestLosses:
    """Against the formulas, written out."""

    def run(self, **options):
        torch.manual_seed(0)
        network = VAEGAN(size=16, **options).train()
        critic = discriminator(PRESETS["small_gan"]) if options.get("adversarial_weight") else None
        return _Run(network, critic)

    def pieces(self, x, noise, **options):
        network = self.run(**options).network
        with torch.no_grad():
            mean, lv = network.encode(x)
            y = network.decode(mean + noise * torch.exp(lv / 2))
        kl = sum(-0.5 * (1 + lv[i, j] - mean[i, j] ** 2 - math.exp(lv[i, j])) for i in range(3) for j in range(32)) / 3
        return y, float(kl)

    def test_squared_error_summed_over_pixels_plus_weighted_kl(self):
        x, noise = torch.rand(3, 2, 16, 16), torch.randn(3, 32)
        y, kl = self.pieces(x, noise, channels=2)
        losses = self.run(channels=2).step(x, noise)
        error = float(((x - y) ** 2).sum() / 2 / 3)
        assert losses["error"] == pytest.approx(error, rel=1e-5)
        assert losses["kl"] == pytest.approx(kl, rel=1e-4)
        assert losses["loss"] == pytest.approx(error + 0.1 * kl, rel=1e-5)

    def test_the_published_error_is_cross_entropy(self):
        x, noise = torch.rand(3, 1, 16, 16), torch.randn(3, 32)
        y, _ = self.pieces(x, noise, published=True)
        losses = self.run(published=True).step(x, noise)
        assert losses["error"] == pytest.approx(float(binary_cross_entropy(y, x, reduction="sum")) / 3, rel=1e-5)

    @pytest.mark.parametrize("published", [True, False])
    def test_the_adversarial_term_is_what_the_discriminator_is_fooled_by_beyond_its_own_loss(self, published):
        x, noise = torch.rand(3, 1, 64, 64), torch.randn(3, 32)
        torch.manual_seed(0)
        run = _Run(VAEGAN("small_gan", published=published).train(), discriminator(PRESETS["small_gan"]).train())
        mean, lv = run.network.encode(x)
        y = run.network.decode(mean + noise * torch.exp(lv / 2)).detach()
        logits = run.critic(torch.cat([x, y]))[:, 0].detach()
        own = binary_cross_entropy_with_logits(logits, torch.tensor([0.0] * 3 + [1.0] * 3))
        before = [p.clone() for p in run.critic.parameters()]
        losses = run.step(x, noise)
        assert losses["critic"] == pytest.approx(float(own), rel=1e-4)
        assert losses["adversarial"] >= 1e-4
        moved = max(float((p - b).detach().abs().max()) for p, b in zip(run.critic.parameters(), before, strict=True))
        assert 0 < moved <= 2.1e-3  # one step of Adam
        assert all(p.requires_grad for p in run.critic.parameters())


class TestTraining:
    def test_the_same_seed_gives_the_same_network_and_no_generator_moves(self):
        x = images(20, height=16, width=16)
        with GeneratorsUntouched():
            a, b, c = (train_vae_gan(x, epochs=1, batch_size=8, seed=s, device="cpu") for s in (0, 0, 1))
        assert all(torch.equal(v, b.state_dict()[k]) for k, v in a.state_dict().items())
        assert any(not torch.equal(v, c.state_dict()[k]) for k, v in a.state_dict().items())
        assert not a.training

    @pytest.mark.parametrize("preset", ["small", "small_gan"])
    def test_two_epochs_lower_the_loss_by_a_fifth(self, preset):
        x = images(200, height=64, width=64)
        losses = [h["error"] for h in train_vae_gan(x, preset, epochs=2, batch_size=16, device="cpu").history]
        assert losses[1] < 0.8 * losses[0]

    def test_it_knows_how_far_its_training_images_lie_from_their_reconstructions(self):
        x = images(20, height=16, width=16)
        network = train_vae_gan(x, epochs=1, batch_size=8, device="cpu")
        assert torch.equal(network.normal_deviations, normal_deviations(network, x))

    def test_a_last_row_alone_is_no_batch(self):
        train_vae_gan(images(9, height=16, width=16), epochs=1, batch_size=8, device="cpu")

    def test_training_images_cannot_calibrate(self):
        x = images(30, height=16, width=16)
        score = ReconstructionScore(train_vae_gan(x, epochs=1, device="cpu"), reduce=Max())
        with pytest.raises(ValueError, match="30 of the normals were used in training"):
            score.calibrate(x)
        score.calibrate(images(30, height=16, width=16, seed=1))

    def test_augmented_images_stay_images_and_differ(self):
        x = images(8, height=16, width=16)
        changed = Augmentation()(x, torch.Generator().manual_seed(0))
        assert changed.shape == x.shape
        assert 0 <= changed.min() <= changed.max() <= 1
        assert (changed != x).flatten(1).any(1).all()
        still = Augmentation(degrees=0, shift=0, zoom=0, brightness=(1.0, 1.0))(x, torch.Generator().manual_seed(0))
        either = torch.stack([x, x.flip(2), x.flip(3), x.flip(2, 3)])
        assert ((still - either).abs().amax((2, 3, 4)).amin(0) < 1e-5).all()


class TestFiles:
    @pytest.fixture(autouse=True)
    def _needs_safetensors(self):
        pytest.importorskip("safetensors", reason="safetensors, of the extra `anomaly`, is not installed")

    def test_a_network_comes_back_with_what_is_known_about_it(self, tmp_path):
        network = train_vae_gan(images(20, height=16, width=16), epochs=1, device="cpu", kl_weight=0.3)
        network.save(tmp_path / "n.safetensors")
        other = VAEGAN.load(tmp_path / "n.safetensors")
        x = images(2, height=16, width=16)
        assert torch.equal(other(x), network(x))
        assert (other.preset, other.trained_on, other.history) == (network.preset, network.trained_on, network.history)
        assert other.provenance["images"] == 20
        assert torch.equal(other.normal_deviations, network.normal_deviations)
        assert not other.training

    def test_half_precision_files_are_read_as_single(self, tmp_path):
        network = VAEGAN(size=16).eval()
        network.save(tmp_path / "n.safetensors", dtype=torch.float16)
        other, x = VAEGAN.load(tmp_path / "n.safetensors"), images(2, height=16, width=16)
        assert other(x).dtype == torch.float32
        torch.testing.assert_close(other(x), network(x), atol=2e-3, rtol=0)  # float16 keeps 3 digits of the weights

    def test_the_shipped_network_reconstructs_brick(self):
        from xai_ext.anomaly import texture_defects

        data = texture_defects("brick", n_train=0, n_calibration=40, n_good=60, n_bad=60, n_nuisance=0)
        score = ReconstructionScore(VAEGAN.load("brick")).calibrate(data.calibration)
        assert score(data.bad).mean() > score.threshold
        assert len(score.model.trained_on) > 1000
        labels = np.arange(120) >= 60
        assert auroc(np.concatenate([score.scores_of(data.good), score.scores_of(data.bad)]), labels) >= 0.95
