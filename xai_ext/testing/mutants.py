"""Broken methods, each with the checks that must catch it: what shows that the battery can fail."""

from xai_ext.testing import (  # noqa: F401 - importing a module of mutants lists them
    _mutants_contract,
    _mutants_hosts,
    _mutants_life,
    _mutants_numbers,
    _mutants_traces,
)
from xai_ext.testing._mutant_kit import MUTANTS, Mutant

__all__ = ["MUTANTS", "Mutant"]
