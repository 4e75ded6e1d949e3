"""Presets and layers of the reference VAE-GAN."""

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

from torch import nn

from xai_ext._checks import InputError, InputTypeError, check_at_least, check_choice


@dataclass(frozen=True)
class Preset:
    """Sizes and training of a network; see `VAEGAN` for the presets.

    Attributes
    ----------
    name : str
    channels, size : int
        Of the images (C, size, size); the size is a multiple of 2 to the number of `widths`.
    widths : tuple of int
        Channels of the encoder's convolutions, each halving the side.
    latent, hidden : int
        Dimensions of the latent space and of the layer before it.
    published : bool
        Decoder, loss and updates of the published study.
    epochs, lr, eps, kl_weight, adversarial_weight
        Of training; Adam.
    """

    name: str
    channels: int = 1
    size: int = 64
    widths: tuple[int, ...] = (16, 32, 64)
    latent: int = 32
    hidden: int = 160
    published: bool = False
    epochs: int = 15
    lr: float = 2e-3
    eps: float = 1e-8
    kl_weight: float = 0.1
    adversarial_weight: float = 0.0

    def __post_init__(self) -> None:
        for name in ("channels", "size", "latent", "hidden"):
            check_at_least(name, getattr(self, name), 1)
        step = 2 ** len(self.widths)
        if self.size % step:
            raise InputError(f"size must be a multiple of {step}, got {self.size}")

    @property
    def grid(self) -> int:
        """Side of the smallest map."""
        return int(self.size // 2 ** len(self.widths))


_SMALL = Preset("small")
PRESETS = {
    "small": _SMALL,
    "small_gan": replace(_SMALL, name="small_gan", adversarial_weight=1.0),
    "paper": Preset(
        "paper", channels=3, size=128, widths=(32, 64, 128, 256), published=True, epochs=30_000, lr=1e-3, eps=1e-7,
        kl_weight=1.0, adversarial_weight=1.0,
    ),
}  # fmt: skip


def preset_of(name: str, overrides: dict[str, Any]) -> Preset:
    """A preset with some fields changed."""
    try:
        return replace(PRESETS[check_choice("preset", name, PRESETS)], **overrides)
    except TypeError as error:
        fields = ", ".join(Preset.__dataclass_fields__)
        raise InputTypeError(f"overrides must be fields of a preset ({fields}), got {sorted(overrides)}") from error


def encoder(p: Preset) -> nn.Sequential:
    """(N, C, s, s) -> (N, hidden)."""
    layers: list[nn.Module] = []
    for i, (a, b) in enumerate(pairwise((p.channels, *p.widths))):
        layers += [nn.Conv2d(a, b, 3, stride=2, padding=1), nn.ReLU()]
        layers += [nn.BatchNorm2d(b)] if i < len(p.widths) - 1 else []
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(p.widths[-1] * p.grid**2, p.hidden), nn.Tanh())


def decoder(p: Preset) -> nn.Sequential:
    """(N, latent) -> (N, C, s, s) in 0..1."""
    first = 64
    head = [nn.Linear(p.latent, first * p.grid**2), nn.ReLU(), nn.Unflatten(1, (first, p.grid, p.grid))]
    return nn.Sequential(*head, *(_published_blocks(p, first) if p.published else _blocks(p, first)), nn.Sigmoid())


def discriminator(p: Preset) -> nn.Sequential:
    """(N, C, s, s) -> logits (N, 1), 1 for a reconstruction."""
    a, b, c, dense = (128, 64, 32, 128) if p.published else (16, 16, 8, 32)
    side = p.size
    for kernel, padding, pool in ((8, 3, 2), (5, 2, 2), (4, 1, 1)):
        side = ((side + 2 * padding - kernel) // 2 + 1) // pool
    if side < 1:
        raise InputError(f"an adversarial term needs images of at least 32 pixels, got {p.size}; fix: preset='small'")
    return nn.Sequential(
        nn.Conv2d(p.channels, a, 8, stride=2, padding=3), nn.ReLU(), nn.MaxPool2d(2), nn.BatchNorm2d(a),
        nn.Conv2d(a, b, 5, stride=2, padding=2), nn.ReLU(), nn.MaxPool2d(2), nn.BatchNorm2d(b),
        nn.Conv2d(b, c, 4, stride=2, padding=1), nn.ReLU(), nn.Flatten(),
        nn.Linear(c * side**2, dense), nn.ReLU(), nn.Linear(dense, 1),
    )  # fmt: skip


def _blocks(p: Preset, first: int) -> list[nn.Module]:
    widths = (first, *p.widths[-2::-1], p.channels)
    layers: list[nn.Module] = []
    for i, (a, b) in enumerate(pairwise(widths)):
        layers.append(nn.ConvTranspose2d(a, b, 4, stride=2, padding=1))
        layers += [nn.ReLU(), nn.BatchNorm2d(b)] if i < len(widths) - 2 else []
    return layers


def _published_blocks(p: Preset, first: int) -> list[nn.Module]:
    widths = (first, *p.widths[::-1])
    layers: list[nn.Module] = []
    for i, (a, b) in enumerate(pairwise(widths)):
        layers += [nn.ConvTranspose2d(a, b, 2, stride=2), nn.ReLU(), nn.Conv2d(b, b, 3, padding=1), nn.ReLU()]
        layers += [nn.BatchNorm2d(b)] if i < len(widths) - 2 else []
    return [*layers, nn.ConvTranspose2d(p.widths[0], p.channels, 3, padding=1)]
