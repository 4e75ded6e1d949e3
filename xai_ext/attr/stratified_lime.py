"""LIME with better coalitions, for Captum."""

import warnings
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from captum.attr import Lime

from xai_ext._arguments import Baselines, Inputs, Target
from xai_ext._captum_compat import log_usage
from xai_ext._checks import InputError, check_at_least
from xai_ext._randomness import preserved_generators
from xai_ext.attr._call import Arguments, Call, Example, explained
from xai_ext.attr._lime_parts import Similarity, as_surrogate, captums_default_similarity
from xai_ext.explanation import Explanation
from xai_ext.game import Game
from xai_ext.methods._diagnostics import warn_of_zeros
from xai_ext.methods._kernels import Kernel, named_kernel
from xai_ext.methods._rows import Surrogate
from xai_ext.methods._weightings import Weighting, check_weighting
from xai_ext.methods.lime import host_sampler, lime
from xai_ext.samplers import Sampler

_MANY_PLAYERS = 10_000


@dataclass(frozen=True, eq=False)
class _Settings:
    """How coalitions are drawn, weighted and fitted."""

    sampler: Sampler
    weighting: Weighting
    kernel: Kernel
    surrogate: Surrogate | None
    similarity_func: Callable[..., Any] | None
    perturb_func: Callable[..., Any] | None


