"""How far the maps of one photo agree, beside how far runs of one method agree."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from xai_ext._types import FloatArray, IntArray
from xai_ext.metrics._maps import MapReading
from xai_ext.metrics.disagreement import Candidate, Question, candidates, compared

MEASURE = "spearman"


@dataclass(frozen=True, eq=False)
class PhotoAgreement:
    """Agreement of m methods over shared regions.

    Attributes
    ----------
    measure : str
        Spearman's rank correlation of the mean densities of regions.
    names : tuple of str
    matrix : array (m, m)
        Mean over runs; NaN where a map is constant. The diagonal is that of the first run with itself.
    floor : array (m,)
        Mean agreement of runs that differ by the seed alone: 1 for a method that draws nothing, NaN for a single
        run of one that does.
    n_runs : tuple of int
    """

    measure: str
    names: tuple[str, ...]
    matrix: FloatArray
    floor: FloatArray
    n_runs: tuple[int, ...]

    def as_json(self) -> dict[str, Any]:
        """Lists; NaN is null."""
        rows = [[_plain(v) for v in row] for row in self.matrix]
        floor = [_plain(v) for v in self.floor]
        return {"measure": self.measure, "methods": list(self.names), "matrix": rows, "seed_floor": floor,
                "runs": list(self.n_runs)}  # fmt: skip


def photo_agreement(
    runs: Mapping[str, Sequence[FloatArray]], draws: Mapping[str, bool], labels: IntArray
) -> PhotoAgreement:
    """Agreement of every pair of methods, run by run.

    Parameters
    ----------
    runs : dict
        Method -> its maps (H, W), one per seed.
    draws : dict
        Method -> does it depend on the seed?
    labels : int array (H, W)
        The regions whose mean densities are compared.
    """
    # means: sums of positive maps agree by the size of the regions alone
    reading, names = MapReading(feature_mask=labels, map_kind="region"), tuple(runs)
    read = {name: [_candidate(values, reading) for values in maps] for name, maps in runs.items()}
    matrix = np.diag([_spearman(maps[0], maps[0]) for maps in read.values()])
    for i, j in combinations(range(len(names)), 2):
        a, b = read[names[i]], read[names[j]]
        found = [_spearman(a[r % len(a)], b[r % len(b)]) for r in range(max(len(a), len(b)))]
        matrix[i, j] = matrix[j, i] = np.mean(found)
    floor = [_floor(read[name]) if draws[name] else 1.0 for name in names]
    return PhotoAgreement(MEASURE, names, matrix, np.array(floor), tuple(len(read[n]) for n in names))


def _candidate(values: FloatArray, reading: MapReading) -> Candidate | None:
    return candidates(values[None], reading)[0]


def _floor(maps: Sequence[Candidate | None]) -> float:
    pairs = [_spearman(a, b) for a, b in combinations(maps, 2)]
    return float(np.mean(pairs)) if pairs else np.nan


def _spearman(a: Candidate | None, b: Candidate | None) -> float:
    return compared(a, b, Question(MEASURE))[0][0]


def _plain(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
