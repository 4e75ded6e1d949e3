"""Files that are whole or not there, and tables in which every changed bit is noticed."""

import contextlib
import errno
import hashlib
import io
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xai_ext._checks import InputError

if TYPE_CHECKING:
    import pyarrow as pa

TEMPORARY = ".tmp-"
_FULL = (errno.ENOSPC, errno.EDQUOT)
_SEAL, _OPEN = b"xai_ext.sha256:", b"0" * 64


class Damaged(Exception):
    """A file does not hold what was written."""


class DiskFull(InputError):
    """There is no room for a file; nothing of it was left behind."""

    exit_code = 6


def write_atomically(path: Path, content: bytes, *, durable: bool = True) -> None:
    """Write beside the file, then rename; `durable` survives a loss of power."""
    temporary = path.with_name(f"{TEMPORARY}{os.getpid()}-{secrets.token_hex(4)}")
    with disk_full_as_error(path.name, len(content)):
        try:
            _write(temporary, content, durable)
            os.replace(temporary, path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        if durable:
            _sync_folder(path.parent)


@contextlib.contextmanager
def disk_full_as_error(name: str, needed: int) -> Iterator[None]:
    """Errors of a full disk say how much is needed."""
    try:
        yield
    except OSError as error:
        if error.errno not in _FULL:
            raise
        raise DiskFull(
            f"the disk is full: {name} needs {needed} bytes; fix: free some space, then the same command continues"
        ) from error


def _write(path: Path, content: bytes, durable: bool) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        if durable:
            os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    if os.name == "nt":  # folders cannot be opened there
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sealed(table: "pa.Table") -> bytes:
    """A table as Parquet with checksums of its pages, and a digest of the whole file in its footer.

    Page checksums leave the footer out, and with it the names and lengths of columns.
    """
    import pyarrow.parquet as pq

    sink = io.BytesIO()
    with pq.ParquetWriter(
        sink, table.schema, compression="zstd", write_page_checksum=True, store_schema=False, write_statistics=False
    ) as writer:
        writer.write_table(table)
        writer.add_key_value_metadata({"seal": (_SEAL + _OPEN).decode()})
    content = sink.getvalue()
    at = _seal_in(content)
    return content[:at] + hashlib.sha256(content).hexdigest().encode() + content[at + len(_OPEN) :]


def unsealed(content: bytes) -> "pa.Table":
    """The table, if every bit is as it was written."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    at = _seal_in(content)
    found, own = content[at : at + len(_OPEN)], content[:at] + _OPEN + content[at + len(_OPEN) :]
    if hashlib.sha256(own).hexdigest().encode() != found:
        raise Damaged("its digest is another one")
    try:
        file = pq.ParquetFile(pa.BufferReader(content), page_checksum_verification=True)
        return file.read(use_threads=False).replace_schema_metadata(None)
    except (OSError, pa.ArrowException) as error:
        raise Damaged(str(error)) from error


def _seal_in(content: bytes) -> int:
    at = content.rfind(_SEAL)
    if at < 0:
        raise Damaged("it has no digest")
    return at + len(_SEAL)


def read_table(path: Path) -> "pa.Table":
    """The table in a file; `Damaged` if it is not what was written."""
    try:
        return unsealed(path.read_bytes())
    except FileNotFoundError as error:
        raise Damaged("it is gone") from error


def as_arrow(rows: dict[str, list[Any]], schema: "pa.Schema") -> "pa.Table":
    """Columns in the order of the schema."""
    import pyarrow as pa

    return pa.table([pa.array(rows[field.name], field.type) for field in schema], schema=schema)
