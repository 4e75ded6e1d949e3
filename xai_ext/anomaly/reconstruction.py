"""Autoencoders as anomaly scores: how badly is a sample reconstructed?"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from xai_ext._checks import InputError, InputTypeError, check_choice
from xai_ext._randomness import preserved_generators
from xai_ext.anomaly._frozen import Frozen
from xai_ext.anomaly._info import ScoreInfo
from xai_ext.anomaly._output import check_samples
from xai_ext.anomaly._residuals import RESIDUALS, normal_deviations, residual_of, smoothed, smoothing_weights
from xai_ext.anomaly.reducers import Reducer, named_reducer
from xai_ext.anomaly.scores import AnomalyScore, FrozenScore

__all__ = ["ReconstructionScore", "normal_deviations"]


class ReconstructionScore(AnomalyScore):
    """A reducer of the residual between a sample and its reconstruction.

    Parameters
    ----------
    model : nn.Module
        (N, C, H, W) -> its reconstruction, or a tuple whose first tensor of the input's shape is taken. It runs in
        the mode it is in; `VAEGAN` in evaluation mode decodes the posterior mean.
    residual : str
        Per position: "abs_max" (largest absolute channel difference), "sq_sum", "sq_mean", "abs_mean", "l2",
        "gs_max" (absolute difference of the largest channels), "luma" (absolute difference of grey values: blind to
        defects of equal brightness).
    reduce : Reducer or {"max", "mean", "sum"}
    smooth : float, pixels
        Standard deviation of a Gaussian over the residual, before it is reduced; 0: none.
    decode : callable, optional
        Output of `model` -> reconstruction, for models that return something else.
    stochastic : str
        "mean", or "mc:k": the mean over k decodes with noise vectors fixed by `seed`, the same for every row.
        The model is asked as ``model.sampled(x, noise)`` if it has that method and ``noise_size``, else row by row
        with torch's generator seeded, which needs a model that draws in its present mode.
    reference : callable, optional
        Inputs -> normal counterparts; None: the reconstruction.
    deviations : Tensor (2, C, H, W), "model" or None
        What the difference to the reconstruction is divided by where it is above and below 0, from `normal_deviations`;
        "model": the network's attribute ``normal_deviations``, if it has one, as `train_vae_gan` gives it; None: not
        divided.
    seed : int
    """

    deviations: Tensor | None

    def __init__(
        self,
        model: nn.Module,
        *,
        residual: str = "abs_max",
        reduce: str | Reducer = "max",
        smooth: float = 0.0,
        decode: Callable[[Any], Tensor] | None = None,
        stochastic: str = "mean",
        reference: Callable[[Tensor], Tensor] | None = None,
        deviations: Tensor | str | None = "model",
        seed: int = 0,
    ) -> None:
        if not isinstance(model, nn.Module):
            raise InputTypeError(f"model must be a torch module, got {type(model).__name__}")
        settings = _Settings(residual, smooth, stochastic, seed)
        divisors = _divisors(model, deviations, residual)
        unit = f"residual {residual}" + (" in deviations of normals" if divisors is not None else "")
        info = ScoreInfo("reconstruction", type(model).__name__, unit, cost_per_row=settings.draws)
        super().__init__(info, reduce=named_reducer(reduce), reference=reference)
        self.model, self.settings, self._decode = model, settings, decode
        self.register_buffer("deviations", divisors)

    def reconstruct(self, x: Tensor) -> Tensor:
        """What the model makes of x, (N, C, H, W)."""
        if check_samples(x).dim() != 4:
            raise InputError(
                f"samples must be (N, C, H, W) of one shape, the images to reconstruct, got {tuple(x.shape)}"
            )
        if self.settings.stochastic == "mean":
            return self._first(self.model(x), x)
        return torch.stack([self._drawn(x, i) for i in range(self.settings.draws)]).mean(0)

    def map(self, x: Tensor) -> Tensor:
        """The residual, smoothed, (N, 1, H, W)."""
        return self._evidence(x, self.reconstruct(x))

    def reference(self, x: Tensor) -> Tensor:
        """The reconstruction, or what `reference` makes."""
        if self._reference is not None:
            return super().reference(x)
        with torch.no_grad():
            return self.reconstruct(check_samples(x).detach())

    def frozen(self) -> FrozenScore:
        """See `AnomalyScore.frozen`."""
        return FrozenScore(self._evidence, self._reducer)

    @property
    def trained_on(self) -> frozenset[str]:
        """See `AnomalyScore.trained_on`."""
        return frozenset(getattr(self.model, "trained_on", ()))

    @property
    def _reducer(self) -> Reducer:
        assert self.reduce is not None
        return self.reduce

    def _scores(self, x: Tensor) -> Tensor:
        return self._reducer(self.map(x))

    def _evidence(self, x: Tensor, reconstruction: Tensor) -> Tensor:
        return smoothed(self._residual(x, reconstruction), self.settings.smooth)

    def _residual(self, x: Tensor, reconstruction: Tensor) -> Tensor:
        return residual_of(self.settings.residual, x, reconstruction, self.deviations)

    def _frozen_evidence(self, x: Tensor) -> Frozen:
        raw = self._residual(x, self.reconstruct(x))[:, 0].double().cpu().numpy()
        sigma = self.settings.smooth
        weights = None if sigma == 0 else smoothing_weights((x.shape[2], x.shape[3]), sigma).numpy()
        return Frozen(raw, weights, self.settings.residual)

    def _first(self, output: Any, x: Tensor) -> Tensor:
        if self._decode is not None:
            output = self._decode(output)
        parts = output if isinstance(output, tuple | list) else (output,)
        for part in parts:
            if isinstance(part, Tensor) and part.shape == x.shape:
                return part
        shapes = [tuple(p.shape) if isinstance(p, Tensor) else type(p).__name__ for p in parts]
        raise InputError(
            f"the model must return a reconstruction of shape {tuple(x.shape)}, got {shapes}; fix: decode=, a function "
            "from the model's output to the reconstruction"
        )

    def _drawn(self, x: Tensor, index: int) -> Tensor:
        seed = self.settings.seed * 1_000_003 + index
        if hasattr(self.model, "sampled"):
            generator = torch.Generator().manual_seed(seed)
            noise = torch.randn(int(self.model.noise_size), generator=generator)  # type: ignore[arg-type]
            return self._first(self.model.sampled(x, noise.to(x)), x)  # type: ignore[operator]
        rows = []
        for row in torch.split(x, 1):
            with preserved_generators(seed):
                rows.append(self._first(self.model(row), row))
        return torch.cat(rows)


def _divisors(model: nn.Module, deviations: Tensor | str | None, residual: str) -> Tensor | None:
    """The deviations that are meant, if any."""
    if isinstance(deviations, str):
        check_choice("deviations", deviations, ("model",))
        deviations = getattr(model, "normal_deviations", None) if residual != "gs_max" else None
    if deviations is None:
        return None
    if residual == "gs_max":
        raise InputError('deviations divide differences of channels, "gs_max" compares maxima; fix: deviations=None')
    if (
        not isinstance(deviations, Tensor)
        or deviations.dim() != 4
        or len(deviations) != 2
        or not (deviations > 0).all()
    ):
        got = tuple(deviations.shape) if isinstance(deviations, Tensor) else type(deviations).__name__
        raise InputError(
            f"deviations must be a positive tensor (2, C, H, W), got {got}; fix: normal_deviations(model, x)"
        )
    return deviations.detach().clone()


@dataclass(frozen=True)
class _Settings:
    residual: str
    smooth: float
    stochastic: str
    seed: int

    def __post_init__(self) -> None:
        check_choice("residual", self.residual, RESIDUALS)
        if not self.smooth >= 0:
            raise InputError(f"smooth must be at least 0 pixels, got {self.smooth!r}")
        name, _, count = self.stochastic.partition(":")
        if self.stochastic != "mean" and not (name == "mc" and count.isdigit() and int(count) > 0):
            raise InputError(f'stochastic must be "mean" or "mc:k" with k >= 1, got {self.stochastic!r}')

    @property
    def draws(self) -> int:
        """Decodes per row."""
        return 1 if self.stochastic == "mean" else int(self.stochastic.partition(":")[2])
