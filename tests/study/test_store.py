"""Files that are whole or not there; every changed bit is noticed."""

import os
import socket
import time

import numpy as np
import pytest

pytest.importorskip("pyarrow")

import pyarrow as pa
import pyarrow.parquet as pq

from xai_ext.study import _lock
from xai_ext.study._files import Damaged, read_table, sealed, unsealed, write_atomically
from xai_ext.study._lock import Lock, Locked, is_alive
from xai_ext.study._rows import part_table, schema
from xai_ext.study._worker import Found
from xai_ext.study.data import Item
from xai_ext.study.store import Store


@pytest.fixture
def store(tmp_path):
    made = Store(tmp_path / "run")
    made.create()
    return made


def table(n=200):
    rng = np.random.default_rng(0)
    rows = [
        {"dataset": "d", "image_id": f"{i // 20}.png", "kind": "unit", "method": "rise", "metric": f"m{i % 5}",
         "value": float(rng.normal()) if i % 7 else float("nan"), "seed": i % 3, "seconds": float(rng.random())}
        for i in range(n)
    ]  # fmt: skip
    return part_table(rows)


def flipped(content, bit):
    changed = bytearray(content)
    changed[bit // 8] ^= 1 << (bit % 8)
    return bytes(changed)


class TestSealed:
    def test_what_is_read_is_what_was_written(self):
        assert unsealed(sealed(table())).schema == schema()
        assert repr(unsealed(sealed(table())).to_pylist()) == repr(table().to_pylist())

    def test_equal_rows_are_equal_bytes(self):
        assert sealed(table()) == sealed(table())

    def test_every_changed_bit_and_every_cut_is_noticed(self):
        content = sealed(table())
        rng = np.random.default_rng(0)
        for bit in rng.choice(len(content) * 8, 200, replace=False):
            with pytest.raises(Damaged):
                unsealed(flipped(content, bit))
        for length in rng.choice(len(content), 50, replace=False):
            with pytest.raises(Damaged):
                unsealed(content[:length])

    def test_a_plain_reader_would_return_other_numbers(self):
        content, silent = sealed(table()), 0
        expected = repr(table().to_pylist())
        for bit in np.random.default_rng(0).choice(len(content) * 8, 200, replace=False):
            try:
                found = pq.read_table(pa.BufferReader(flipped(content, bit)))
                silent += repr(found.replace_schema_metadata(None).to_pylist()) != expected
            except (OSError, pa.ArrowException, UnicodeDecodeError, MemoryError):
                continue
        assert silent > 0

    def test_pages_have_checksums_of_their_own(self):
        """For readers that do not know the seal: a changed page is an error where they ask for verification."""
        content = sealed(table())
        at = content.index(b"rise") * 8  # compressed pages begin with plain text
        with pytest.raises((OSError, pa.ArrowException)):
            pq.ParquetFile(pa.BufferReader(flipped(content, at)), page_checksum_verification=True).read()

    def test_a_missing_file_is_damaged(self, tmp_path):
        with pytest.raises(Damaged, match="gone"):
            read_table(tmp_path / "none.parquet")


class TestAtomicFiles:
    def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(self, tmp_path, monkeypatch):
        path = tmp_path / "file"
        write_atomically(path, b"old")

        def interrupted(*_):
            raise KeyboardInterrupt

        monkeypatch.setattr(os, "replace", interrupted)
        with pytest.raises(KeyboardInterrupt):
            write_atomically(path, b"new")
        assert path.read_bytes() == b"old"
        assert list(tmp_path.iterdir()) == [path]

    def test_abandoned_files_are_removed_and_new_ones_of_others_stay(self, store):
        old, new = store.parts / ".tmp-1-a", store.parts / ".tmp-2-b"
        old.touch()
        new.touch()
        os.utime(old, (time.time() - 3600,) * 2)
        store.clean()
        assert [p.name for p in store.parts.iterdir()] == [".tmp-2-b"]
        assert store.part_names() == set()


class TestStore:
    def test_what_is_remembered_is_recalled(self, store):
        found = Found({"status": "ok", "metrics": {"srg": 1 / 3}}, np.arange(6.0).reshape(2, 3) / 7)
        store.remember("unit", found)
        again = store.recall("unit")
        assert again.meta == found.meta
        np.testing.assert_array_equal(again.values, found.values)
        assert again.labels is None
        assert store.remembered() == {"unit"}

    def test_a_damaged_memory_is_forgotten(self, store):
        store.remember("unit", Found({"status": "ok"}, np.zeros((16, 16))))
        path = store.open / "unit.npz"
        path.write_bytes(flipped(path.read_bytes(), 8 * 1200))
        assert store.recall("unit") is None
        assert store.remembered() == set()

    def test_damaged_parts_are_set_aside(self, store):
        for name in ("b000000-aa.parquet", "b000001-bb.parquet"):
            store.write_part(name, table())
        path = store.parts / "b000001-bb.parquet"
        path.write_bytes(path.read_bytes()[:-1])
        read, damaged = store.read_parts()
        assert [name for name, _ in read] == ["b000000-aa.parquet"]
        assert damaged == ["b000001-bb.parquet"]
        assert (store.corrupt / damaged[0]).exists()

    def test_the_plan_does_not_say_where_files_are(self, store, tmp_path):
        item = Item("d", "1.png", str(tmp_path), "1.png", sha256="a", size=3, mtime_ns=5)
        store.write_plan([item])
        assert str(tmp_path).encode() not in (store.folder / "plan.parquet").read_bytes()
        assert store.plan_items()[0].identity() == item.identity()


class TestLock:
    def test_one_runner_at_a_time(self, tmp_path):
        with Lock(tmp_path), pytest.raises(Locked, match="fix: wait for it"), Lock(tmp_path):
            pass
        with Lock(tmp_path):
            pass

    def test_shards_of_one_whole_stand_beside_each_other(self, tmp_path):
        with Lock(tmp_path, (1, 3)):
            with Lock(tmp_path, (2, 3)):
                pass
            for other in ((1, 3), (1, 2), None):
                with pytest.raises(Locked), Lock(tmp_path, other):
                    pass

    def test_a_dead_process_holds_nothing(self, tmp_path):
        (tmp_path / "lock").write_text(f'{{"host": "{socket.gethostname()}", "pid": {2**22 + 1}}}')
        assert not is_alive(tmp_path / "lock")

    def test_a_runner_on_another_host_lives_as_long_as_its_heart_beats(self, tmp_path):
        lock = tmp_path / "lock"
        lock.write_text('{"host": "elsewhere", "pid": 1}')
        assert is_alive(lock)
        os.utime(lock, (time.time() - 61,) * 2)
        assert not is_alive(lock)

    def test_the_local_clock_does_not_matter(self, tmp_path, monkeypatch):
        lock = tmp_path / "lock"
        lock.write_text('{"host": "elsewhere", "pid": 1}')
        shifted = time.time() + 86400
        monkeypatch.setattr(time, "time", lambda: shifted)
        assert is_alive(lock)

    def test_the_heart_beats(self, tmp_path, monkeypatch):
        monkeypatch.setattr(_lock, "BEAT", 0.01)
        with Lock(tmp_path):
            os.utime(tmp_path / "lock", (1, 1))
            deadline = time.monotonic() + 5
            while (tmp_path / "lock").stat().st_mtime < 2 and time.monotonic() < deadline:
                time.sleep(0.01)
            assert (tmp_path / "lock").stat().st_mtime > 2
