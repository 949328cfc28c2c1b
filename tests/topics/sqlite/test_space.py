"""The file of the embedded log shrinks when its records are deleted, and its writers do not wait long for it."""

from __future__ import annotations

import sqlite3
import threading
import time
from pathlib import Path

import pytest

from tests.conformance.log_harness import PATIENCE, read_all
from topics.log import Partition
from topics.names import TopicSpec
from topics.sqlite import records as sqlite_records
from topics.sqlite import space
from topics.sqlite import writer as sqlite_writer
from topics.sqlite.log import SqliteLog
from topics.sqlite.schema import connect_to_write

ONE = Partition("t", 0)
MEGABYTE = 1_048_576


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "log.db"


def filled(path: Path, megabytes: int) -> SqliteLog:
    log = SqliteLog(f"sqlite:///{path}")
    log.ensure_topics([TopicSpec("t")])
    producer = log.producer()
    for _ in range(megabytes * 20):
        producer.send("t", key=b"a", value=b"x" * (MEGABYTE // 20))
    producer.close()
    return log


def size(path: Path) -> int:
    """Once everything that was written has reached the file."""
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
    connection.close()
    return path.stat().st_size


def wait_until_smaller(path: Path, limit: int) -> None:
    deadline = time.monotonic() + PATIENCE
    while size(path) > limit:
        assert time.monotonic() < deadline, f"{size(path):,} bytes"
        time.sleep(0.05)


def test_the_file_shrinks_by_itself(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a trim the file is given back to the disk but for a small reserve; what is left is all there."""
    monkeypatch.setattr(sqlite_writer, "HOUSEKEEPING_SECONDS", 0.05)
    log = filled(path, 60)
    before = size(path)
    log.trim({ONE: 1_180})

    wait_until_smaller(path, 12 * MEGABYTE)
    assert before > 60 * MEGABYTE
    assert [record.offset for record in read_all(log.reader({ONE: 1_180}), 20)] == list(range(1_180, 1_200))
    log.close()


def test_writers_go_on_while_it_shrinks(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Records that are sent during a trim and the shrinking are acknowledged without a long wait."""
    monkeypatch.setattr(sqlite_writer, "HOUSEKEEPING_SECONDS", 0.05)
    log = filled(path, 100)
    trimming = threading.Thread(target=log.trim, args=({ONE: 2_000},))
    producer = log.producer()
    waits = []
    trimming.start()
    while trimming.is_alive() or size(path) > 20 * MEGABYTE:
        began = time.monotonic()
        producer.send("t", key=b"a", value=b"small").result(PATIENCE)
        waits.append(time.monotonic() - began)
    trimming.join()
    log.close()

    assert max(waits) < 5.0  # a trim of it all in one transaction takes longer, on a busy machine


def test_a_file_of_before_is_rewritten_once(path: Path) -> None:
    """One that was made without incremental vacuum shrinks too, when little of it is in use."""
    filled(path, 20).close()
    with sqlite3.connect(path, isolation_level=None) as old:
        old.execute("PRAGMA auto_vacuum=NONE")
        old.execute("VACUUM")
    old.close()
    log = SqliteLog(f"sqlite:///{path}")
    log.trim({ONE: 380})
    with connect_to_write(log._open().engine) as connection:
        assert space.give_back(connection)
        assert not space.give_back(connection)
        assert connection.exec_driver_sql("PRAGMA auto_vacuum").scalar() == space.INCREMENTAL

    assert size(path) < 6 * MEGABYTE
    assert [record.offset for record in read_all(log.reader({ONE: 380}), 20)] == list(range(380, 400))
    log.close()


def test_a_large_file_of_before_is_left_alone(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rewriting it would keep its writers waiting: its free pages are used again instead."""
    monkeypatch.setattr(space, "MAX_REWRITTEN_PAGES", 100)
    filled(path, 20).close()
    with sqlite3.connect(path, isolation_level=None) as old:
        old.execute("PRAGMA auto_vacuum=NONE")
        old.execute("VACUUM")
    old.close()
    log = SqliteLog(f"sqlite:///{path}")
    log.trim({ONE: 200})
    with connect_to_write(log._open().engine) as connection:
        assert not space.give_back(connection)

    log.close()


def test_large_records_go_in_small_slices(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A transaction deletes so many bytes at the most, whatever the number of records."""
    monkeypatch.setattr(sqlite_records, "_DELETE_BYTES", MEGABYTE)
    log = filled(path, 5)
    slices = 1
    while log._write(lambda connection: sqlite_records.delete_below(connection, 1, 100)):
        slices += 1

    assert slices >= 5
    assert log.start_offsets([ONE]) == {ONE: 100}
    log.close()
