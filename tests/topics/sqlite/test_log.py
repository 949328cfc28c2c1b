"""The embedded log keeps the contract, and what only it promises: takeover, group commit, full disks, foreign files."""

from __future__ import annotations

import re
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from tests.conformance.log import LogContract
from tests.conformance.log_groups import fill
from tests.conformance.log_harness import PATIENCE, Member, child, read_all
from topics.errors import CommitFenced, LogError, LogUnavailable, RecordRefused, SettingsError
from topics.log import Commit, Log, Partition
from topics.names import TopicSpec
from topics.open import open_log
from topics.sqlite import writer as sqlite_writer
from topics.sqlite.log import SqliteLog
from topics.sqlite.records import delete_expired
from topics.sqlite.schema import begin


class TestSqlite(LogContract):
    new_topic_rounds = 10

    @pytest.fixture
    def log_url(self, tmp_path: Path) -> str:
        return f"sqlite:///{tmp_path / 'log.db'}"


ONE = Partition("t", 0)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "log.db"


@pytest.fixture
def log(path: Path) -> Iterator[SqliteLog]:
    log = SqliteLog(f"sqlite:///{path}")
    log.ensure_topics([TopicSpec("t")])
    yield log
    log.close()


async def test_takeover_at_once_after_a_close(log: Log) -> None:
    """A member that stands by has the group within a second after the owner closed."""
    first = Member(log, "g", "t")
    await first.consumer.start()
    await first.until(lambda: first.owned)
    async with Member(log, "g", "t") as second:
        await second.poll(0.5)
        assert second.owned == set()
        await first.consumer.close()
        began = time.monotonic()
        await second.until(lambda: second.owned)

        assert time.monotonic() - began < 1


async def test_takeover_three_seconds_after_a_kill(log: Log, path: Path) -> None:
    """A killed owner is replaced once its lease stood still for 3 s, not before."""
    fill(log, "t", 1)
    with child(f"sqlite:///{path}", "consume", group="g", pattern="t") as process:
        process.hear("committed")
        async with Member(log, "g", "t") as member:
            member.run()
            began = time.monotonic()
            process.kill()
            await member.until(lambda: member.owned)

            assert 2 < time.monotonic() - began < 15


async def test_frozen_owner_stands_by_again(log: Log, path: Path) -> None:
    """An owner that was frozen hears that it lost everything, stands by, and is the next one in line."""
    fill(log, "t", 1)
    with child(f"sqlite:///{path}", "consume", group="g", pattern="t") as process:
        process.hear("committed")
        process.stop()
        async with Member(log, "g", "t") as member:
            member.run()
            await member.until(lambda: member.owned)
            process.go_on()
            assert process.hear("lost")["lost"] == ["t[0]"]
            assert member.owned == {ONE}

        assert process.hear("assigned")["assigned"] == {"t[0]": [1, "done below 1"]}


async def test_topic_made_anew_is_another_one(log: Log) -> None:
    """A commit for a topic that was deleted and made again since its assignment is fenced."""
    fill(log, "t", 5)
    async with Member(log, "g", "t") as member:
        await member.until(lambda: member.owned)
        log.delete_topic("t")
        log.ensure_topics([TopicSpec("t")])

        with pytest.raises(CommitFenced):
            await member.consumer.commit({ONE: Commit(5)})

        fill(log, "t", 3)
        await member.until(lambda: member.values[-3:] == [b"0", b"1", b"2"])


async def test_metadata_over_the_budget(log: Log) -> None:
    """Metadata that Kafka would not take is refused here too, with both sizes."""
    async with Member(log, "g", "t") as member:
        await member.until(lambda: member.owned)

        with pytest.raises(LogError, match=r"t\[0\] has 4097 bytes; 4096"):
            await member.consumer.commit({ONE: Commit(0, "x" * 4_097)})


def test_group_commit(log: SqliteLog) -> None:
    """Sends that come while the writer is busy share a transaction."""
    fill(log, "t", 1)
    changes: list[int] = []
    file = log._open()
    file.writer._changed = lambda: changes.append(1)
    release = threading.Event()
    file.writer.submit(lambda _: release.wait(PATIENCE))
    producer = log.producer()
    futures = [producer.send("t", key=b"a", value=b"x") for _ in range(1_000)]
    release.set()
    producer.flush(PATIENCE)

    assert [future.result(0).offset for future in futures] == list(range(1, 1_001))
    assert len(changes) <= 3


