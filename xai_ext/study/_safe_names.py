"""Names and cells from strangers: file names that stay in their folder, CSV cells that are no formulas."""

import csv
import hashlib
import io
import math
import re
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xai_ext._checks import InputError

if TYPE_CHECKING:
    from pandas import DataFrame

_LONGEST = 80
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")
_HASHED = re.compile(r"-[0-9a-f]{12}$")
_DEVICES = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?", re.IGNORECASE)  # reserved on Windows
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_CONTROLS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_FORMULA = tuple("=+-@")


def file_name(text: str, suffix: str = "") -> str:
    """A file name for any id: of letters, digits and ``._-``, never hidden, reserved or longer than 93 + the suffix.

    Ids that are such names already stay as they are; the others get a hash of the whole id, so that two ids never
    share a file.
    """
    kept = _UNSAFE.sub("_", text)[:_LONGEST]
    good = kept == text and kept[:1] not in ("", ".", "-") and kept[-1] != "."
    if good and not _DEVICES.fullmatch(kept) and not _HASHED.search(kept):
        return kept + suffix
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:12]
    stem = kept.lstrip(".-")
    return f"{'id_' if not stem or _DEVICES.fullmatch(stem) else ''}{stem}-{digest}{suffix}"


def path_below(folder: Path, *parts: str) -> Path:
    """A path in the folder that leads nowhere else, through no symbolic link; else an error."""
    path = folder.joinpath(*parts)
    links = [p for p in (path, *path.parents[: len(parts) - 1]) if p.is_symlink()]
    if links or not path.resolve().is_relative_to(folder.resolve()) or path.resolve() == folder.resolve():
        raise InputError(f"{'/'.join(parts)!r} does not stay in the output folder; fix: names made by file_name()")
    return path


def csv_cell(value: Any) -> str:
    """The text of a cell: floats in full, NaN empty; text that a spreadsheet would run as a formula gets a ``'``."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    text = repr(float(value)) if isinstance(value, float) else _CONTROLS.sub("\N{REPLACEMENT CHARACTER}", str(value))
    if isinstance(value, float) or _NUMBER.fullmatch(text):
        return text
    plain = unicodedata.normalize("NFKC", text).strip()  # full-width signs start formulas too
    return "'" + text if plain.startswith(_FORMULA) else text


def csv_text(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A table as CSV, lines ending in LF."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(map(csv_cell, columns))
    writer.writerows(map(csv_cell, row) for row in rows)
    return out.getvalue()


def write_csv(table: "DataFrame", path: Path) -> Path:
    """Write a table, UTF-8, without its index; returns the path."""
    text = csv_text([str(c) for c in table.columns], table.itertuples(index=False, name=None))
    path.write_text(text, encoding="utf-8", errors="replace", newline="")
    return path
