"""What a coalition weighs in the fit: the kernel, corrected or not for how coalitions are drawn."""

from dataclasses import dataclass

import numpy as np
from scipy.special import logsumexp

from xai_ext._checks import InputError, check_at_least, check_choice
from xai_ext._types import BoolArray, FloatArray
from xai_ext.game import Game
from xai_ext.methods._kernels import Cosine, Euclidean, Kernel, PixelCosine, Weigh
from xai_ext.samplers import Sampler
from xai_ext.samplers._laws import binomial, kernel_by_size, log_binomial, log_shapley_weight

WEIGHTINGS = ("kernel", "importance", "none", "kernelshap")
_NO_MASS = 1e-6  # share of the target that a law may leave out
_LEAST_ESS = 0.01
_LONGEST_TABLE = 5_000  # players up to which the kernel is tabulated by size


@dataclass(frozen=True)
class PublishedCode:
    """The weights that the package lime_stratified 0.0.1 computes; for reproduction only.

    The paper's adjustment ``a(s) = (n+1) C(n, s) / 2^n`` belongs to the weight; the code multiplies the kernel's
    distance by it, in place, once more for each label that it has already fitted.

    Parameters
    ----------
    repeats : int, optional
        How often. With ``top_labels=t`` the class at position p (0 = most probable) got ``t - p``, and gets it from
        None in `xai_ext.lime_image.StratifiedLimeImageExplainer`, which fits label after label; nowhere else.

    References
    ----------
    .. [1] Rashid, Amparore, Ferrari, Verda, "Using stratified sampling to improve LIME image explanations",
       AAAI 2024.
    """

    repeats: int | None = 1

    def __post_init__(self) -> None:
        if self.repeats is not None:
            check_at_least("repeats", self.repeats, 1)

    def weigh(self, kernel: Cosine | Euclidean, coalitions: BoolArray) -> FloatArray:
        """exp(-(d a^repeats)^2 / (2 width^2)), in logarithms: overflow is 0, d = 0 is 1."""
        n = coalitions.shape[1]
        with np.errstate(divide="ignore", over="ignore"):
            log_distance = np.log(kernel.distance(coalitions)) + self.log_factor(n)[coalitions.sum(1)]
            return np.asarray(np.exp(-np.exp(2 * log_distance) / (2 * kernel.width_for(n) ** 2)))

    def log_factor(self, n: int) -> FloatArray:
        """Logarithm of what the distance of each size 0..n is multiplied with."""
        if self.repeats is None:
            raise InputError(
                "PublishedCode(repeats=None) counts the labels that StratifiedLimeImageExplainer has fitted; "
                "fix: repeats=1 or more elsewhere"
            )
        return np.asarray(self.repeats * (np.log(n + 1) + binomial(n)))


Weighting = str | PublishedCode


@dataclass(frozen=True, eq=False)
class Weights:
    """Weights of rows by where they come from.

    Attributes
    ----------
    kappa : callable
        Kernel of coalitions (m, n), (m,).
    log_law : (n+1,) or None
        Of the sampler, where it must be known.
    log_target : (n+1,) or None
        The weight of all coalitions of a size that the draws are reweighted to, before the kernel; None: the
        draws keep their law.
    """

    kappa: Weigh
    log_law: FloatArray | None
    log_target: FloatArray | None = None

    def drawn(self, coalitions: BoolArray) -> FloatArray:
        """Weights of draws."""
        values = self.kappa(coalitions)
        if self.log_target is None or self.log_law is None:
            return values
        return np.asarray(values * _ratio(self.log_law, self.log_target)[coalitions.sum(1)])

    def anchors(self, coalitions: BoolArray) -> FloatArray:
        """Weights of the input and the baseline, which are not drawn: the kernel alone."""
        return self.kappa(coalitions)

    def enumerated(self, coalitions: BoolArray, n_draws: int) -> FloatArray:
        """Weights of all coalitions, each as often as ``n_draws`` draws would have it on average."""
        n = coalitions.shape[1]
        log_total = self.log_law if self.log_target is None else self.log_target
        if log_total is None:
            raise InputError("all coalitions fit into the budget, which needs the sampler's log_law(n)")
        multiplicity: FloatArray = n_draws * np.exp(log_total - log_binomial(n))
        return np.asarray(self.kappa(coalitions) * multiplicity[coalitions.sum(1)])