class StratifiedLime(Lime):  # type: ignore[misc]
    """A `captum.attr.Lime` that draws balanced coalitions and says how sure its coefficients are.

    Parameters
    ----------
    forward_func : callable
        The model or any function of the inputs that returns a tensor (N, ...), or one answer per batch.
    interpretable_model : optional
        A Captum ``Model`` (``fit(DataLoader of (X, y, w))``, ``representation()``), a surrogate of
        `xai_ext.methods.lime` (Ridge, Linear, Lasso, Select) or a regressor of scikit-learn; None is
        ``Ridge(1.0)``, lime's, not Captum's ``Lasso(0.01)``, which sets most coefficients of a probability to zero.
    similarity_func : callable, optional
        Weight of one sample, called as Captum calls it; None uses `kernel`.
    perturb_func : callable, optional
        Replaces the sampler: the whole call is then Captum's own ``Lime.attribute``.
    sampler : {"foldover", "antithetic", "mc", "stratified", "stratified_pairs", "published", "glime"} or Sampler
        How coalitions are drawn: pairs of complements, nearly orthogonal to each other or not; independent fair
        coins; every coalition size equally often, alone, in pairs of complements, or on average only, as published
        [1]_; by the kernel itself, which goes with ``weighting="none"``. With ``weighting="kernelshap"`` the default
        is KernelSHAP's law instead; `Foldover()` insists.
    weighting : {"kernel", "importance", "none", "kernelshap"} or PublishedCode
        See `xai_ext.methods.lime.lime`; "kernelshap" gives Shapley values.
    kernel : {"cosine", "euclidean", "pixel_cosine"} or kernel
        Distance that the weight falls with: lime's, on coalitions; Euclidean, on coalitions; Captum's, on pixels.
    kernel_width : float
        0.25 is lime's for "cosine"; Captum's for "pixel_cosine" is 1.0.
    num_features : int, optional
        At most so many coefficients differ from 0, chosen as lime chooses them.

    Notes
    -----
    ``sampler="mc", kernel="pixel_cosine", kernel_width=1.0, interpretable_model=SkLearnLasso(alpha=0.01)`` is
    Captum's default estimator. Coefficients of a linear surrogate are not Shapley values: they need not sum to
    f(x) - f(baseline).

    References
    ----------
    .. [1] Rashid, Amparore, Ferrari, Verda, "Using stratified sampling to improve LIME image explanations",
       AAAI 2024.
    .. [2] Ribeiro, Singh, Guestrin, "Why should I trust you?", KDD 2016.
    """

    def __init__(
        self,
        forward_func: Callable[..., Any],
        interpretable_model: Any = None,
        similarity_func: Callable[..., Any] | None = None,
        perturb_func: Callable[..., Any] | None = None,
        *,
        sampler: str | Sampler = "foldover",
        weighting: Weighting = "kernel",
        kernel: str | Kernel = "cosine",
        kernel_width: float = 0.25,
        num_features: int | None = None,
    ) -> None:
        super().__init__(forward_func, interpretable_model, similarity_func or captums_default_similarity, perturb_func)
        chosen, weighting = named_kernel(kernel, kernel_width), check_weighting(weighting)
        if similarity_func is not None:
            weighting = "importance"
        self._settings = _Settings(
            sampler=host_sampler(sampler, weighting, chosen),
            weighting=weighting,
            kernel=chosen,
            surrogate=as_surrogate(interpretable_model, num_features),
            similarity_func=similarity_func,
            perturb_func=perturb_func,
        )

    @classmethod
    def get_name(cls) -> str:
        """Name of the method, as progress bars show it."""
        return "Stratified LIME"

    def attribute_future(self) -> None:
        """Not implemented."""
        raise NotImplementedError("attribute_future is not implemented for StratifiedLime")

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
    ) -> Inputs:
        """Coefficients of a linear surrogate around each example.

        Parameters
        ----------
        inputs : Tensor (N, ...) or tuple of them
        baselines : number, Tensor, tuple of them or callable, optional
            What takes the place of an absent player; None is 0. A tensor has the input's shape, or 1 in place
            of N. A callable gets the inputs and returns the baselines, as those of `xai_ext.baselines` do.
        target : int, tuple, Tensor, list, optional
            Which output is explained, in every form that Captum takes.
        additional_forward_args : optional
            Further arguments of the model; tensors with N rows are sliced with their example.
        feature_mask : integer Tensor or tuple, optional
            The player of each element; broadcasts from the right to its input. None: every scalar is a player.
        n_samples : int
            Model evaluations per example, f(x) and f(baseline) included; never exceeded.
        perturbations_per_eval : int or None
            A forward call gets at most ``perturbations_per_eval * N`` rows; None lets the package measure what
            is fastest.
        return_input_shape : bool
            False returns one coefficient per player.
        show_progress : bool
            A progress bar of forward calls.
        seed : int, optional
            Draws the same coalitions each time; None derives them from torch's global generator, so that
            ``torch.manual_seed`` reproduces.
        tol : float, optional
            Stop an example early once its largest standard error is at most ``tol * abs(f(x) - f(baseline))``.

        Returns
        -------
        Tensor or tuple, shaped like the inputs
            Each element carries the coefficient of its player. With ``return_input_shape=False`` a tensor
            (N, K); column j belongs to id ``min(feature_mask) + j``, absent ids are 0.

        Raises
        ------
        ValueError, TypeError
            Also an AssertionError, as in Captum, when an argument does not fit.
        """
        check_at_least("n_samples", n_samples, 4, "f(x), f(baseline) and two coalitions")
        data = Arguments(inputs, baselines, target, additional_forward_args, feature_mask)
        if self._settings.perturb_func is not None:
            if tol is not None:
                raise InputError("tol needs this class's own sampling, got a perturb_func too; fix: leave one out")
            with nullcontext() if seed is None else preserved_generators(seed):
                delegated: Inputs = super().attribute.__wrapped__(
                    self, *data, n_samples, perturbations_per_eval or 1, return_input_shape, show_progress
                )
                return delegated
        call, examples, explanations = self._run(data, n_samples, perturbations_per_eval, show_progress, seed, tol)
        dtype = torch.promote_types(examples[-1].game.masked_model.dtype, torch.float32)
        _warn_if_all_zero(explanations)
        if return_input_shape:
            return call.attributions(explanations, dtype)
        return call.coefficients(explanations, [e.ids for e in examples], dtype)

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
        """One `Explanation` per example: coefficients, standard errors and diagnostics.

        Takes the arguments of `attribute`, which returns a projection of this.
        """
        if self._settings.perturb_func is not None:
            raise InputError("explain() needs this class's own sampling, got a perturb_func; fix: use attribute()")
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
        call = Call(self.forward_func, data, perturbations_per_eval)
        examples = list(call.examples())
        _check_game(call, examples[0].game)
        explain = partial(self._explain, n_samples=n_samples, seed=seed, tol=tol)
        return call, examples, explained(examples, explain, self.get_name(), n_samples, show=show_progress)

    def _explain(self, example: Example, n_samples: int, seed: int | None, tol: float | None) -> Explanation:
        s = self._settings
        if seed is None:
            seed = int(torch.randint(2**63 - 1, (), dtype=torch.int64))
        kernel = s.kernel if s.similarity_func is None else Similarity(s.similarity_func, example)
        return lime(
            example.game,
            s.sampler,
            budget=n_samples,
            weighting=s.weighting,
            kernel=kernel,
            surrogate=s.surrogate,
            tol=tol,
            rng=np.random.default_rng(seed),
        )


def _check_game(call: Call, game: Game) -> None:
    shape = game.masked_model.output_shape
    if shape and not call.aggregate:
        raise InputError(
            f"the model returns {int(np.prod(shape))} scores per example and LIME explains one; "
            "fix: pass target, for example target=model(x).argmax(1)"
        )
    if game.n_players > _MANY_PLAYERS:
        warnings.warn(
            f"{game.n_players} players: LIME fits one coefficient for each, which is slow and inexact; "
            "fix: pass a feature_mask that groups them",
            stacklevel=4,
        )


def _warn_if_all_zero(explanations: list[Explanation]) -> None:
    if not any(e.values.any() for e in explanations):
        warn_of_zeros("interpretable_model", stacklevel=5)
