"""The folder of a run: what is in it is whole, or is not counted."""

import io
import json
import os
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from xai_ext._checks import InputError
from xai_ext.study._files import TEMPORARY, Damaged, disk_full_as_error, read_table, sealed, write_atomically
from xai_ext.study._worker import Found
from xai_ext.study.data import Item

if TYPE_CHECKING:
    import pyarrow as pa

SCHEMA = 1
_ARRAYS = ("values", "labels", "pixels")
_ABANDONED = 600.0  # seconds
_PLAN = ("dataset", "image_id", "path", "target", "mask", "boxes", "sha256", "mask_sha256", "size", "mtime_ns")


class OtherConfiguration(InputError):
    """The folder holds a run of something else."""

    exit_code = 5


class Store:
    """Paths and formats of a run; one runner writes, anybody may read.

    Parameters
    ----------
    folder : Path
        ``manifest.json``; ``plan.parquet``, a row per image; ``parts/``, finished blocks; ``open/``, finished units of
        other blocks; ``failed/`` and ``quarantine/``, one file per unit; ``corrupt/``, parts that were damaged;
        ``maps.zarr``; ``log.jsonl``.
    """

    def __init__(self, folder: str | Path) -> None:
        try:
            import_module("pyarrow")
        except Exception as error:
            raise InputError(f'runs need pyarrow ({error}); fix: pip install "xai-ext[study]"') from error
        self.folder = Path(folder)
        self.parts, self.open = self.folder / "parts", self.folder / "open"
        self.failed, self.quarantine = self.folder / "failed", self.folder / "quarantine"
        self.corrupt, self.manifest_path = self.folder / "corrupt", self.folder / "manifest.json"

    def create(self) -> None:
        """Make the folders; refuse one that holds something else."""
        if self.folder.exists() and not self.folder.is_dir():
            raise InputError(f"{self.folder} exists and is not a folder")
        if self.folder.is_dir() and any(self.folder.iterdir()) and not self.manifest_path.exists():
            raise InputError(f"the folder {self.folder} holds something else; fix: another --out")
        for path in (self.parts, self.open, self.failed, self.quarantine):
            path.mkdir(parents=True, exist_ok=True)

    def remove_if_empty(self) -> None:
        """Leave nothing of a run that was refused before it began, so that the mended call finds no strange folder."""
        if not self.manifest_path.exists() and not any(self.folder.glob("lock*")):
            for folder in (self.parts, self.open, self.failed, self.quarantine, self.folder):
                with suppress(OSError):  # not empty, or not there
                    folder.rmdir()

    def clean(self) -> None:
        """Remove what earlier runners left half written; another shard may be writing right now."""
        for folder in (self.folder, self.parts, self.open, self.failed, self.quarantine):
            for path in folder.glob(f"{TEMPORARY}*"):
                if time.time() - path.stat().st_mtime > _ABANDONED:
                    path.unlink(missing_ok=True)

    def manifest(self) -> dict[str, Any] | None:
        """What the run is of; None in a new folder."""
        try:
            found = json.loads(self.manifest_path.read_text("utf-8"))
        except FileNotFoundError:
            return None
        except (ValueError, RecursionError) as error:
            raise InputError(f"{self.manifest_path} is damaged; fix: another --out") from error
        if not isinstance(found, dict):
            raise InputError(f"{self.manifest_path} must hold a table, got {type(found).__name__}; fix: another --out")
        return found

    def write_manifest(self, manifest: Mapping[str, Any]) -> None:
        """Replace it."""
        text = json.dumps(manifest, indent=1, ensure_ascii=False)
        write_atomically(self.manifest_path, text.encode())

    def write_plan(self, items: Iterable[Item]) -> None:
        """The images, and when their files were read."""
        import pyarrow as pa

        columns = {name: [getattr(i, name) for i in items] for name in _PLAN}
        write_atomically(self.folder / "plan.parquet", sealed(pa.table(columns)))

    def plan_items(self) -> list[Item]:
        """The images, without their roots; none in a new folder or where the file is damaged."""
        try:
            columns = read_table(self.folder / "plan.parquet").to_pydict()
        except Damaged:
            return []
        rows = zip(*(columns[name] for name in _PLAN), strict=True)
        return [Item(root="", **dict(zip(_PLAN, row, strict=True))) for row in rows]

    def part_names(self) -> set[str]:
        """Of finished blocks."""
        return {entry.name for entry in os.scandir(self.parts) if entry.name.startswith("b")}

    def write_part(self, name: str, table: "pa.Table") -> None:
        """A finished block."""
        write_atomically(self.parts / name, sealed(table))

    def read_parts(self, names: Iterable[str] | None = None) -> "tuple[list[tuple[str, pa.Table]], list[str]]":
        """Parts (all, or these) in the order of blocks, and those that were damaged and are now in ``corrupt/``."""
        tables, damaged = [], []
        for name in sorted(self.part_names() if names is None else names):
            try:
                tables.append((name, read_table(self.parts / name)))
            except Damaged:
                damaged.append(name)
                self._set_aside(self.parts / name)
        return tables, damaged

    def _set_aside(self, path: Path) -> None:
        self.corrupt.mkdir(exist_ok=True)
        if path.exists():
            os.replace(path, self.corrupt / path.name)
        self.log("damaged", part=path.name)

    def remember(self, id: str, found: Found) -> None:
        """Keep what a task found until its block is finished.

        Not flushed to the disk: after a loss of power the archive's checksums tell, and the task is done again.
        """
        arrays = {name: a for name in _ARRAYS if (a := getattr(found, name)) is not None}
        content = io.BytesIO()
        np.savez(content, meta=np.frombuffer(json.dumps(found.meta).encode(), np.uint8), **arrays)
        write_atomically(self.open / f"{id}.npz", content.getvalue(), durable=False)

    def recall(self, id: str) -> Found | None:
        """What was remembered, if it is whole."""
        path = self.open / f"{id}.npz"
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
                meta = json.loads(arrays["meta"].tobytes())
                return Found(meta, *(arrays[n] if n in arrays else None for n in _ARRAYS))
        except FileNotFoundError:
            return None
        except Exception:  # NumPy, zipfile and zlib raise many kinds for a broken archive
            path.unlink(missing_ok=True)
            return None

    def recall_meta(self, id: str) -> dict[str, Any] | None:
        """Without the arrays; their checksums count all the same."""
        found = self.recall(id)
        return None if found is None else found.meta

    def remembered(self) -> set[str]:
        """Ids."""
        return {entry.name.removesuffix(".npz") for entry in os.scandir(self.open) if entry.name.endswith(".npz")}

    def forget(self, ids: Iterable[str]) -> None:
        """Their block is finished."""
        for id in ids:
            (self.open / f"{id}.npz").unlink(missing_ok=True)

    def record(self, folder: Path, id: str, content: Mapping[str, Any]) -> None:
        """A failure, in `failed` or `quarantine`."""
        write_atomically(folder / f"{id}.json", json.dumps(content, indent=1, ensure_ascii=False).encode())

    def recorded(self, folder: Path) -> dict[str, dict[str, Any]]:
        """Id -> content; a damaged record is none, so that its unit runs again."""
        found = {path.stem: _record(path.read_bytes()) for path in sorted(folder.glob("*.json"))}
        return {id: content for id, content in found.items() if content is not None}

    def log(self, event: str, **content: Any) -> None:
        """One line of ``log.jsonl``."""
        line = {"time": datetime.now(UTC).isoformat(timespec="milliseconds"), "event": event, **content}
        text = json.dumps(line, ensure_ascii=False) + "\n"
        with (
            disk_full_as_error("log.jsonl", len(text)),
            (self.folder / "log.jsonl").open("a", encoding="utf-8") as file,
        ):
            file.write(text)


def _record(content: bytes) -> dict[str, Any] | None:
    try:
        found = json.loads(content)
        return found if isinstance(found["meta"]["note"], str) else None
    except (ValueError, LookupError, TypeError, RecursionError):
        return None