def check_weighting(weighting: Weighting) -> Weighting:
    """``weighting`` if it is known."""
    return weighting if isinstance(weighting, PublishedCode) else check_choice("weighting", weighting, WEIGHTINGS)


def weights(kernel: Kernel, weighting: Weighting, sampler: Sampler, game: Game) -> Weights:
    """The weights of rows that ``sampler`` draws for ``game``."""
    n = game.n_players
    log_law = sampler.log_law(n) if hasattr(sampler, "log_law") else None
    if isinstance(weighting, PublishedCode):
        if not isinstance(kernel, Cosine | Euclidean):
            raise InputError(f"PublishedCode needs a kernel with a distance, Cosine or Euclidean, got {kernel}")
        return Weights(lambda coalitions: weighting.weigh(kernel, coalitions), log_law)
    check_weighting(weighting)
    kappa = _checked_kernel(kernel, kernel.on(game) if isinstance(kernel, PixelCosine) else kernel)
    if weighting == "kernel":
        return Weights(kappa, log_law)
    if weighting == "none":
        return Weights(_ones, log_law)
    if log_law is None:
        raise InputError(f"weighting={weighting!r} needs the sampler's log_law(n), which {sampler!r} does not have")
    if weighting == "kernelshap":
        _check_law(log_law, log_shapley_weight(n))
        return Weights(_ones, log_law, log_shapley_weight(n))
    known = isinstance(kernel, Cosine | Euclidean) and n <= _LONGEST_TABLE
    by_size = kernel_by_size(kappa, n) if known else np.ones(n + 1)
    with np.errstate(divide="ignore"):
        _check_law(log_law, binomial(n) + np.log(by_size))
    return Weights(kappa, log_law, binomial(n))


def importance_ratio(log_law: FloatArray) -> FloatArray:
    """Fair coins over the law, of each size 0..n; refuses a law that does not cover them."""
    target = binomial(len(log_law) - 1)
    _check_law(log_law, target)
    return _ratio(log_law, target)


def expected_ess(log_law: FloatArray, log_target: FloatArray) -> float:
    """Expected effective sample size per draw, (sum P w)^2 / sum P w^2 with w = target / P."""
    possible = log_law > -np.inf
    target, law = log_target[possible], log_law[possible]
    if not (target > -np.inf).any():
        return 1.0
    return float(np.exp(2 * logsumexp(target) - logsumexp(2 * target - law)))


def _ratio(log_law: FloatArray, log_target: FloatArray) -> FloatArray:
    """Target over law, 0 where nothing is drawn."""
    possible = log_law > -np.inf
    ratio: FloatArray = np.exp(np.subtract(log_target, log_law, out=np.full(len(possible), -np.inf), where=possible))
    return ratio


def _ones(coalitions: BoolArray) -> FloatArray:
    return np.ones(len(coalitions))


def _checked_kernel(kernel: Kernel, kappa: Weigh) -> Weigh:
    def weigh(coalitions: BoolArray) -> FloatArray:
        values = np.asarray(kappa(coalitions), dtype=np.float64)
        if values.shape != (len(coalitions),) or not np.isfinite(values).all() or (values < 0).any():
            raise InputError(
                f"the kernel {kernel} must return finite weights >= 0 of shape ({len(coalitions)},), got {values}"
            )
        return values

    return weigh


def _check_law(log_law: FloatArray, log_target: FloatArray) -> None:
    """Refuse a law that never, or almost never, draws what the target weighs."""
    inner = np.arange(1, len(log_law) - 1)  # the anchors cover the input and the baseline
    target = np.exp(log_target[inner])
    missing = inner[(log_law[inner] == -np.inf) & (target > _NO_MASS * target.sum())]
    if len(missing):
        raise InputError(
            f"the sampler never draws coalitions of size {', '.join(map(str, missing))}, which this weighting needs; "
            "fix: a law that covers them, for example Stratified('uniform')"
        )
    ratio = expected_ess(log_law, log_target)
    if ratio < _LEAST_ESS:
        raise InputError(
            f"the draws would have an effective sample size of {ratio:.1e} of their number under this weighting; "
            "fix: sampler=Stratified('shapley') for 'kernelshap', Foldover() or Bernoulli() for 'importance'"
        )
