"""Owen values under a tree that follows the image, for Captum."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from captum.attr import PerturbationAttribution
from torch import Tensor

from xai_ext._arguments import Baselines, Inputs, Target
from xai_ext._captum_compat import log_usage
from xai_ext._checks import InputError, check_at_least
from xai_ext.attr._call import Arguments, Call, Example, explained
from xai_ext.attr._owen_settings import owen_settings
from xai_ext.attr._players import PixelPlayers
from xai_ext.explanation import Explanation
from xai_ext.hierarchies import Hierarchy
from xai_ext.methods.owen import Estimator, Feedback


class BPTOwen(PerturbationAttribution):  # type: ignore[misc]
    """Owen values of the regions of an image, from the whole picture down to pixels as the budget allows.

    Parameters
    ----------
    forward_func : callable
        The model or any function of the inputs that returns a tensor (N, ...), or one answer per batch.
    hierarchy : {"bpt", "axis_aligned"}, Hierarchy or callable
        The tree over the players of one input of shape (N, C, H, W): binary partition tree of the example itself;
        nested rectangles; a fixed one; a function of the image, float64 (H, W, C), and its labels (H, W). Players
        without such a geometry (other shapes, several inputs, masks that differ between channels) have a balanced
        tree per input in index order, the trees joined in the order of the inputs.
    segmentation : callable, optional
        Image, float64 (H, W, C), -> integer labels (H, W): the players where no `feature_mask` is given. None:
        pixels, all channels together.
    estimator : {"best_first", "designed", "exact"} or estimator
        See `xai_ext.methods.owen.owen`.
    feedback : Feedback, optional
        Builds the tree again with an earlier map as one more channel.
    trees : int
        The mean over so many trees of the image plus noise, with its standard error.

    Notes
    -----
    Without a `feature_mask` each element carries its player's value divided by the player's elements, channels
    included, so that the attributions of an example sum to f(x) - f(baseline). With one it carries the whole value,
    as everywhere in Captum, and ``return_input_shape=False`` sums.

    A tree of an image is one draw from many; ``trees=4`` says how much that matters.

    References
    ----------
    .. [1] Owen, "Values of games with a priori unions", in: Mathematical Economics and Game Theory (1977).
    .. [2] Rashid, Amparore et al., "ShapBPT", AAAI 2026.
    """

    def __init__(
        self,
        forward_func: Callable[..., Any],
        *,
        hierarchy: str | Hierarchy | Callable[..., Hierarchy] = "bpt",
        segmentation: Callable[..., Any] | None = None,
        estimator: str | Estimator = "best_first",
        feedback: Feedback | None = None,
        trees: int = 1,
    ) -> None:
        super().__init__(forward_func)
        self._settings = owen_settings(hierarchy, segmentation, estimator, feedback, trees)

    @classmethod
    def get_name(cls) -> str:
        """Name of the method, as progress bars show it."""
        return "BPT Owen"

    def attribute_future(self) -> None:
        """Not implemented."""
        raise NotImplementedError("attribute_future is not implemented for BPTOwen")

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
        return_convergence_delta: bool = False,
    ) -> Inputs | tuple[Inputs, Tensor]:
        """Owen values of each example.

        Parameters
        ----------
        inputs : Tensor (N, ...) or tuple of them
        baselines : number, Tensor, tuple of them or callable, optional
            What takes the place of an absent player; None is 0. A tensor has the input's shape, or 1 in place
            of N. A callable gets the inputs and returns the baselines, as those of `xai_ext.baselines` do.
        target : int, tuple, Tensor, list, optional
            Which output is explained, in every form that Captum takes; None explains all of them.
        additional_forward_args : optional
            Further arguments of the model; tensors with N rows are sliced with their example.
        feature_mask : integer Tensor or tuple, optional
            The player of each element; broadcasts from the right to its input.
        n_samples : int
            Model evaluations per example, f(x) and f(baseline) included; never exceeded.
        perturbations_per_eval : int or None
            A forward call gets at most ``perturbations_per_eval * N`` rows; None lets the package measure what
            is fastest.
        return_input_shape : bool
            False returns one value per player.
        show_progress : bool
            A progress bar of forward calls.
        seed : int, optional
            Of the noise between trees; None derives it from torch's global generator. Without several trees
            nothing is drawn.
        tol : float, optional
            Stop an example early, see `xai_ext.methods.owen.owen` (several trees: `owen_over_trees`).
        return_convergence_delta : bool
            Also return the sum of the players' values minus (f(x) - f(baseline)), one number per example (and
            output): float rounding. It costs no evaluation.

        Returns
        -------
        Tensor or tuple, shaped like the inputs
            With several outputs and no target ``(N, *outputs, ...)``. With ``return_input_shape=False`` a tensor
            ``(N, K)`` or ``(N, *outputs, K)``; column j belongs to id ``min(feature_mask) + j``, absent ids are 0.

        Raises
        ------
        ValueError, TypeError
            Also an AssertionError, as in Captum, when an argument does not fit.
        """
        data = Arguments(inputs, baselines, target, additional_forward_args, feature_mask)
        call, examples, explanations = self._run(data, n_samples, perturbations_per_eval, show_progress, seed, tol)
        dtype = torch.promote_types(examples[-1].game.masked_model.dtype, torch.float32)
        if return_input_shape:
            attributions = call.attributions(explanations, dtype)
        else:
            attributions = call.coefficients(explanations, [e.ids for e in examples], dtype)
        return (attributions, call.deltas(explanations, dtype)) if return_convergence_delta else attributions

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
    ) -> tuple[Explanation, ...]:
        """One `Explanation` per example: values of the players and diagnostics.

        Takes the arguments of `attribute`, which returns a projection of this.
        """
        data = Arguments(inputs, baselines, target, additional_forward_args, feature_mask)
        with torch.no_grad():
            return tuple(self._run(data, n_samples, perturbations_per_eval, show_progress, seed, tol)[2])

    def _run(
        self,
        data: Arguments,
        n_samples: int,
        perturbations_per_eval: int | None,
        show_progress: bool,
        seed: int | None,
        tol: float | None,
    ) -> tuple[Call, list[Example], list[Explanation]]:
        settings = self._settings
        check_at_least("n_samples", n_samples, 2, "f(x) and f(baseline)")
        if data.feature_mask is not None and settings.segmentation is not None:
            raise InputError("feature_mask and segmentation both define the players; fix: leave one of the two out")
        call = Call(self.forward_func, data, perturbations_per_eval, PixelPlayers(settings.segmentation))
        examples = list(call.examples())
        if settings.draws and seed is None:  # one draw for all examples: a batch is the loop over its examples
            seed = int(torch.randint(2**63 - 1, (), dtype=torch.int64))

        def explain(example: Example) -> Explanation:
            return settings.explain(
                example.game, n_samples, tol, np.random.default_rng(seed) if settings.draws else None
            )

        return call, examples, explained(examples, explain, self.get_name(), n_samples, show=show_progress)
