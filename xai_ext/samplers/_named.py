"""Samplers by the names that host classes and the command line use."""

from collections.abc import Callable

from xai_ext._checks import InputTypeError, check_choice
from xai_ext.samplers import _laws
from xai_ext.samplers._base import Sampler
from xai_ext.samplers.antithetic import Antithetic
from xai_ext.samplers.bernoulli import Bernoulli
from xai_ext.samplers.foldover import Foldover
from xai_ext.samplers.stratified import Stratified

SAMPLERS: dict[str, Callable[[_laws.Kernel | None], Sampler]] = {
    "mc": lambda _: Bernoulli(),
    "antithetic": lambda _: Antithetic(),
    "foldover": lambda _: Foldover(),
    "stratified": lambda _: Stratified(),
    "stratified_pairs": lambda _: Stratified(pairs=True),
    "published": lambda _: Stratified(allocation="iid"),
    "glime": lambda kernel: Stratified("kernel", kernel=kernel),
}


def named_sampler(sampler: str | Sampler, kernel: _laws.Kernel | None = None) -> Sampler:
    """The sampler of that name, or the given one.

    Parameters
    ----------
    sampler : {"mc", "antithetic", "foldover", "stratified", "stratified_pairs", "published", "glime"} or Sampler
    kernel : callable, optional
        Whose law "glime" draws from.
    """
    if isinstance(sampler, str):
        return SAMPLERS[check_choice("sampler", sampler, SAMPLERS)](kernel)
    if not hasattr(sampler, "ask") or not hasattr(sampler, "log_law"):
        raise InputTypeError(f"sampler must be a name or have ask() and log_law(), got {type(sampler).__name__}")
    return sampler
