"""The records of a disagreement study as one long table, and back."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from xai_ext.study._records import Key, Records

if TYPE_CHECKING:
    from pandas import DataFrame

COLUMNS = (
    "dataset", "image_id", "kind", "entry", "view", "relation", "method", "method_b", "model", "baseline", "seed",
    "seed_b", "same", "n_features", "metric", "value", "target",
)  # fmt: skip
_IMAGE = ("dataset", "image_id")
_PAIR = {"view": "view", "relation": "relation", "method": "a", "method_b": "b", "model": "model",
         "baseline": "baseline", "seed": "seed", "seed_b": "seed_b", "same": "same",
         "n_features": "n_features"}  # fmt: skip


def rows_of(records: Records, measures: Sequence[str]) -> "DataFrame":
    """One value a row; `kind` says of what, `entry` counts the records of an image."""
    import pandas as pd

    return pd.DataFrame([*_of_pairs(records, measures), *_of_others(records)], columns=list(COLUMNS))


def _of_pairs(records: Records, measures: Sequence[str]) -> Iterator[dict[str, Any]]:
    counts: dict[tuple[Any, ...], int] = {}
    for pair in records.pairs:
        image = tuple(pair[name] for name in _IMAGE)
        counts[image] = counts.get(image, -1) + 1
        labels = {name: pair[name] for name in _IMAGE} | {name: pair[own] for name, own in _PAIR.items()}
        labels |= {"kind": "pair", "entry": counts[image]}
        yield from ({**labels, "metric": m, "value": pair[m]} for m in measures)


def _of_others(records: Records) -> Iterator[dict[str, Any]]:
    for w in records.concordances:
        yield {**w, "kind": "concordance", "metric": "w", "value": w["w"]}
    for image in records.images:
        labels = {name: image[name] for name in _IMAGE} | {"kind": "image"}
        yield {**labels, "metric": "n", "value": 1.0}
        yield from ({**labels, "metric": k, "value": v} for k, v in image.items() if k not in _IMAGE)
    for score in records.scores:
        yield {**score, "kind": "score"}
    for skip in records.skipped:
        yield {**skip, "kind": "skipped", "metric": skip["reason"], "value": 1.0}
    for one in records.predictions:
        yield {**one, "kind": "prediction", "metric": "prediction", "value": one["prediction"]}


def records_from(rows: "DataFrame") -> Records:
    """The records that `rows_of` wrote, images in order; a table without some column has none of its kind."""
    table = rows.reindex(columns=list(COLUMNS)).sort_values(list(_IMAGE), kind="stable")
    kinds = {kind: part for kind, part in table.groupby("kind", sort=False)}
    records = Records()
    records.pairs = list(_pairs(kinds["pair"])) if "pair" in kinds else []
    records.keys = {
        Key(p[method], p["dataset"], p["model"], p["baseline"], p[seed])
        for p in records.pairs
        for method, seed in (("a", "seed"), ("b", "seed_b"))
    }
    simple = ("model", "baseline", "seed")
    for row in _records(kinds, "concordance", ("view", *simple, "value")):
        records.concordances.append({**row, "seed": int(row["seed"]), "w": row.pop("value")})
    for row in _records(kinds, "score", ("method", *simple, "metric", "value")):
        records.scores.append({**row, "seed": int(row["seed"])})
    for row in _records(kinds, "skipped", ("method", "metric")):
        records.skipped.append({**row, "reason": row.pop("metric")})
    for row in _records(kinds, "prediction", ("model", "value", "target")):
        records.predictions.append({**row, "prediction": int(row.pop("value"))})
    records.images = _images(kinds)
    return records


def _records(kinds: Mapping[Any, "DataFrame"], kind: str, columns: Sequence[str]) -> list[dict[str, Any]]:
    return list(kinds[kind][[*_IMAGE, *columns]].to_dict("records")) if kind in kinds else []


def _images(kinds: Mapping[Any, "DataFrame"]) -> list[dict[str, Any]]:
    images: dict[tuple[Any, ...], dict[str, Any]] = {}
    for row in _records(kinds, "image", ("metric", "value")):
        labels = {name: row[name] for name in _IMAGE}
        image = images.setdefault(tuple(labels.values()), labels)
        if row["metric"] != "n":
            image[row["metric"]] = row["value"]
    return list(images.values())


def _pairs(part: "DataFrame") -> Iterator[dict[str, Any]]:
    """Rows of one pair stand together."""
    part = part.sort_values([*_IMAGE, "entry"], kind="stable")
    new = (part[[*_IMAGE, "entry"]] != part[[*_IMAGE, "entry"]].shift()).any(axis=1).cumsum().to_numpy()
    metrics, values = part["metric"].to_numpy(), part["value"].to_numpy()
    starts = [i for i in range(len(new)) if i == 0 or new[i] != new[i - 1]]
    heads = part.iloc[starts][[*_IMAGE, *_PAIR]].to_dict("records")
    for head, start, stop in zip(heads, starts, [*starts[1:], len(new)], strict=True):
        labels = {name: head[name] for name in _IMAGE} | {own: head[name] for name, own in _PAIR.items()}
        whole = {
            "seed": int(labels["seed"]),
            "seed_b": int(labels["seed_b"]),
            "same": bool(labels["same"]),
            "n_features": int(labels["n_features"]),
        }
        yield {**labels, **whole, **dict(zip(metrics[start:stop], values[start:stop].tolist(), strict=True))}
