"""Maps of a run, whole or compact.

Whole: a Zarr array per model, float16 of each map over its largest value, one chunk per map. Compact: in the parts, a
mean per shared region.
"""

import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from xai_ext._checks import InputError
from xai_ext._types import AnyArray, FloatArray, IntArray
from xai_ext.study._plan import Plan, Unit
from xai_ext.study._worker import Found

COMPACT = ("map", "regions", "pixels")  # kinds of rows
_HALF = "float16"
Kept = tuple[AnyArray, dict[str, FloatArray]]


def compact_rows(found: Iterable[tuple[Unit, Found]]) -> Iterator[dict[str, Any]]:
    """The maps of one image: a row for each unit, with a mean per region; regions and pixels once per model."""
    models = set[str]()
    for unit, one in found:
        if one.values is None or one.labels is None or one.pixels is None:
            continue
        labels = {"model": unit.model, "baseline": unit.baseline, "method": unit.method, "seed": unit.repeat}
        yield {**labels, "kind": "map", "unit_id": unit.id, "values": _means(one.values, one.labels)}
        if unit.model not in models:
            models.add(unit.model)
            regions = Image.fromarray(one.labels.astype(np.uint16))
            yield {"model": unit.model, "kind": "regions", "content": _file(regions, "PNG")}
            yield {"model": unit.model, "kind": "pixels", "content": _file(Image.fromarray(one.pixels), "WEBP")}


def of_compact_rows(rows: Iterable[Mapping[str, Any]]) -> Kept | None:
    """What the model saw, and a map per method, of the rows of one image, model, baseline and repeat."""
    means, files = dict[str, FloatArray](), dict[str, AnyArray]()
    for row in rows:
        if row["kind"] == "map":
            means[row["method"]] = np.asarray(row["values"], np.float64)
        else:
            files[row["kind"]] = np.asarray(Image.open(io.BytesIO(row["content"])))
    if not means:
        return None
    return files["pixels"], {method: values[files["regions"]] for method, values in means.items()}


def _means(values: FloatArray, labels: IntArray) -> list[float]:
    flat = labels.ravel()
    return list(np.bincount(flat, values.ravel()) / np.bincount(flat))


def _file(image: Image.Image, kind: str) -> bytes:
    sink = io.BytesIO()
    image.save(sink, kind, quality=80)
    return sink.getvalue()


class MapArchive:
    """``maps.zarr``: reading is for anybody, writing for the runner."""

    def __init__(self, folder: Path, plan: Plan) -> None:
        try:
            import zarr
        except Exception as error:
            raise InputError(f'maps need zarr ({error}); fix: pip install "xai-ext[maps]"') from error
        self._zarr, self._path, self._plan = zarr, folder / "maps.zarr", plan

    def write(self, found: Iterable[tuple[Unit, Found]]) -> None:
        """Maps of a finished block, and what the models saw."""
        root = self._zarr.open_group(self._path, mode="a")
        for unit, one in found:
            if one.values is None or one.pixels is None:
                continue
            array, scales, pixels = self._arrays(root, unit.model, one.values.shape)
            scale = float(np.abs(one.values).max()) or 1.0
            array[unit.image, self._column(unit)] = (one.values / scale).astype(_HALF)
            scales[unit.image, self._column(unit)] = scale
            if not pixels[unit.image].any():
                pixels[unit.image] = one.pixels

    def read(self, units: Sequence[Unit]) -> Kept | None:
        """Of units of one image and model: what the model saw, and a map per method; None if nothing is there."""
        name = self._name(units[0].model)
        if not self._path.exists() or name not in (root := self._zarr.open_group(self._path, mode="r")):
            return None
        found: dict[str, FloatArray] = {}
        for unit in units:
            scale = float(root[name + "-scales"][unit.image, self._column(unit)])
            if np.isfinite(scale):
                found[unit.method] = np.asarray(root[name][unit.image, self._column(unit)], np.float64) * scale
        return (np.asarray(root[name + "-pixels"][units[0].image]), found) if found else None

    def _arrays(self, root: Any, model: str, shape: tuple[int, ...]) -> tuple[Any, ...]:
        name, size = self._name(model), (len(self._plan.items), self._plan.units_per_image // len(self._plan.models))
        if name not in root:
            root.create_array(name, shape=(*size, *shape), chunks=(1, 1, *shape), dtype=_HALF)
            root.create_array(name + "-scales", shape=size, chunks=(1, size[1]), dtype="float64", fill_value=np.nan)
            root.create_array(name + "-pixels", shape=(size[0], *shape, 3), chunks=(1, *shape, 3), dtype="uint8")
        return root[name], root[name + "-scales"], root[name + "-pixels"]

    def _name(self, model: str) -> str:
        return f"model-{self._plan.models.index(model)}"

    def _column(self, unit: Unit) -> int:
        """Baseline, method, repeat."""
        methods, start = self._plan.methods, 0
        for name, repeats in methods:
            if name == unit.method:
                break
            start += repeats
        per_baseline = sum(repeats for _, repeats in methods)
        return self._plan.baselines.index(unit.baseline) * per_baseline + start + unit.repeat
