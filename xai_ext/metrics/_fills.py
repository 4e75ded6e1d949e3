"""What takes the place of removed positions: the user's choice, unless the protocol fixes it."""

from xai_ext._arguments import Baselines
from xai_ext._checks import InputError
from xai_ext.metrics._protocol import Protocol
from xai_ext.metrics.imputation import LinearImputer

Fill = Baselines | LinearImputer


def deleting(baselines: Fill, protocol: Protocol) -> Fill:
    """The baseline of deletion: the user's, unless the protocol fixes it."""
    if protocol.insertion_baseline is not None and baselines is not None:
        raise InputError("the protocol fixes the baselines (0 for deletion); fix: leave out baselines")
    return baselines


def inserting(baselines: Fill, protocol: Protocol) -> Fill:
    own = deleting(baselines, protocol)
    return own if protocol.insertion_baseline is None else protocol.insertion_baseline


def only(baselines: Fill, protocol: Protocol) -> Fill:
    """The baseline of both."""
    if protocol.insertion_baseline is not None:
        raise InputError("SRG needs one baseline, the protocol has two; fix: deletion_insertion")
    return baselines
