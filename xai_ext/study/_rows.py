"""From what tasks found to the rows of a part."""

import math
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from xai_ext.study._files import as_arrow
from xai_ext.study._plan import Unit
from xai_ext.study.data import Item

if TYPE_CHECKING:
    import pyarrow as pa

TEXTS = (
    "dataset", "image_id", "kind", "model", "baseline", "method", "method_b", "view", "relation", "metric", "features",
    "host", "method_status", "note", "unit_id",
)  # fmt: skip
NUMBERS = ("value", "seconds", "metric_seconds")
WHOLE = (
    "seed", "seed_b", "target_rank", "class_id", "entry", "n_features", "status", "n_evals", "n_forward", "n_backward",
    "numerics",
)  # fmt: skip
_PAIRS = ("kind", "method", "method_b", "model", "baseline", "view", "relation", "metric", "value", "seed",
          "seed_b", "entry", "n_features", "same")  # fmt: skip


@lru_cache(1)
def schema() -> "pa.Schema":
    """Of the long table.

    `kind` "unit" is a metric of a map; "map", "regions" and "pixels" are compact maps, with `values` or a `content`;
    the others belong to the study of disagreement.
    """
    import pyarrow as pa

    types = {**dict.fromkeys(TEXTS, pa.string()), **dict.fromkeys(NUMBERS, pa.float64())}
    types |= {**dict.fromkeys(WHOLE, pa.int64()), "same": pa.bool_()}
    types |= {"values": pa.list_(pa.float64()), "content": pa.binary()}
    return pa.schema(list(types.items()))


def part_table(rows: Iterable[Mapping[str, Any]]) -> "pa.Table":
    """Rows as they come; what a row does not name is null."""
    columns: dict[str, list[Any]] = {name: [] for name in schema().names}
    for row in rows:
        for name, column in columns.items():
            column.append(row.get(name))
    return as_arrow(columns, schema())


def unit_rows(item: Item, unit: Unit, meta: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """One row per metric, and one for the cost, which every unit has whatever became of it."""
    labels = {
        "dataset": item.dataset, "image_id": item.image_id, "kind": "unit", "model": unit.model,
        "baseline": unit.baseline, "method": unit.method, "seed": unit.repeat, "target_rank": item.rank,
        "class_id": meta.get("class_id"), "features": meta.get("features"), "host": meta.get("host"),
        "method_status": meta["status"], "note": meta.get("note") or None, "n_evals": meta.get("cost"),
        "n_forward": meta.get("n_forward"), "n_backward": meta.get("n_backward"), "seconds": meta.get("seconds"),
        "metric_seconds": meta.get("metric_seconds"),
        "numerics": meta.get("numerics", 0), "unit_id": unit.id,
    }  # fmt: skip
    found = {"cost": meta.get("cost"), "metric_rows": meta.get("metric_rows"), **meta.get("metrics", {})}
    found |= {name: meta.get(name) for name in ("std_error_max", "f_x", "f_baseline") if meta.get(name) is not None}
    for metric in sorted(found):
        value = math.nan if found[metric] is None else float(found[metric])
        yield {**labels, "metric": metric, "value": value, "status": int(not math.isfinite(value))}


def map_rows(item: Item, rows: Iterable[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """Compact maps of an image."""
    for row in rows:
        yield {**row, "dataset": item.dataset, "image_id": item.image_id, "target_rank": item.rank}


def study_rows(item: Item, columns: Mapping[str, list[Any]]) -> Iterator[dict[str, Any]]:
    """Agreement of the maps of an image."""
    own = [name for name in _PAIRS if name in columns]
    for values in zip(*(columns[name] for name in own), strict=True):
        row = dict(zip(own, values, strict=True))
        for name in ("seed", "seed_b", "entry", "n_features"):
            row[name] = None if row[name] is None else int(row[name])
        yield {"dataset": item.dataset, "image_id": item.image_id, "target_rank": item.rank, **row}
