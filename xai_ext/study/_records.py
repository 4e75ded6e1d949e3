"""What a disagreement study keeps of each image: scalars only."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pandas import DataFrame


@dataclass(frozen=True, order=True)
class Key:
    """Which map: of which method, in which setting."""

    method: str
    dataset: str = ""
    model: str = ""
    baseline: str = ""
    seed: int = 0


@dataclass(frozen=True)
class Settings:
    """Of a study."""

    columns: tuple[str, ...]
    ks: tuple[float, ...]
    primary: tuple[str, ...]
    alpha: float
    n_permutations: int
    reading: Mapping[str, Any]


@dataclass(eq=False)
class Records:
    """Rows of tables to be."""

    images: list[dict[str, Any]] = field(default_factory=list)
    pairs: list[dict[str, Any]] = field(default_factory=list)
    concordances: list[dict[str, Any]] = field(default_factory=list)
    scores: list[dict[str, Any]] = field(default_factory=list)
    skipped: list[dict[str, Any]] = field(default_factory=list)
    predictions: list[dict[str, Any]] = field(default_factory=list)
    keys: set[Key] = field(default_factory=set)

    def start(self, image_id: Any, dataset: str) -> "ImageRecord":
        """The record of the next image."""
        return ImageRecord(self, {"image_id": image_id, "dataset": dataset})

    def table(self, name: str) -> "DataFrame":
        """One of the lists as a table."""
        import pandas as pd

        return pd.DataFrame(getattr(self, name))


@dataclass(frozen=True, eq=False)
class ImageRecord:
    """Writes the rows of one image."""

    records: Records
    labels: dict[str, Any]

    def pair(self, view: str, relation: str, a: Key, b: Key, values: Mapping[str, float], n_features: int) -> None:
        """Agreement of two maps; ``relation`` is the factor in which their keys differ, or a kind of reference."""
        self.records.keys |= {a, b}
        row = {"view": view, "relation": relation, "a": a.method, "b": b.method, "model": a.model}
        levels = {"baseline": a.baseline, "seed": a.seed, "seed_b": b.seed, "same": a == b, "n_features": n_features}
        self.records.pairs.append({**self.labels, **row, **levels, **values})

    def concordance(self, view: str, key: Key, w: float) -> None:
        """Kendall's W of the methods of one setting."""
        row = {"view": view, "model": key.model, "baseline": key.baseline, "seed": key.seed, "w": w}
        self.records.concordances.append({**self.labels, **row})

    def skipped(self, keys: Iterable[Key]) -> None:
        """Maps that were not finite."""
        self.records.skipped.extend({**self.labels, "method": k.method, "reason": "NON_FINITE"} for k in keys)

    def about(self, covariates: Mapping[str, float]) -> None:
        """What is known about the image."""
        self.records.images.append({**self.labels, **covariates})

    def predicted(self, prediction: int | Mapping[str, int] | None, target: Any) -> None:
        """The class that each model predicts."""
        given = prediction if isinstance(prediction, Mapping) else {} if prediction is None else {"": prediction}
        rows = ({**self.labels, "model": m, "prediction": int(p), "target": target} for m, p in given.items())
        self.records.predictions.extend(rows)

    def scored(self, scores: Mapping[Key, Mapping[str, float]]) -> None:
        """Scores of maps."""
        for key, values in scores.items():
            row = {"method": key.method, "model": key.model, "baseline": key.baseline, "seed": key.seed}
            self.records.scores.extend(
                {**self.labels, **row, "metric": name, "value": float(v)} for name, v in values.items()
            )
