"""LIME: a weighted linear surrogate of the scores of random coalitions."""

from typing import Any

import numpy as np

from xai_ext._checks import InputError, check_at_least, check_positive
from xai_ext._progress import progress
from xai_ext._randomness import default_rng
from xai_ext.explanation import Explanation
from xai_ext.game import Game
from xai_ext.methods._kernels import Cosine, Euclidean, Kernel, PixelCosine
from xai_ext.methods._kernelshap import KernelShap
from xai_ext.methods._lime_run import Outputs, Run, Top, estimand_name
from xai_ext.methods._rows import Surrogate
from xai_ext.methods._select import Select
from xai_ext.methods._surrogates import Lasso, Linear, Ridge, as_surrogate
from xai_ext.methods._weightings import PublishedCode, Weighting, weights
from xai_ext.samplers import Foldover, Sampler, Stratified, named_sampler

__all__ = [
    "Cosine",
    "Euclidean",
    "Lasso",
    "Linear",
    "PixelCosine",
    "PublishedCode",
    "Ridge",
    "Select",
    "Top",
    "default_sampler",
    "host_sampler",
    "lime",
]


def lime(
    game: Game,
    sampler: Sampler | None = None,
    *,
    budget: int = 1000,
    weighting: Weighting = "kernel",
    kernel: Kernel | None = None,
    surrogate: Any = None,
    outputs: Outputs = None,
    tol: float | None = None,
    rng: np.random.Generator | int | None = None,
    show_progress: bool = False,
) -> Explanation:
    """Coefficients of a linear model of the score, fitted to random coalitions near the input.

    Parameters
    ----------
    game : Game
    sampler : Sampler, optional
        How coalitions are drawn; default `Foldover`, or ``Stratified("shapley")`` with ``weighting="kernelshap"``.
        When all 2^n coalitions fit into the budget, each is evaluated once instead, weighted by how often the
        sampler would have drawn it.
    budget : int
        Model evaluations, f(x) and f(baseline) included. A coalition drawn twice is evaluated once and counts
        twice in the fit; the evaluation saved is not spent.
    weighting : {"kernel", "importance", "none", "kernelshap"} or PublishedCode
        Weight of a coalition z: ``kernel(z)``; the same divided by the sampler's law relative to fair coins, so
        that LIME is estimated under any sampler; 1; KernelSHAP's, under any sampler, with completeness as a
        constraint: Shapley values [3]_; what the published stratified LIME computes. The input and the baseline
        are rows too, with the kernel's weight.
    kernel : kernel, optional
        Default ``Cosine(0.25)``, lime's.
    surrogate : optional
        `Ridge`, `Linear`, `Lasso`, `Select` or a regressor of scikit-learn; default ``Ridge(1.0)``, lime's.
    outputs : int, sequence of int or Top, optional
        Which outputs are explained, all by default; one set of evaluations serves all of them.
    tol : float, optional
        Stop early once the largest standard error is at most ``tol * abs(f(x) - f(baseline))``.
    rng : numpy Generator or int, optional
        None draws fresh entropy.
    show_progress : bool
        A tqdm bar of evaluations.

    Returns
    -------
    Explanation
        Its diagnostics, per output where that applies:

        - ``score``, ``score_unweighted``, ``score_cv``: R2 of the rows fitted, weighted and not, and of draws held
          out in five folds (NaN for an enumeration). A constant score has NaN. R2 under different weights is not
          comparable.
        - ``intercept``; ``local_pred``, the surrogate at x; ``gap``, ``local_pred - f(x)``.
        - ``ess``, ``ess_ratio``: effective sample size of the draws, (sum w)^2 / sum w^2, and its share of them.
        - ``response_coverage``, ``response_coverage_range``: range of the draws' scores, from the 1 % to the 99 %
          quantile, over f(x) [4]_, and over abs(f(x) - f(baseline)): below 0.2 the draws missed what matters.
        - ``cv``, ``cv_abs``: standard deviation over mean of the coefficients, and of their absolute values;
          ``confused``: 0 <= cv <= 1, no player stands out [4]_.
        - ``shrinkage``: what the ridge takes from the median player's coefficient; above 0.05 it flattens the map.
        - ``scores``, ``losses`` (m, k), ``weights`` (m,), ``coalitions`` (m, n packed into bits): the draws, their
          scores, and squared residuals. A score is a level, not a sensitivity: compare ``f(x) - scores``.
        - ``outputs``, ``law``, ``weighting``, ``estimand``, ``complete``, ``n_drawn``, ``n_distinct``,
          ``enumerated``, ``stopped_by`` ("budget", "tol" or "stable"); with ``Select(stable=)`` also
          ``unresolved``, for each output the steps of the selection that the draws do not decide.

    Notes
    -----
    With the weighting "kernel" and a sampler other than fair coins, the fit is weighted by the sampler's law
    too: uniform strata move it towards Shapley values. The estimand says which of the two was computed.

    The standard error is a cluster-robust sandwich with small-sample correction [2]_ for `Ridge`, a
    delete-group jackknife, selection included, for other surrogates. It measures sampling: neither the ridge's
    bias nor the surrogate's misfit.

    References
    ----------
    .. [1] Ribeiro, Singh, Guestrin, "Why should I trust you?", KDD 2016, eq. 1 and sec. 3.4.
    .. [2] Bell, McCaffrey, "Bias reduction in standard errors for linear regression with multi-stage samples",
       Survey Methodology 28 (2002).
    .. [3] Lundberg, Lee, "A unified approach to interpreting model predictions", NeurIPS 2017, theorem 2.
    .. [4] Rashid, Amparore, Ferrari, Verda, "Using stratified sampling to improve LIME image explanations",
       AAAI 2024.
    """
    check_at_least("budget", budget, 4, "f(x), f(baseline) and two coalitions")
    if tol is not None:
        check_positive("tol", tol)
    rng = default_rng(rng)
    kernel, sampler = kernel or Cosine(), sampler or default_sampler(weighting)
    weighted = weights(kernel, weighting, sampler, game)
    run = Run(game, sampler, _surrogate(surrogate, weighting), outputs, rng.spawn(1)[0])
    with progress(game.masked_model, "LIME", budget, enabled=show_progress):
        if game.n_players < budget.bit_length():
            result = run.enumerated(weighted, budget)
        else:
            result = run.sampled(weighted, budget - 2, tol, rng)
    return run.explanation(result, estimand_name(sampler, weighting, kernel, game.n_players), weighting)


def default_sampler(weighting: Weighting) -> Sampler:
    """Nearly orthogonal pairs of complements; strata of KernelSHAP's law for its weighting."""
    return Stratified("shapley") if weighting == "kernelshap" else Foldover()


def host_sampler(sampler: str | Sampler, weighting: Weighting, kernel: Kernel) -> Sampler:
    """The sampler of a name in a host class, whose default name is "foldover"."""
    if isinstance(sampler, str) and sampler == "foldover":
        return default_sampler(weighting)
    return named_sampler(sampler, None if isinstance(kernel, PixelCosine) else kernel)


def _surrogate(surrogate: Any, weighting: Weighting) -> Surrogate:
    if weighting != "kernelshap":
        return as_surrogate(surrogate)
    if surrogate is not None:
        raise InputError(f"weighting='kernelshap' has its own surrogate, got {surrogate!r}; fix: leave surrogate out")
    return KernelShap()
