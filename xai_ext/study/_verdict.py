"""What may be said of a comparison: sentences by rule, each with the numbers it rests on."""

from collections.abc import Iterator, Sequence

import numpy as np

from xai_ext.study._score import Score
from xai_ext.study.photo_agreement import PhotoAgreement

_RANDOM = "random_segments"
_MOST_PAIRS = 5


def verdict(scores: Sequence[Score], agreement: PhotoAgreement) -> list[str]:
    """Sentences; never an averaged rank, and no winner that one photo cannot name."""
    judged = [s for s in scores if np.isfinite(s.metrics.get("srg", np.nan))]
    methods = [s for s in judged if s.host != "reference"]
    said = [
        *_above_random(methods, judged), *_best(methods), *_disagreeing(agreement), *_statuses(scores),
        *_references(methods, judged),
    ]  # fmt: skip
    return said or ["No method gave a map that could be scored."]


def _above_random(methods: Sequence[Score], judged: Sequence[Score]) -> Iterator[str]:
    random = next((s for s in judged if s.name == _RANDOM), None)
    if random is None or not methods:
        return
    draws = random.values["srg"]
    above = [s.name for s in methods if s.metrics["srg"] > max(draws)]
    yield (
        f"{len(above)} of {len(methods)} methods have a higher SRG than all {len(draws)} maps of random values per "
        f"region (at most {max(draws):.2f}){_listed(above)}."
    )


def _best(methods: Sequence[Score]) -> Iterator[str]:
    if len(methods) < 2:
        return
    best = max(methods, key=lambda s: s.metrics["srg"])
    near = [
        s.name for s in methods
        if s is not best and best.metrics["srg"] - s.metrics["srg"] <= 2 * _spread(best, s)
    ]  # fmt: skip
    tail = f"within seed noise of it: {', '.join(near)}" if near else "no other is within seed noise of it"
    yield f"{best.name} has the highest SRG, {best.metrics['srg']:.2f}; {tail}."


def _spread(a: Score, b: Score) -> float:
    return float(np.sqrt(a.variance_of_mean("srg") + b.variance_of_mean("srg")))


def _disagreeing(found: PhotoAgreement) -> Iterator[str]:
    n = len(found.names)
    pairs = [
        (float(found.matrix[i, j]), found.names[i], found.names[j])
        for i in range(n) for j in range(i)
        if found.matrix[i, j] < min(found.floor[i], found.floor[j])
    ]  # fmt: skip
    known = int(np.isfinite(found.matrix[np.triu_indices(n, 1)]).sum())
    if not known:
        return
    shown = ", ".join(f"{a} and {b} ({value:.2f})" for value, a, b in sorted(pairs)[:_MOST_PAIRS])
    yield (
        f"{len(pairs)} of {known} pairs of maps agree less than runs of either method with other seeds do"
        f"{': least ' + shown if shown else ''}."
    )


def _statuses(scores: Sequence[Score]) -> Iterator[str]:
    for status in dict.fromkeys(s.status for s in scores if s.status != "ok"):
        yield f"{status.replace('_', ' ').capitalize()}: {', '.join(s.name for s in scores if s.status == status)}."
    for s in scores:
        if s.same_as:
            yield f"{s.name} gives the map of {s.same_as}."


def _references(methods: Sequence[Score], judged: Sequence[Score]) -> Iterator[str]:
    for reference in (s for s in judged if s.host == "reference"):
        beaten = [s.name for s in methods if s.metrics["srg"] < reference.metrics["srg"]]
        if beaten:
            yield f"{reference.name}, which knows nothing of the model, has a higher SRG than {', '.join(beaten)}."


def _listed(names: Sequence[str]) -> str:
    return f": {', '.join(names)}" if names else ""
