"""Samplers draw coalitions: ``ask(n, size, rng) -> (size, n) bool``."""

from xai_ext.samplers._base import Sampler
from xai_ext.samplers._named import named_sampler
from xai_ext.samplers.antithetic import Antithetic
from xai_ext.samplers.bernoulli import Bernoulli
from xai_ext.samplers.foldover import Foldover
from xai_ext.samplers.stratified import Stratified

__all__ = ["Antithetic", "Bernoulli", "Foldover", "Sampler", "Stratified", "named_sampler"]
