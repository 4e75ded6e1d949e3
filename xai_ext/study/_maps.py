"""Maps of a run as a Zarr array per model: float16 of each map over its largest value, one chunk per map."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from xai_ext._checks import InputError
from xai_ext._types import FloatArray
from xai_ext.study._plan import Plan, Unit

_HALF = "float16"


class MapArchive:
    """``maps.zarr``: reading is for anybody, writing for the runner."""

    def __init__(self, folder: Path, plan: Plan) -> None:
        try:
            import zarr
        except Exception as error:
            raise InputError(f'maps need zarr ({error}); fix: pip install "xai-ext[maps]"') from error
        self._zarr, self._path, self._plan = zarr, folder / "maps.zarr", plan

    def write(self, units: Sequence[Unit], maps: Sequence[FloatArray | None]) -> None:
        """Maps of a finished block; None leaves a hole."""
        root = self._zarr.open_group(self._path, mode="a")
        for unit, values in zip(units, maps, strict=True):
            if values is None:
                continue
            array, scales = self._arrays(root, unit.model, values.shape)
            scale = float(np.abs(values).max()) or 1.0
            array[unit.image, self._column(unit)] = (values / scale).astype(_HALF)
            scales[unit.image, self._column(unit)] = scale

    def read(self, units: Sequence[Unit]) -> Iterator[tuple[Unit, FloatArray]]:
        """Those that are there."""
        root = self._zarr.open_group(self._path, mode="r")
        for unit in units:
            if self._name(unit.model) not in root:
                continue
            scale = float(root[self._name(unit.model) + "-scales"][unit.image, self._column(unit)])
            if np.isfinite(scale):
                yield unit, np.asarray(root[self._name(unit.model)][unit.image, self._column(unit)], float) * scale

    def _arrays(self, root: Any, model: str, shape: tuple[int, ...]) -> tuple[Any, Any]:
        name, size = self._name(model), (len(self._plan.items), self._plan.units_per_image // len(self._plan.models))
        if name not in root:
            root.create_array(name, shape=(*size, *shape), chunks=(1, 1, *shape), dtype=_HALF)
            root.create_array(name + "-scales", shape=size, chunks=(1, size[1]), dtype="float64", fill_value=np.nan)
        return root[name], root[name + "-scales"]

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
