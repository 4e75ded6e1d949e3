"""Small relatives of the other metrics: one expression each, one value per example."""

from collections.abc import Callable, Sequence
from itertools import combinations
from math import comb
from typing import Any

import numpy as np
import torch
from torch import Tensor

from xai_ext._arguments import Baselines, Inputs, Target
from xai_ext._checks import InputError, check_at_least
from xai_ext._forward import on_host
from xai_ext._types import BoolArray, FloatArray
from xai_ext.metrics._adapt import Attributions, named, unnamed
from xai_ext.metrics._agreeing import Ranked, n_chosen, pearson
from xai_ext.metrics._curves import Subject, subset_scores
from xai_ext.metrics._measure import Maps, Problem, feature_values, subjects
from xai_ext.metrics._metric import metric
from xai_ext.metrics._protocol import Protocol
from xai_ext.metrics._randomness import example_rng, seed_of
from xai_ext.metrics._ranking import scaled

Scores = Tensor | Sequence[float] | FloatArray


def average_drop(original: Scores, masked: Scores) -> Tensor:
    """Share of the score that is lost when only what the map shows is kept: max(0, Y - O) / Y.

    Parameters
    ----------
    original, masked : array (B,)
        Y, the score of the input, and O, that of the masked input; probabilities.

    Returns
    -------
    float64 Tensor (B,)
        Lower is better; NaN where Y = 0. Published numbers are means over a data set.

    References
    ----------
    .. [1] Chattopadhay et al., "Grad-CAM++", WACV 2018, sec. 4.
    """
    y, o = _columns(original=original, masked=masked)
    return torch.where(y == 0, torch.nan, (y - o).clamp(min=0) / y)


def average_increase(original: Scores, masked: Scores) -> Tensor:
    """Did the score rise? 1.0 or 0.0; parameters are those of `average_drop`, higher is better."""
    y, o = _columns(original=original, masked=masked)
    return _unless_nan(y, o, (o > y).double())


def average_gain(original: Scores, masked: Scores) -> Tensor:
    """Share of what was missing to 1 that is gained: max(0, O - Y) / (1 - Y).

    Parameters are those of `average_drop`. Higher is better; NaN where Y = 1.
    """
    y, o = _columns(original=original, masked=masked)
    return torch.where(y == 1, torch.nan, (o - y).clamp(min=0) / (1 - y))


def adcc(coherency: Scores, complexity: Scores, drop: Scores) -> Tensor:
    """Harmonic mean of coherency, 1 - complexity and 1 - average drop.

    Parameters
    ----------
    coherency, complexity, drop : array (B,)
        In 0..1.

    Returns
    -------
    float64 Tensor (B,)
        0..1, higher is better; 0 where any of the three is 0.

    References
    ----------
    .. [1] Poppi et al., "Revisiting the evaluation of class activation mapping for explainability", CVPRW 2021.
    """
    kept, simple, lost = _columns(coherency=coherency, complexity=complexity, drop=drop)
    return 3 / (1 / torch.stack([kept, 1 - simple, 1 - lost])).sum(0)


@metric(higher_is_better=True, range=(-1.0, 1.0), needs=["model"])
def sensitivity_n(
    forward_func: Callable[..., Any],
    inputs: Inputs | None,
    attributions: Attributions,
    baselines: Baselines = None,
    additional_forward_args: Any = None,
    target: Target = None,
    *,
    n: float = 0.1,
    n_samples: int = 100,
    feature_mask: Any = None,
    layout: str = "channels_first",
    output: int | str | None = None,
    protocol: Protocol | None = None,
    max_examples_per_batch: int | None = None,
    rng: np.random.Generator | None = None,
) -> Tensor | dict[str, Tensor]:
    """Correlation, over subsets of n features, of their summed values and the fall of the score without them.

    Parameters are those of `deletion`, and:

    Parameters
    ----------
    n : int or float
        Features per subset: a count, or a share of them.
    n_samples : int
        Subsets, drawn without replacement inside each; all of them, when there are no more.
    rng : numpy Generator, optional
        None: ``default_rng(0)``.

    Returns
    -------
    float64 Tensor (B,)
        -1..1, higher is better. NaN where either side does not vary.

    References
    ----------
    .. [1] Ancona et al., "Towards better understanding of gradient-based attribution methods", ICLR 2018, sec. 4.
    """
    check_at_least("n_samples", n_samples, 2)
    settings = Protocol(axis="features") if protocol is None else protocol
    problem = Problem(forward_func, inputs, baselines, additional_forward_args, target, max_examples_per_batch)
    maps, seed = Maps(attributions, feature_mask, "density", layout, output), seed_of(rng)
    found: dict[str, list[float]] = {name: [] for name in named(attributions)}
    for subject, given in subjects(problem, maps, settings):
        values = [feature_values(one, subject.features, maps, settings) for one in given]
        falls = _Falls(subject, settings, n, n_samples, seed)
        for column, a in zip(found.values(), values, strict=True):
            column.append(np.nan if a is None else falls.correlation(a))
    return unnamed(attributions, {name: torch.tensor(c, dtype=torch.float64) for name, c in found.items()})


class _Falls:
    """How far the score of one example falls without random subsets; measured once, for the first finite map."""

    def __init__(self, subject: Subject, protocol: Protocol, n: float, n_samples: int, seed: int) -> None:
        self.subject, self.protocol, self.n, self.n_samples, self.seed = subject, protocol, n, n_samples, seed
        self._known: tuple[BoolArray, FloatArray] | None = None

    def correlation(self, a: FloatArray) -> float:
        if self._known is None:
            subsets = _subsets(len(a), n_chosen(self.n, len(a)), self.n_samples, example_rng(self.seed))
            scores = subset_scores(self.subject, ~subsets, self.protocol)
            self._known = subsets, scores[0] - scores[2:]
        subsets, falls = self._known
        sums = subsets @ scaled(a)[0]  # sums of huge values overflow
        return pearson(Ranked(sums, sums), Ranked(falls, falls))


def _subsets(n_features: int, n: int, n_samples: int, rng: np.random.Generator) -> BoolArray:
    if comb(n_features, n) <= n_samples:
        chosen = np.array(list(combinations(range(n_features), n)))
    else:
        chosen = np.stack([rng.permutation(n_features)[:n] for _ in range(n_samples)])
    subsets = np.zeros((len(chosen), n_features), np.bool_)
    np.put_along_axis(subsets, chosen, True, axis=1)
    return subsets


def _columns(**given: Scores) -> list[Tensor]:
    """Scores that belong together, by name."""
    columns = [_column(values) for values in given.values()]
    shapes = [tuple(c.shape) for c in columns]
    if len(set(shapes)) > 1:
        raise InputError(f"{' and '.join(given)} must be as many scores, got {' and '.join(map(str, shapes))}")
    return columns


def _column(values: Scores) -> Tensor:
    return torch.from_numpy(on_host(values).astype(np.float64))


def _unless_nan(y: Tensor, o: Tensor, value: Tensor) -> Tensor:
    return torch.where(y.isnan() | o.isnan(), torch.nan, value)
