"""One runner in a folder at a time, or shards of one whole."""

import json
import os
import socket
import threading
from pathlib import Path
from types import TracebackType

from xai_ext._checks import InputError
from xai_ext.study._files import disk_full_as_error

BEAT, STALE = 10.0, 60.0  # seconds


class Locked(InputError):
    """Another runner works on the folder."""

    exit_code = 5


class Lock:
    """Held inside a ``with`` block; a thread touches the file.

    Parameters
    ----------
    folder : Path
    shard : (int, int), optional
        i of n: runners of other i and the same n work beside each other.
    force : bool
        Work although somebody else does: both write the same, so that time is lost and nothing else.
    """

    def __init__(self, folder: Path, shard: tuple[int, int] | None = None, *, force: bool = False) -> None:
        name = "lock" if shard is None else f"lock-{shard[0]}-of-{shard[1]}"
        self.folder, self.path, self.force, self.shard = folder, folder / name, force, shard
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True)

    def __enter__(self) -> "Lock":
        if not self.force:
            self._refuse_others()
        with disk_full_as_error(self.path.name, 100):
            self.path.write_text(json.dumps({"host": socket.gethostname(), "pid": os.getpid()}))
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        if _owner(self.path) == (socket.gethostname(), os.getpid()):
            self.path.unlink(missing_ok=True)

    def _refuse_others(self) -> None:
        for other in sorted(self.folder.glob("lock*")):
            if self._conflicts(other.name) and is_alive(other):
                host, pid = _owner(other)
                raise Locked(
                    f"another runner works on this folder (process {pid} on {host}); fix: wait for it, stop it, or "
                    "--force to work beside it"
                )

    def _conflicts(self, other: str) -> bool:
        parts = other.split("-of-")
        beside = self.shard is not None and len(parts) == 2 and parts[1] == str(self.shard[1])
        return not beside or other == self.path.name

    def _beat(self) -> None:
        while not self._stop.wait(BEAT):
            try:
                os.utime(self.path)
            except OSError:  # removed by hand
                continue


def is_alive(lock: Path) -> bool:
    """Was the file touched within a minute, by a process that still runs?

    Its age is judged against a file touched now in the same folder, so that no clock but the file system's counts.
    """
    host, pid = _owner(lock)
    if host == socket.gethostname() and not _runs(pid):
        return False
    probe = lock.with_name(f".now-{os.getpid()}")
    try:
        probe.touch()
        return probe.stat().st_mtime - lock.stat().st_mtime < STALE
    except FileNotFoundError:
        return False
    finally:
        probe.unlink(missing_ok=True)


def _owner(lock: Path) -> tuple[str, int]:
    try:
        found = json.loads(lock.read_text())
        return str(found["host"]), int(found["pid"])
    except (OSError, ValueError, KeyError, TypeError):
        return "", 0


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
