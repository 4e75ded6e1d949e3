"""Samplers by the names that host classes and the command line use."""

from xai_ext._checks import InputTypeError, check_choice
from xai_ext.samplers._base import Sampler
from xai_ext.samplers.antithetic import Antithetic
from xai_ext.samplers.bernoulli import Bernoulli
from xai_ext.samplers.stratified import Stratified

SAMPLERS: dict[str, type[Sampler]] = {"mc": Bernoulli, "antithetic": Antithetic, "stratified": Stratified}


def named_sampler(sampler: str | Sampler) -> Sampler:
    """The sampler of that name, or the given one."""
    if isinstance(sampler, str):
        return SAMPLERS[check_choice("sampler", sampler, SAMPLERS)]()
    if not hasattr(sampler, "ask") or not hasattr(sampler, "log_law"):
        raise InputTypeError(f"sampler must be a name or have ask() and log_law(), got {type(sampler).__name__}")
    return sampler
