"""A variational autoencoder, adversarial if asked: the reference model for reconstruction scores."""

import json
from collections.abc import Callable
from dataclasses import asdict
from importlib import metadata, resources
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from xai_ext._checks import InputError, check_at_least
from xai_ext._randomness import preserved_generators
from xai_ext.anomaly._calibration import content_ids
from xai_ext.anomaly._residuals import normal_deviations
from xai_ext.anomaly._tensors import check_fits, described_by, read_tensors, write_tensors
from xai_ext.anomaly._training import Augmentation, Training, fit
from xai_ext.anomaly._vae_parts import decoder, discriminator, encoder, preset_of

__all__ = ["VAEGAN", "Augmentation", "train_vae_gan"]

_SHIPPED = ("brick",)


class VAEGAN(nn.Module):
    """Images (N, C, s, s) in 0..1 -> their reconstructions, decoded from the posterior mean.

    Parameters
    ----------
    preset : {"small", "small_gan", "paper"}
        "small": 64 pixels, one channel, squared error + 0.1 KL. "small_gan": the same with an adversarial term [1]_.
        "paper": 128 pixels, colour, the published network, binary cross-entropy + KL + adversarial term [2]_.
    **overrides
        Other values of a preset's fields, such as ``channels=3``.

    Attributes
    ----------
    preset : Preset
    trained_on : frozenset of str
        Ids of the training images; `AnomalyScore.calibrate` refuses them.
    history : list of dict
        Mean losses per epoch.
    normal_deviations : Tensor (2, C, s, s) or None
        How far training images lie above and below their reconstructions; `ReconstructionScore` divides by it.

    Notes
    -----
    Unlike the published framework, training uses batch statistics, and stride-2 convolutions pad symmetrically.

    References
    ----------
    .. [1] Larsen et al., "Autoencoding beyond pixels using a learned similarity metric", ICML 2016.
    .. [2] Rashid, Amparore, Ferrari, Verda, "Can I trust my anomaly detection system?", arXiv 2407.19951 (2024).
    """

    normal_deviations: Tensor | None

    def __init__(self, preset: str = "small", **overrides: Any) -> None:
        super().__init__()
        self.preset = p = preset_of(preset, overrides)
        self.encoder, self.decoder = encoder(p), decoder(p)
        self.mean, self.log_variance = (nn.Linear(p.hidden, p.latent) for _ in range(2))
        self.register_buffer("normal_deviations", None)
        self.trained_on: frozenset[str] = frozenset()
        self.history: list[dict[str, float]] = []
        self.provenance: dict[str, Any] = {}

    def forward(self, x: Tensor) -> Tensor:
        """The reconstruction from the posterior mean."""
        return self.decode(self.encode(x)[0])

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log variance (N, latent) of the posterior."""
        expected = (self.preset.channels, self.preset.size, self.preset.size)
        if tuple(x.shape[1:]) != expected:
            raise InputError(f"images must be (N, {', '.join(map(str, expected))}), got {tuple(x.shape)}")
        hidden = self.encoder(x)
        return self.mean(hidden), self.log_variance(hidden)

    def decode(self, z: Tensor) -> Tensor:
        """Images of latent vectors (N, latent)."""
        image: Tensor = self.decoder(z)
        return image

    @property
    def noise_size(self) -> int:
        """Length of the noise vector of `sampled`."""
        return self.preset.latent

    def sampled(self, x: Tensor, noise: Tensor) -> Tensor:
        """The reconstruction from posterior samples: mean + standard deviation times ``noise`` (latent,)."""
        mean, log_variance = self.encode(x)
        return self.decode(mean + noise * torch.exp(0.5 * log_variance))

    def save(self, path: str | Path, *, dtype: torch.dtype | None = None) -> None:
        """Write one safetensors file; its metadata holds preset, training and versions.

        Parameters
        ----------
        path : path
        dtype : torch.dtype, optional
            Of the weights in the file, for example ``torch.float16``.
        """
        tensors = {k: v if dtype is None or not v.is_floating_point() else v.to(dtype)
                   for k, v in self.state_dict().items()}  # fmt: skip
        write_tensors(Path(path), tensors, {"xai_ext.vae_gan": json.dumps(self.description())})

    def description(self) -> dict[str, Any]:
        """What `save` writes beside the weights."""
        return {
            "preset": asdict(self.preset),
            "trained_on": sorted(self.trained_on),
            "last_losses": self.history[-1] if self.history else {},
            "provenance": self.provenance,
        }

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        kept = state_dict.get(f"{prefix}normal_deviations")  # a buffer that is None would refuse it
        self.normal_deviations = None if kept is None else torch.ones_like(kept)
        super()._load_from_state_dict(state_dict, prefix, *rest)

    @classmethod
    def load(cls, source: str | Path) -> "VAEGAN":
        """A network in evaluation mode, float32: a file of `save`, or "brick", `small` trained on that texture."""
        path = Path(source)
        if str(source) in _SHIPPED:
            path = Path(str(resources.files("xai_ext.anomaly").joinpath("weights", f"{source}.safetensors")))
        tensors, described = read_tensors(path)
        if set(described) != {"xai_ext.vae_gan"}:
            raise InputError(f"{path} does not hold a VAEGAN; known: files of VAEGAN.save, {', '.join(_SHIPPED)}")
        with described_by(path):
            return cls.from_description(json.loads(described["xai_ext.vae_gan"]), tensors)

    @classmethod
    def from_description(cls, description: dict[str, Any], tensors: dict[str, Tensor]) -> "VAEGAN":
        """The network of a `description` and its weights."""
        fields = dict(description["preset"])
        name = fields.pop("name")
        fields["widths"] = tuple(fields["widths"])
        with torch.device("meta"):  # shapes without memory: what is described may be too large for it
            expected = cls(name, **fields)
            if "normal_deviations" in tensors:
                p = expected.preset
                expected.normal_deviations = torch.ones(2, p.channels, p.size, p.size)
            check_fits(tensors, expected.state_dict())
        with preserved_generators():
            network = cls(name, **fields)
        network.load_state_dict(tensors)
        network.trained_on = frozenset(description["trained_on"])
        network.history = [description["last_losses"]] if description["last_losses"] else []
        network.provenance = description["provenance"]
        return network.eval()


def train_vae_gan(
    images: Tensor,
    preset: str = "small",
    *,
    epochs: int | None = None,
    batch_size: int = 64,
    lr: float | None = None,
    kl_weight: float | None = None,
    adversarial_weight: float | None = None,
    augment: bool | Callable[[Tensor, torch.Generator], Tensor] | None = None,
    seed: int = 0,
    device: str | torch.device = "auto",
    show_progress: bool = False,
) -> VAEGAN:
    """Train on normal images (N, C, s, s) in 0..1.

    Parameters
    ----------
    images : Tensor
        Channels and size of the network follow them.
    preset : {"small", "small_gan", "paper"}
        "small" takes 15 epochs: 480 steps of 64 for 2,000 images.
    epochs, lr, kl_weight, adversarial_weight : optional
        Instead of the preset's.
    batch_size : int
    augment : bool or callable, optional
        ``(images, generator) -> images``; True is `Augmentation`; None: as the preset does ("paper": True).
    seed : int
        Of weights, order and noise; torch's own generator is left alone.
    device : "auto" or device
    show_progress : bool

    Returns
    -------
    VAEGAN
        On the CPU, in evaluation mode.

    Notes
    -----
    Loss: batch mean of sum over pixels, mean over channels, of the squared error ("paper": binary cross-entropy), plus
    the weighted KL and adversarial terms. The discriminator learns 0 for images and 1 for reconstructions; the
    adversarial term is max(BCE(s(y), 0) - L_s, 1e-4), L_s its loss.
    """
    if not isinstance(images, Tensor) or images.dim() != 4 or images.shape[2] != images.shape[3]:
        raise InputError(f"images must be a tensor (N, C, s, s), got {tuple(getattr(images, 'shape', ()))}")
    if len(images) < 2 or not bool(((images >= 0) & (images <= 1)).all()):
        raise InputError("images must be at least two, with values in 0..1")
    given = {"epochs": epochs, "lr": lr, "kl_weight": kl_weight, "adversarial_weight": adversarial_weight}
    overrides = {name: value for name, value in given.items() if value is not None}
    overrides |= {"channels": images.shape[1], "size": images.shape[2]}
    with preserved_generators(seed):
        network = VAEGAN(preset, **overrides)
        p = network.preset
        critic = discriminator(p) if p.adversarial_weight else None
    where = _device(device)
    published: bool = p.published if augment is None else bool(augment)
    change = augment if callable(augment) else (Augmentation() if published else None)
    training = Training(check_at_least("batch_size", batch_size, 2), change, seed, where, show_progress)
    network.history = fit(network, critic, images, training)
    network.trained_on = frozenset(content_ids(images))
    network = network.cpu().eval()
    network.normal_deviations = normal_deviations(network, images.float().cpu())
    network.provenance = {"seed": seed, "images": len(images), "torch": metadata.version("torch")}
    return network


def _device(device: str | torch.device) -> torch.device:
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(device)
