"""IASSA for Captum."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from captum.attr import PerturbationAttribution

from xai_ext._arguments import Baselines, Inputs, Target
from xai_ext._captum_compat import log_usage
from xai_ext._checks import InputError, check_at_least
from xai_ext.attr._call import Arguments, Call, Example, explained
from xai_ext.attr._maps import projected
from xai_ext.explanation import Explanation
from xai_ext.methods._window_arguments import WindowArguments, named_attention
from xai_ext.methods.iassa import Attention, iassa

_DEFAULT_BUDGET = 1000


@dataclass(frozen=True)
class _Settings:
    preset: str | None
    attention: Attention | None


class IASSA(PerturbationAttribution):  # type: ignore[misc]
    """Occlusion that spends what is left of its budget on smaller windows around what mattered.

    The values are not Shapley values: they need not sum to f(x) - f(baseline). RISE localises objects at least
    as well at equal cost; this is occlusion with a budget.

    Parameters
    ----------
    forward_func : callable
        The model or any function of the inputs that returns a tensor (N, ...), or one answer per batch.
    preset : {"paper"}, optional
        The published windows, strides and region, with attention from features.
    attention : Attention or its source, optional
        See `xai_ext.methods.iassa.Attention`.

    References
    ----------
    .. [1] Vasu, Long, "Iterative and adaptive sampling with spatial attention", WACV 2020.
    """

    def __init__(
        self,
        forward_func: Callable[..., Any],
        *,
        preset: Literal["paper"] | None = None,
        attention: Attention | str | Callable[..., Any] | None = None,
    ) -> None:
        super().__init__(forward_func)
        self._settings = _Settings(preset, named_attention(attention, preset))

    @classmethod
    def get_name(cls) -> str:
        """Name of the method, as progress bars show it."""
        return "IASSA"

    def attribute_future(self) -> None:
        """Not implemented."""
        raise NotImplementedError("attribute_future is not implemented for IASSA")

    @log_usage(part_of_slo=True)  # type: ignore[untyped-decorator]
    @torch.no_grad()
    def attribute(
        self,
        inputs: Inputs,
        baselines: Baselines = None,
        target: Target = None,
        additional_forward_args: Any = None,
        feature_mask: Any = None,
        n_samples: int | None = None,
        perturbations_per_eval: int | None = 1,
        return_input_shape: bool = True,
        show_progress: bool = False,
        *,
        seed: int | None = None,
        tol: float | None = None,
        sliding_window_shapes: Any = None,
        strides: Any = None,
        levels: int | None = None,
        shrink: float | None = None,
        region: float | None = None,
        spatial_dims: int | None = None,
    ) -> Inputs:
        """How much the score drops when a window around each position is hidden, coarse to fine.

        Parameters
        ----------
        inputs : Tensor (N, ...) or tuple of them
            Dimensions 2 and following are positions, dimension 1 holds channels, which are hidden together.
        baselines, target, additional_forward_args
            As in Captum; a baseline may also be a callable of the inputs.
        feature_mask : integer Tensor or tuple, optional
            Regions that are hidden once each instead; so are the scalars of inputs (N, F).
        n_samples : int, optional
            Model evaluations per example, f(x) and f(baseline) included; never exceeded. None: 1000, with a
            preset what it needs at most.
        perturbations_per_eval : int or None
            A forward call gets at most ``perturbations_per_eval * N`` rows; None lets the package measure.
        return_input_shape : bool
            False returns one value per player (N, K) with a `feature_mask`, else per position (N, 1, *spatial).
        show_progress : bool
            A progress bar of forward calls.
        seed : int, optional
            Accepted and not used: nothing is random, and no number is drawn from torch's generator.
        tol : float, optional
            Stop after a level whose largest standard error is at most ``tol * abs(f(x) - f(baseline))``.
        sliding_window_shapes, strides : tuple or tuple of tuples, optional
            Of the first level, as for ``captum.attr.Occlusion``; the first number of a window is that of all
            channels.
        levels, shrink, region
            Number of levels (3), size of a window relative to the level before (0.7), share of positions that
            the next level looks at (0.25).
        spatial_dims : int, optional
            The last so many dimensions are positions.

        Returns
        -------
        Tensor or tuple, shaped like the inputs
        """
        data = Arguments(inputs, baselines, target, additional_forward_args, feature_mask)
        windows = WindowArguments(sliding_window_shapes, strides, levels, shrink, region, spatial_dims)
        call, examples, explanations = self._run(data, windows, n_samples, perturbations_per_eval, show_progress, tol)
        has_mask = feature_mask is not None
        return projected(call, examples, explanations, has_mask=has_mask, return_input_shape=return_input_shape)

    @torch.no_grad()
    def explain(
        self,
        inputs: Inputs,
        baselines: Baselines = None,
        target: Target = None,
        additional_forward_args: Any = None,
        feature_mask: Any = None,
        n_samples: int | None = None,
        perturbations_per_eval: int | None = 1,
        show_progress: bool = False,
        *,
        seed: int | None = None,
        tol: float | None = None,
        sliding_window_shapes: Any = None,
        strides: Any = None,
        levels: int | None = None,
        shrink: float | None = None,
        region: float | None = None,
        spatial_dims: int | None = None,
    ) -> tuple[Explanation, ...]:
        """One `Explanation` per example; takes the arguments of `attribute`, which returns a projection of this."""
        data = Arguments(inputs, baselines, target, additional_forward_args, feature_mask)
        windows = WindowArguments(sliding_window_shapes, strides, levels, shrink, region, spatial_dims)
        return tuple(self._run(data, windows, n_samples, perturbations_per_eval, show_progress, tol)[2])

    def _run(
        self,
        data: Arguments,
        windows: WindowArguments,
        n_samples: int | None,
        perturbations_per_eval: int | None,
        show_progress: bool,
        tol: float | None,
    ) -> tuple[Call, list[Example], list[Explanation]]:
        budget = check_at_least("n_samples", _DEFAULT_BUDGET if n_samples is None else n_samples, 3)
        call = Call(self.forward_func, data, perturbations_per_eval, shared=False)

        def explain(example: Example) -> Explanation:
            model = example.game.masked_model
            if model.output_shape and not call.aggregate:
                raise InputError(
                    f"the model returns scores of shape {model.output_shape} per example and IASSA explains one; "
                    "fix: pass target, for example target=model(x).argmax(1)"
                )
            if data.feature_mask is not None:
                return iassa(model, labels=example.game.labels, budget=budget)
            schedules, needed = windows.schedules(model.inputs, self._settings.preset)
            return iassa(
                model, schedules, budget=needed if n_samples is None and needed else budget, tol=tol,
                attention=self._settings.attention, spatial_dims=windows.spatial_dims,
            )  # fmt: skip

        examples = list(call.examples())
        return call, examples, explained(examples, explain, self.get_name(), budget, show=show_progress)
