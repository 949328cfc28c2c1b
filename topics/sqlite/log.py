"""The embedded log: one SQLite file, durable, without a server. The files beside this one are its parts.

    location   where the file may lie            writer      one thread that writes: group commit
    schema     its tables                        producer    sends
    space      gives free space back to the disk
    records    rows of records                   consumer    the asyncio side of a group's member
    file       the file, shared by a process     member      its thread; read_ahead: what it has read ahead
    errors     SQLite's errors, explained        lease       who owns a group
    reader     reads without a group

Any number of processes may produce. In a group, one live consumer owns all partitions, and the others stand by.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TypeVar

from sqlalchemy import Connection, insert, select
from sqlalchemy.dialects.sqlite import insert as insert_or_ignore
from sqlalchemy.exc import DBAPIError

from topics.errors import LogError, LogUnavailable
from topics.log import Commit, Lag, Partition, Rebalance
from topics.names import DEFAULT, Names, TopicSpec
from topics.sqlite.consumer import SqliteConsumer
from topics.sqlite.errors import explain
from topics.sqlite.file import LogFile, open_file, release_file
from topics.sqlite.location import path_of
from topics.sqlite.producer import SqliteProducer
from topics.sqlite.reader import SqliteReader
from topics.sqlite.records import delete_below, delete_leftovers, find_partition, offset_at
from topics.sqlite.schema import partitions as partitions_table
from topics.sqlite.schema import topics as topics_table

T = TypeVar("T")


class SqliteLog:
    """See ``topics.log.Log``. Opens its file when it is first used."""

    def __init__(self, url: str, names: Names = DEFAULT) -> None:
        self.names = names
        self._path = path_of(url)
        self._file: LogFile | None = None
        self._closed = False
        self._lock = threading.Lock()

    def ensure_topics(self, specs: Sequence[TopicSpec]) -> None:
        def make(connection: Connection) -> None:
            for spec in specs:
                _make_topic(connection, spec)

        self._write(make)

    def topics(self, prefix: str = "") -> dict[str, int]:
        with self._reading() as connection:
            rows = connection.execute(select(topics_table.c.name, topics_table.c.partitions).order_by("name"))
            return {name: count for name, count in rows if name.startswith(prefix)}

    def delete_topic(self, name: str) -> None:
        if self._write(lambda connection: _delete_topic(connection, name)):
            while self._write(delete_leftovers):
                pass

    def trim(self, before: Mapping[Partition, int]) -> None:
        for partition, offset in before.items():

            def trim(connection: Connection, partition: Partition = partition, offset: int = offset) -> bool:
                found = find_partition(connection, partition)
                return found is not None and delete_below(connection, found[0], min(offset, found[2]))

            while self._write(trim):
                pass

    def end_offsets(self, partitions: Sequence[Partition]) -> dict[Partition, int]:
        with self._reading() as connection:
            return {partition: self._find(connection, partition)[2] for partition in partitions}

    def start_offsets(self, partitions: Sequence[Partition]) -> dict[Partition, int]:
        with self._reading() as connection:
            return {partition: self._find(connection, partition)[1] for partition in partitions}

    def offsets_at(self, partitions: Sequence[Partition], timestamp_ms: int) -> dict[Partition, int]:
        with self._reading() as connection:
            return {
                partition: offset_at(connection, *self._find(connection, partition), timestamp_ms)
                for partition in partitions
            }

    def committed(self, group: str, partitions: Sequence[Partition]) -> dict[Partition, Commit | None]:
        commits: dict[Partition, Commit | None] = {}
        with self._reading() as connection:
            for partition in partitions:
                row = connection.exec_driver_sql(
                    'SELECT c."offset", c.metadata FROM commits c JOIN partitions p ON p.id = c.partition_id'
                    " JOIN topics t ON t.id = p.topic_id WHERE c.group_name = ? AND t.name = ? AND p.number = ?",
                    (group, *partition),
                ).first()
                commits[partition] = Commit(row[0], row[1]) if row is not None else None
        return commits

    def lag(self, group: str, prefix: str = "") -> dict[Partition, Lag]:
        with self._reading() as connection:
            rows = connection.exec_driver_sql(
                'SELECT t.name, p.number, c."offset", p.next FROM topics t JOIN partitions p ON p.topic_id = t.id'
                " LEFT JOIN commits c ON c.partition_id = p.id AND c.group_name = ? ORDER BY t.name, p.number",
                (group,),
            )
            return {Partition(row[0], row[1]): Lag(row[2], row[3]) for row in rows if row[0].startswith(prefix)}

    def producer(self, *, name: str = "", max_record_bytes: int = 1_048_576) -> SqliteProducer:  # noqa: ARG002 - for logs of servers
        return SqliteProducer(self._open, max_record_bytes)

    def consumer(self, group: str, *, pattern: str, rebalance: Rebalance, member: str = "") -> SqliteConsumer:  # noqa: ARG002 - one member is as good as another
        return SqliteConsumer(self._open, group, pattern=pattern, rebalance=rebalance)

    def reader(self, starts: Mapping[Partition, int], *, strict: bool = False) -> SqliteReader:
        return SqliteReader(self._open(), starts, strict=strict)

    def commits_kept(self) -> float | None:
        return None

    def probe(self) -> str:
        with self._reading() as connection:
            count = connection.exec_driver_sql("SELECT count(*) FROM topics").scalar()
        return f"embedded log {self._path} with {count} topics"

    def close(self) -> None:
        with self._lock:
            file, self._file, self._closed = self._file, None, True
        if file is not None:
            release_file(file)

    def _open(self) -> LogFile:
        with self._lock:
            if self._closed:
                raise LogUnavailable(f"the log {self._path} is closed in this process")
            if self._file is None:
                self._file = open_file(self._path)
            self._file.verify()
            return self._file

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        try:
            with self._open().engine.connect() as connection:
                yield connection
        except DBAPIError as error:
            raise explain(error, self._path) from error

    def _write(self, run: Callable[[Connection], T]) -> T:
        return self._open().writer.submit(run).result()

    def _find(self, connection: Connection, partition: Partition) -> tuple[int, int, int]:
        found = find_partition(connection, partition)
        if found is None:
            raise LogError(f"{partition} does not exist in the log {self._path}")
        return found


def _make_topic(connection: Connection, spec: TopicSpec) -> None:
    made = connection.execute(
        insert_or_ignore(topics_table)
        .values(
            name=spec.name,
            partitions=spec.partitions,
            retention_ms=spec.retention_ms,
            max_record_bytes=spec.max_record_bytes,
        )
        .on_conflict_do_nothing()
        .returning(topics_table.c.id)
    ).scalar()
    if made is not None:
        rows = [{"topic_id": made, "number": number} for number in range(spec.partitions)]
        connection.execute(insert(partitions_table), rows)


def _delete_topic(connection: Connection, name: str) -> bool:
    """Delete the topic at once. Its records are deleted later, a slice at a time, also after a crash."""
    topic = connection.exec_driver_sql("SELECT id FROM topics WHERE name = ?", (name,)).scalar()
    if topic is None:
        return False
    ids = "SELECT id FROM partitions WHERE topic_id = ?"
    connection.exec_driver_sql(f"INSERT INTO leftovers {ids}", (topic,))
    connection.exec_driver_sql(f"DELETE FROM commits WHERE partition_id IN ({ids})", (topic,))  # noqa: S608
    connection.exec_driver_sql("DELETE FROM partitions WHERE topic_id = ?", (topic,))
    connection.exec_driver_sql("DELETE FROM topics WHERE id = ?", (topic,))
    return True