def test_all_logs_of_a_process_share_a_writer(log: SqliteLog, path: Path) -> None:
    """A process has one writing thread per file, whoever opened it; closing one log leaves the others open."""
    other = SqliteLog(f"sqlite:///{path}")

    assert other._open() is log._open()
    other.close()
    fill(log, "t", 1)
    assert log.end_offsets([ONE]) == {ONE: 1}
    with pytest.raises(LogUnavailable, match="closed"):
        other.topics()


def test_disk_full(log: SqliteLog) -> None:
    """A full disk fails sends with what to do; nothing acknowledged is lost; with space again sends work again."""
    file = log._open()
    file.writer.submit(lambda connection: connection.exec_driver_sql("PRAGMA max_page_count=50").scalar()).result()
    producer = log.producer()
    futures = [producer.send("t", key=b"a", value=b"x" * 10_000)]
    while futures[-1].exception(PATIENCE) is None:
        futures.append(producer.send("t", key=b"a", value=b"x" * 10_000))
    landed = len(futures) - 1

    with pytest.raises(LogUnavailable, match=r"log\.db .*disk is full: free some space"):
        futures[-1].result()
    assert 0 < landed < 50
    producer.send("t", key=b"a", value=b"there is space").result(PATIENCE)  # a new connection has no limit
    producer.close()
    records = read_all(log.reader({ONE: 0}), landed + 1)
    assert [record.offset for record in records] == list(range(landed + 1))


def test_failure_fails_all_that_waits(log: SqliteLog) -> None:
    """What was queued behind a failed send fails too, so that it cannot land before the failed one is sent again."""
    file = log._open()
    release = threading.Event()

    def fail(_: object) -> None:
        release.wait(PATIENCE)
        raise sqlite3.OperationalError("as if the disk were gone")

    failed = file.writer.submit(fail)
    producer = log.producer()
    behind = [producer.send("t", key=b"a", value=b"x") for _ in range(10)]
    release.set()

    assert isinstance(failed.exception(PATIENCE), sqlite3.OperationalError)
    assert all(future.exception(PATIENCE) is not None for future in behind)
    assert producer.send("t", key=b"a", value=b"x").result(PATIENCE).offset == 0


