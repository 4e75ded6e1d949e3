"""RISE for Captum."""

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import torch
from captum.attr import PerturbationAttribution

from xai_ext._arguments import Baselines, Inputs, Target
from xai_ext._captum_compat import log_usage
from xai_ext._checks import check_at_least
from xai_ext.attr._call import Arguments, Call, Example, explained
from xai_ext.attr._maps import projected
from xai_ext.explanation import Explanation
from xai_ext.methods.rise import GridMasks, RegionMasks, rise

Name = Literal["surrogate", "centered", "coverage", "beta", "rise"]


class RISE(PerturbationAttribution):  # type: ignore[misc]
    """The mean answer to random masks, from a quarter of the published number of evaluations, with error bars.

    The values are not Shapley values: they need not sum to f(x) - f(baseline).

    Parameters
    ----------
    forward_func : callable
        The model or any function of the inputs that returns a tensor (N, ...), or one answer per batch.

    References
    ----------
    .. [1] Petsiuk, Das, Saenko, "RISE", BMVC 2018.
    """

    def __init__(self, forward_func: Callable[..., Any]) -> None:
        super().__init__(forward_func)

    @classmethod
    def get_name(cls) -> str:
        """Name of the method, as progress bars show it."""
        return "RISE"

    def attribute_future(self) -> None:
        """Not implemented."""
        raise NotImplementedError("attribute_future is not implemented for RISE")

    @log_usage(part_of_slo=True)  # type: ignore[untyped-decorator]
    @torch.no_grad()
    def attribute(
        self,
        inputs: Inputs,
        baselines: Baselines = None,
        target: Target = None,
        additional_forward_args: Any = None,
        feature_mask: Any = None,
        n_samples: int = 1000,
        perturbations_per_eval: int | None = 1,
        return_input_shape: bool = True,
        show_progress: bool = False,
        *,
        seed: int | None = None,
        tol: float | None = None,
        cells: int | tuple[int, ...] | None = None,
        keep_probability: float = 0.5,
        estimator: Name = "surrogate",
        spatial_dims: int | None = None,
    ) -> Inputs:
        """How the score depends on seeing each position, averaged over random masks.

        Parameters
        ----------
        inputs : Tensor (N, ...) or tuple of them
            Dimensions 2 and following are positions, dimension 1 holds channels, which are masked together.
        baselines, target, additional_forward_args
            As in Captum; a baseline may also be a callable of the inputs.
        feature_mask : integer Tensor or tuple, optional
            Regions that are masked as a whole instead; so are the scalars of inputs (N, F).
        n_samples : int
            Model evaluations per example, f(x) and f(baseline) included; never exceeded.
        perturbations_per_eval : int or None
            A forward call gets at most ``perturbations_per_eval * N`` rows; None lets the package measure.
        return_input_shape : bool
            False returns one value per player (N, K) with a `feature_mask`, else per position (N, 1, *spatial).
        show_progress : bool
            A progress bar of forward calls.
        seed : int, optional
            None derives the masks from torch's global generator.
        tol : float, optional
            Stop early once the largest standard error is at most ``tol * abs(f(x) - f(baseline))``.
        cells, keep_probability, spatial_dims
            Of the masks, see `xai_ext.methods.rise.GridMasks`.
        estimator : {"surrogate", "centered", "coverage", "beta", "rise"}
            See `xai_ext.methods.rise.rise`; "rise" is the published one.

        Returns
        -------
        Tensor or tuple, shaped like the inputs; (N, *outputs, ...) without a target
        """
        data = Arguments(inputs, baselines, target, additional_forward_args, feature_mask)
        masks = GridMasks(cells, keep_probability, spatial_dims)
        call, examples, explanations = self._run(
            data, masks, n_samples, perturbations_per_eval, show_progress, seed, estimator=estimator, tol=tol
        )
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
        n_samples: int = 1000,
        perturbations_per_eval: int | None = 1,
        show_progress: bool = False,
        *,
        seed: int | None = None,
        tol: float | None = None,
        cells: int | tuple[int, ...] | None = None,
        keep_probability: float = 0.5,
        estimator: Name = "surrogate",
        spatial_dims: int | None = None,
    ) -> tuple[Explanation, ...]:
        """One `Explanation` per example; takes the arguments of `attribute`, which returns a projection of this."""
        data = Arguments(inputs, baselines, target, additional_forward_args, feature_mask)
        masks = GridMasks(cells, keep_probability, spatial_dims)
        return tuple(
            self._run(
                data, masks, n_samples, perturbations_per_eval, show_progress, seed, estimator=estimator, tol=tol
            )[2]
        )

    def _run(
        self,
        data: Arguments,
        masks: GridMasks,
        n_samples: int,
        perturbations_per_eval: int | None,
        show_progress: bool,
        seed: int | None,
        **settings: Any,
    ) -> tuple[Call, list[Example], list[Explanation]]:
        check_at_least("n_samples", n_samples, 4, "f(x), f(baseline) and two masks")
        call = Call(self.forward_func, data, perturbations_per_eval, shared=False)
        if seed is None:  # one draw per call: every example sees the same masks
            seed = int(torch.randint(2**63 - 1, (), dtype=torch.int64))

        def explain(example: Example) -> Explanation:
            game = example.game
            mine = masks if data.feature_mask is None else RegionMasks(game.labels, masks.keep_probability)
            return rise(game.masked_model, mine, budget=n_samples, rng=np.random.default_rng(seed), **settings)

        examples = list(call.examples())
        return call, examples, explained(examples, explain, self.get_name(), n_samples, show=show_progress)
