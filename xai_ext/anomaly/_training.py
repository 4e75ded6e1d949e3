"""Training of the reference VAE-GAN: losses, updates, augmentation."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn.functional import affine_grid, binary_cross_entropy, binary_cross_entropy_with_logits, grid_sample

if TYPE_CHECKING:
    from xai_ext.anomaly.vae_gan import VAEGAN

_FLOOR = 1e-4  # of the adversarial term
_CLIP = 1e-7


@dataclass(frozen=True)
class Training:
    """How to train; the rest is in the network's preset."""

    batch_size: int
    augment: Callable[[Tensor, torch.Generator], Tensor] | None
    seed: int
    device: torch.device
    show_progress: bool


@dataclass(frozen=True)
class Augmentation:
    """Random rotation, shift, zoom, brightness and flips, edges continued: the published settings by default."""

    degrees: float = 40.0
    shift: float = 0.05
    zoom: float = 0.05
    brightness: tuple[float, float] = (0.8, 1.2)

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Images (N, C, H, W) in 0..1, each changed on its own."""
        n = len(images)

        def uniform(low: float, high: float) -> Tensor:
            return (low + (high - low) * torch.rand(n, generator=generator)).to(images)

        angle = uniform(-self.degrees, self.degrees) * math.pi / 180
        signs = [torch.where(uniform(0, 1) < 0.5, -1.0, 1.0).to(images) for _ in range(2)]
        zoom = uniform(1 - self.zoom, 1 + self.zoom)
        theta = images.new_zeros(n, 2, 3)
        theta[:, 0, 0], theta[:, 0, 1] = signs[0] * zoom * angle.cos(), -zoom * angle.sin()
        theta[:, 1, 0], theta[:, 1, 1] = zoom * angle.sin(), signs[1] * zoom * angle.cos()
        theta[:, :, 2] = torch.stack([uniform(-2 * self.shift, 2 * self.shift) for _ in range(2)], 1)
        grid = affine_grid(theta, list(images.shape), align_corners=False)
        moved = grid_sample(images, grid, padding_mode="border", align_corners=False)
        return (moved * uniform(*self.brightness).reshape(-1, 1, 1, 1)).clamp(0, 1)


def fit(network: "VAEGAN", critic: nn.Module | None, images: Tensor, training: Training) -> list[dict[str, float]]:
    """Train in place; mean losses per epoch."""
    from tqdm.auto import tqdm

    generator = torch.Generator().manual_seed(training.seed)
    run = _Run(network.to(training.device).train(), None if critic is None else critic.to(training.device).train())
    history = []
    epochs = range(network.preset.epochs)
    for _ in tqdm(epochs, desc="VAE-GAN", unit="epoch", disable=not training.show_progress):
        order = torch.randperm(len(images), generator=generator)
        sums: dict[str, float] = {}
        for rows in _batches(order, training.batch_size):
            x = images[rows].float()
            x = (x if training.augment is None else training.augment(x, generator)).to(training.device)
            noise = torch.randn(len(x), network.noise_size, generator=generator).to(training.device)
            for name, value in run.step(x, noise).items():
                sums[name] = sums.get(name, 0.0) + value * len(x) / len(images)
        history.append(sums)
    return history


class _Run:
    """Networks and their optimisers."""

    def __init__(self, network: "VAEGAN", critic: nn.Module | None) -> None:
        p = network.preset
        self.network, self.critic = network, critic
        self.optimiser = torch.optim.Adam(network.parameters(), lr=p.lr, eps=p.eps)
        self.critic_optimiser = None if critic is None else torch.optim.Adam(critic.parameters(), lr=p.lr, eps=p.eps)

    def step(self, x: Tensor, noise: Tensor) -> dict[str, float]:
        p = self.network.preset
        mean, log_variance = self.network.encode(x)
        y = self.network.decode(mean + noise * torch.exp(0.5 * log_variance))
        error = _error(x, y, published=p.published)
        kl = -0.5 * (1 + log_variance - mean**2 - log_variance.exp()).sum(1).mean()
        loss = error + p.kl_weight * kl
        losses = {"error": float(error.detach()), "kl": float(kl.detach())}
        if self.critic is not None:
            adversarial, critic_loss = self._adversarial(x, y)
            loss = loss + p.adversarial_weight * adversarial
            losses |= {"adversarial": float(adversarial.detach()), "critic": critic_loss}
        _update(self.optimiser, loss)
        if self.critic is not None and p.published:
            assert self.critic_optimiser is not None
            self.critic_optimiser.step()  # its gradient comes from the same forward, before any update
        return losses | {"loss": float(loss.detach())}

    def _adversarial(self, x: Tensor, y: Tensor) -> tuple[Tensor, float]:
        assert self.critic is not None
        assert self.critic_optimiser is not None
        logits = self.critic(torch.cat([x, y.detach()]))[:, 0]
        wanted = torch.cat([torch.zeros(len(x)), torch.ones(len(y))]).to(logits)
        critic_loss = binary_cross_entropy_with_logits(logits, wanted)
        self.critic_optimiser.zero_grad()
        critic_loss.backward()  # type: ignore[no-untyped-call]
        if not self.network.preset.published:
            self.critic_optimiser.step()
        self.critic.requires_grad_(False)
        judged = self.critic(y)[:, 0]
        self.critic.requires_grad_(True)
        fooling = binary_cross_entropy_with_logits(judged, torch.zeros_like(judged))
        return (fooling - critic_loss.detach()).clamp(min=_FLOOR), float(critic_loss.detach())


def _error(x: Tensor, y: Tensor, *, published: bool) -> Tensor:
    if published:
        per_value = binary_cross_entropy(y.clamp(_CLIP, 1 - _CLIP), x, reduction="none")
    else:
        per_value = (x - y) ** 2
    return per_value.mean(1).sum((1, 2)).mean()


def _update(optimiser: torch.optim.Optimizer, loss: Tensor) -> None:
    optimiser.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    optimiser.step()


def _batches(order: Tensor, size: int) -> list[Tensor]:
    """Parts of about ``size``; a last one of a single row, which has no batch statistics, joins the one before."""
    parts = list(torch.split(order, size))
    if len(parts) > 1 and len(parts[-1]) == 1:
        parts[-2:] = [torch.cat(parts[-2:])]
    return parts