def test_full_buffer_waits_for_room(log: SqliteLog, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sender that is faster than the disk waits for room in the buffer, then goes on; after its time it is told."""
    monkeypatch.setattr(sqlite_writer, "BUFFER_RECORDS", 10)
    monkeypatch.setattr(sqlite_writer, "BUFFER_SECONDS", 0.05)
    file, producer = log._open(), log.producer()
    running, release = threading.Event(), threading.Event()

    def block(_: object) -> None:
        running.set()
        release.wait(PATIENCE)

    file.writer.submit(block)
    running.wait(PATIENCE)
    for _ in range(10):
        producer.send("t", key=b"a", value=b"x")
    with pytest.raises(LogUnavailable, match="buffer is full"):
        producer.send("t", key=b"a", value=b"x")
    release.set()
    producer.flush(PATIENCE)

    assert producer.send("t", key=b"a", value=b"x").result(PATIENCE).offset == 10


def test_callback_may_send(log: SqliteLog, monkeypatch: pytest.MonkeyPatch) -> None:
    """A future's callback may send, even with a full buffer: it runs on the thread that would have to make room."""
    monkeypatch.setattr(sqlite_writer, "BUFFER_RECORDS", 1)
    producer = log.producer()
    chain: Future[Any] = Future()

    def again(_: Future[Any]) -> None:
        producer.send("t", key=b"a", value=b"second")
        chain.set_result(producer.send("t", key=b"a", value=b"third"))

    producer.send("t", key=b"a", value=b"first").add_done_callback(again)

    assert chain.result(PATIENCE).result(PATIENCE).offset == 2


def test_cancelled_send_is_not_written(log: SqliteLog) -> None:
    """A send that is cancelled before it is written leaves no record and no gap."""
    file = log._open()
    release = threading.Event()
    file.writer.submit(lambda _: release.wait(PATIENCE))
    producer = log.producer()
    futures = [producer.send("t", key=b"a", value=b"%d" % n) for n in range(3)]
    assert futures[1].cancel()
    release.set()
    producer.flush(PATIENCE)

    assert [record.value for record in read_all(log.reader({ONE: 0}), 2)] == [b"0", b"2"]


def test_flush_in_time_or_not_at_all(log: SqliteLog) -> None:
    """A flush that does not get done in its time says so."""
    release = threading.Event()
    log._open().writer.submit(lambda _: release.wait(PATIENCE))
    producer = log.producer()
    producer.send("t", key=b"a", value=b"x")

    with pytest.raises(LogUnavailable, match=r"within 0\.05 s"):
        producer.flush(0.05)
    release.set()
    producer.close()


def test_header_name_without_utf8(log: Log) -> None:
    """A header's name that cannot be written is refused at the call."""
    with pytest.raises(RecordRefused, match="UTF-8"):
        log.producer().send("t", key=b"a", value=b"x", headers=(("\ud800", b"x"),))


def test_partition_that_is_not_there(log: Log) -> None:
    """A partition number beyond the topic's is refused with how many there are."""
    with pytest.raises(RecordRefused, match="t has 1 partitions; there is no 7"):
        log.producer().send("t", key=b"a", value=b"x", partition=7).result(PATIENCE)
    with pytest.raises(LogError, match=r"t\[7\] does not exist"):
        log.end_offsets([Partition("t", 7)])
    with pytest.raises(LogError, match=r"u\[0\] does not exist"):
        log.reader({Partition("u", 0): 0})


def test_retention_by_time(log: SqliteLog) -> None:
    """Records older than their topic keeps them go, oldest first; topics that keep for ever lose nothing."""
    log.ensure_topics([TopicSpec("week", retention_ms=1_000)])
    producer = log.producer()
    for timestamp in (1_000, 2_000, 3_000, 4_000):
        producer.send("week", key=b"a", value=b"x", timestamp_ms=timestamp)
        producer.send("t", key=b"a", value=b"x", timestamp_ms=timestamp)
    producer.flush(PATIENCE)

    log._write(lambda connection: delete_expired(connection, now_ms=4_000))

    assert [record.offset for record in read_all(log.reader({Partition("week", 0): 0}), 2)] == [2, 3]
    assert len(read_all(log.reader({ONE: 0}), 4)) == 4


def test_retention_stops_at_the_first_young_record(log: SqliteLog) -> None:
    """An old timestamp behind a young record waits for it: a partition only loses its beginning."""
    log.ensure_topics([TopicSpec("week", retention_ms=1_000)])
    producer = log.producer()
    for timestamp in (1_000, 9_000, 1_000):
        producer.send("week", key=b"a", value=b"x", timestamp_ms=timestamp)
    producer.flush(PATIENCE)

    log._write(lambda connection: delete_expired(connection, now_ms=9_500))

    assert [record.offset for record in read_all(log.reader({Partition("week", 0): 0}), 2)] == [1, 2]


def test_housekeeping_runs_by_itself(log: SqliteLog, monkeypatch: pytest.MonkeyPatch) -> None:
    """The writing thread deletes what is expired without being asked."""
    log.close()
    monkeypatch.setattr(sqlite_writer, "HOUSEKEEPING_SECONDS", 0.05)
    again = SqliteLog(f"sqlite:///{log._path}")
    again.ensure_topics([TopicSpec("week", retention_ms=1_000)])
    producer = again.producer()
    producer.send("week", key=b"a", value=b"x", timestamp_ms=1_000).result(PATIENCE)
    deadline = time.monotonic() + PATIENCE

    def count() -> int:
        with again._reading() as connection:
            return int(connection.exec_driver_sql("SELECT count(*) FROM records").scalar() or 0)

    while count() and time.monotonic() < deadline:
        time.sleep(0.01)

    assert count() == 0
    again.close()


def test_wal_stays_small(log: SqliteLog, monkeypatch: pytest.MonkeyPatch) -> None:
    """A WAL that has grown over its bound is emptied, though a reader has just been there."""
    monkeypatch.setattr(sqlite_writer, "WAL_BYTES", 100_000)
    monkeypatch.setattr(sqlite_writer, "WAL_SECONDS", 0.05)
    producer = log.producer()
    wal = log._path.with_name("log.db-wal")
    for _ in range(200):
        producer.send("t", key=b"a", value=b"x" * 50_000).result(PATIENCE)

    deadline = time.monotonic() + PATIENCE
    while wal.stat().st_size > 200_000 and time.monotonic() < deadline:
        time.sleep(0.06)
        producer.send("t", key=b"a", value=b"x").result(PATIENCE)
        producer.flush(PATIENCE)

    assert wal.stat().st_size <= 200_000
    producer.close()


def test_write_lock_held_by_somebody_else(path: Path, log: SqliteLog, monkeypatch: pytest.MonkeyPatch) -> None:
    """A lock that another process never gives back ends in an error that says so."""
    monkeypatch.setattr(sqlite_writer, "begin", lambda connection: begin(connection, 0.05))
    intruder = sqlite3.connect(path, isolation_level=None)
    intruder.execute("BEGIN IMMEDIATE")

    with pytest.raises(LogUnavailable, match="another process holds its write lock"):
        log.producer().send("t", key=b"a", value=b"x").result(PATIENCE)

    intruder.execute("ROLLBACK")
    intruder.close()
    assert log.producer().send("t", key=b"a", value=b"x").result(PATIENCE).offset == 0


async def test_damage_is_told_by_poll(log: SqliteLog, path: Path) -> None:
    """A consumer whose file is damaged says so instead of waiting for ever."""
    fill(log, "t", 200)
    async with Member(log, "g", "t") as member:
        await member.until(lambda: len(member.records) >= 200)
        file = log._open()

        @event.listens_for(file.engine, "before_cursor_execute")
        def _damage(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
            if "FROM records" in statement:
                error = sqlite3.DatabaseError("database disk image is malformed")
                error.sqlite_errorname = "SQLITE_CORRUPT"
                raise error

        fill(log, "t", 1)
        with pytest.raises(LogUnavailable, match="damaged"):
            await member.until(lambda: len(member.records) > 200)
        event.remove(file.engine, "before_cursor_execute", _damage)

        await member.until(lambda: len(member.records) > 200)

    assert member.read(ONE) == list(range(201))


def a_text(path: Path) -> None:
    path.write_text("I am a text, " * 1_000)


def another_database(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE t (x)")
    connection.close()


def another_application(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA application_id=42")
    connection.close()


def a_newer_log(path: Path) -> None:
    log = SqliteLog(f"sqlite:///{path}")
    log.probe()
    log.close()
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version=99")
    connection.close()


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (a_text, "is not a SQLite database"),
        (another_database, "is a database of something else"),
        (another_application, "is a database of something else"),
        (
            a_newer_log,
            "schema version 99, made by a newer release; .*works with versions up to 1: run the newer release",
        ),
    ],
)
def test_foreign_file(path: Path, make: Callable[[Path], None], words: str) -> None:
    """A file that is not a log of this release is named, and left as it is."""
    make(path)
    before = path.read_bytes()
    log = open_log(f"sqlite:///{path}")

    with pytest.raises(SettingsError, match=f"WRITEBACK_LOG.*{re.escape(str(path))}.*{words}"):
        log.probe()

    log.close()
    assert path.read_bytes() == before


def test_place_that_cannot_be(tmp_path: Path) -> None:
    """A path that is a folder, or below a file, is an error that names it."""
    (tmp_path / "file").write_text("")
    for path in (tmp_path, tmp_path / "file" / "log.db"):
        log = open_log(f"sqlite:///{path}")
        with pytest.raises(LogUnavailable, match=re.escape(str(path))):
            log.probe()
        log.close()


def test_makes_its_folder(tmp_path: Path) -> None:
    """The folder of the file is made; a path with odd characters is one path."""
    log = open_log(f"sqlite:///{tmp_path}/a b/ü/log.db")

    assert log.probe() == f"embedded log {tmp_path}/a b/ü/log.db with 0 topics"
    log.close()


def test_leftovers_go_after_a_crash(log: SqliteLog) -> None:
    """Records of a topic whose deletion was interrupted are deleted by the next housekeeping."""
    fill(log, "t", 10)
    with log._open().engine.begin() as connection:
        connection.exec_driver_sql("INSERT INTO leftovers SELECT id FROM partitions")
        connection.exec_driver_sql("DELETE FROM partitions")
        connection.exec_driver_sql("DELETE FROM topics")

    assert log._open().writer._keep_house() is True
    assert log._open().writer._keep_house() is False

    with log._reading() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM records").scalar() == 0
        assert connection.exec_driver_sql("SELECT count(*) FROM leftovers").scalar() == 0
