"""Records as rows: appended many at a time, read back in order, deleted a slice at a time."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any
from zlib import crc32

from sqlalchemy import Connection

from topics.errors import LogError, RecordRefused, RecordTooLarge
from topics.log import Headers, Partition, Position, Record, Unreadable, UnreadableRecords
from topics.sqlite.schema import OFFSET_BITS, OFFSET_MASK

READ_BYTES = 8 * 1_048_576
"""A read ends with the record that exceeds this."""
_ROWS_AT_ONCE = 32
_DELETE_AT_ONCE = 5_000
_DELETE_BYTES = 4 * 1_048_576
"""One transaction deletes at most this many records, and about this many bytes: nobody waits long for the lock."""

_NAMES_AT_ONCE = 500
_LENGTHS = struct.Struct("<II")


def pack_headers(headers: Headers) -> bytes | None:
    """Raises ``UnicodeEncodeError`` for a name that has no UTF-8 form."""
    if not headers:
        return None
    parts: list[bytes] = []
    for name, value in headers:
        encoded = name.encode()
        parts += (_LENGTHS.pack(len(encoded), len(value)), encoded, value)
    return b"".join(parts)


def unpack_headers(packed: bytes | None) -> Headers:
    if not packed:
        return ()
    headers: list[tuple[str, bytes]] = []
    at, end = 0, len(packed)
    while at < end:
        name, value = _LENGTHS.unpack_from(packed, at)
        at += _LENGTHS.size
        headers.append((packed[at : at + name].decode(), packed[at + name : at + name + value]))
        at += name + value
    return tuple(headers)


class BrokenRecord(UnreadableRecords):
    """``before``: the records before it, which could be read."""

    def __init__(self, before: list[Record], found: Unreadable) -> None:
        super().__init__(found)
        self.before = before


@dataclass(slots=True)
class Append:
    """A record to be appended. ``partition``: None when the key decides."""

    topic: str
    partition: int | None
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: bytes | None
    size: int
    future: Future[Position]


@dataclass(slots=True)
class _Home:
    """A partition of a topic during one transaction."""

    id: int
    partition: Partition
    next: int
    changed: bool = False


@dataclass(slots=True)
class _Topic:
    max_record_bytes: int
    homes: list[_Home]


class Appender:
    """Appends within the caller's transaction. Records without a key go to a topic's partitions in turn."""

    def __init__(self) -> None:
        self._turn = 0

    def append(self, connection: Connection, appends: Sequence[Append]) -> list[Position | LogError]:
        """The position of each record, or why the log will never take it. Their order is kept in each partition."""
        topics = _load_topics(connection, {append.topic for append in appends})
        rows: list[tuple[int, int, bytes | None, bytes | None, bytes | None]] = []
        outcomes = [self._place(topics.get(append.topic), append, rows) for append in appends]
        self._turn += 1
        if rows:
            connection.exec_driver_sql("INSERT INTO records VALUES (?, ?, ?, ?, ?)", rows)
            homes = [home for topic in topics.values() for home in topic.homes if home.changed]
            change = connection.exec_driver_sql("UPDATE changes SET last = last + 1 RETURNING last").scalar()
            connection.exec_driver_sql(
                "UPDATE partitions SET next = ?, changed = ? WHERE id = ?",
                [(home.next, change, home.id) for home in homes],
            )
        return outcomes

    def _place(self, topic: _Topic | None, append: Append, rows: list[Any]) -> Position | LogError:
        if topic is None:
            return RecordRefused(f"the topic {append.topic!r} does not exist: ensure_topics makes it")
        if append.size > topic.max_record_bytes:
            return RecordTooLarge(
                f"the record has {append.size} bytes; {append.topic} takes {topic.max_record_bytes} (max_record_bytes)"
            )
        number = append.partition
        if number is None:
            number = (self._turn if append.key is None else crc32(append.key)) % len(topic.homes)
        if not 0 <= number < len(topic.homes):
            return RecordRefused(f"{append.topic} has {len(topic.homes)} partitions; there is no {number}")
        home = topic.homes[number]
        offset = home.next
        rows.append((home.id << OFFSET_BITS | offset, append.timestamp_ms, append.key, append.value, append.headers))
        home.next, home.changed = offset + 1, True
        return Position(home.partition, offset)


def _load_topics(connection: Connection, names: set[str]) -> dict[str, _Topic]:
    topics: dict[str, _Topic] = {}
    ordered = sorted(names)
    for start in range(0, len(ordered), _NAMES_AT_ONCE):
        some = ordered[start : start + _NAMES_AT_ONCE]
        rows = connection.exec_driver_sql(
            "SELECT t.name, t.max_record_bytes, p.id, p.number, p.next FROM topics t JOIN partitions p"  # noqa: S608 - only marks
            f" ON p.topic_id = t.id WHERE t.name IN ({','.join('?' * len(some))}) ORDER BY p.topic_id, p.number",
            tuple(some),
        )
        for name, largest, partition_id, number, following in rows:
            topic = topics.setdefault(name, _Topic(largest, []))
            topic.homes.append(_Home(partition_id, Partition(name, number), following))
    return topics


def read_records(
    connection: Connection, partition_id: int, partition: Partition, offset: int, limit: int
) -> list[Record]:
    """The next records from an offset on: at most ``limit``, and not many more bytes than ``READ_BYTES``.

    Raises ``BrokenRecord`` for one whose headers are no headers: the file was damaged, or something else wrote to it.
    """
    low = partition_id << OFFSET_BITS
    result = connection.exec_driver_sql(
        "SELECT id, timestamp_ms, key, value, headers FROM records WHERE id BETWEEN ? AND ? ORDER BY id LIMIT ?",
        (low | offset, low | OFFSET_MASK, limit),
    )
    records: list[Record] = []
    room = READ_BYTES
    while room > 0 and (rows := result.fetchmany(_ROWS_AT_ONCE)):
        for row_id, timestamp_ms, key, value, packed in rows:
            at = row_id & OFFSET_MASK
            try:
                records.append(Record(partition, at, timestamp_ms, key, value, unpack_headers(packed)))
            except (struct.error, UnicodeDecodeError) as error:
                result.close()
                reason = f"the headers of the record at offset {at} cannot be read: {error}"
                kept = Record(partition, at, timestamp_ms, key, value)
                raise BrokenRecord(records, Unreadable(partition, at, reason, at + 1, kept)) from error
            room -= len(key or b"") + len(value or b"") + len(packed or b"")
    result.close()
    return records


def offset_at(connection: Connection, partition_id: int, first: int, end: int, timestamp_ms: int) -> int:
    """The first offset whose record is not older; ``end`` when there is none. It looks at each record in turn."""
    low = partition_id << OFFSET_BITS
    found = connection.exec_driver_sql(
        "SELECT id FROM records WHERE id >= ? AND id < ? AND timestamp_ms >= ? ORDER BY id LIMIT 1",
        (low | first, low + end, timestamp_ms),
    ).scalar()
    return end if found is None else found & OFFSET_MASK


def delete_below(connection: Connection, partition_id: int, offset: int) -> bool:
    """Delete a slice of the oldest records below an offset. Returns whether there may be more."""
    low = partition_id << OFFSET_BITS
    last, more = _slice(connection, low, low + offset)
    if last is not None:
        connection.exec_driver_sql("DELETE FROM records WHERE id >= ? AND id <= ?", (low, last))
    connection.exec_driver_sql(
        "UPDATE partitions SET first = coalesce("
        " (SELECT min(id) FROM records WHERE id BETWEEN ? AND ?) - ?, next) WHERE id = ?",
        (low, low | OFFSET_MASK, low, partition_id),
    )
    return more


def _slice(connection: Connection, low: int, below: int) -> tuple[int | None, bool]:
    """The last id to delete now (None when there is none), and whether more follow."""
    last, room = None, _DELETE_BYTES
    for row_id, size in connection.exec_driver_sql(
        "SELECT id, coalesce(length(key), 0) + coalesce(length(value), 0) + coalesce(length(headers), 0)"
        " FROM records WHERE id >= ? AND id < ? ORDER BY id LIMIT ?",
        (low, below, _DELETE_AT_ONCE + 1),
    ).all():
        if room <= 0:
            return last, True
        last, room = row_id, room - max(size, _DELETE_BYTES // _DELETE_AT_ONCE)
    return last, False


def delete_expired(connection: Connection, now_ms: int) -> bool:
    """Delete a slice of the records that are past their topic's retention. Returns whether there may be more.

    Cheap when nothing is due.
    """
    kept = connection.exec_driver_sql(
        "SELECT p.id, p.first, t.retention_ms FROM partitions p JOIN topics t ON t.id = p.topic_id"
        " WHERE t.retention_ms >= 0 AND p.first < p.next"
    ).all()
    more = False
    for partition_id, first, retention_ms in kept:
        until = _expired_until(connection, partition_id, first, now_ms - retention_ms)
        if until > first:
            more = delete_below(connection, partition_id, until) or until - first >= _DELETE_AT_ONCE or more
    return more


def _expired_until(connection: Connection, partition_id: int, first: int, before_ms: int) -> int:
    """The offset after the expired records at the start of a partition, at most a slice further."""
    low = partition_id << OFFSET_BITS
    until = first
    for row_id, timestamp_ms in connection.exec_driver_sql(
        "SELECT id, timestamp_ms FROM records WHERE id BETWEEN ? AND ? ORDER BY id LIMIT ?",
        (low | first, low | OFFSET_MASK, _DELETE_AT_ONCE),
    ):
        if timestamp_ms >= before_ms:
            break
        until = (row_id & OFFSET_MASK) + 1
    return until


def delete_leftovers(connection: Connection) -> bool:
    """Delete a slice of the records of deleted topics. Returns whether there may be more."""
    row = connection.exec_driver_sql("SELECT partition_id FROM leftovers LIMIT 1").first()
    if row is None:
        return False
    if not delete_below(connection, row[0], OFFSET_MASK):
        connection.exec_driver_sql("DELETE FROM leftovers WHERE partition_id = ?", (row[0],))
    return True


def partition_exists(connection: Connection, partition_id: int) -> bool:
    return connection.exec_driver_sql("SELECT 1 FROM partitions WHERE id = ?", (partition_id,)).first() is not None


def find_partition(connection: Connection, partition: Partition) -> tuple[int, int, int] | None:
    """Its id, first and next offset."""
    row = connection.exec_driver_sql(
        "SELECT p.id, p.first, p.next FROM partitions p JOIN topics t ON t.id = p.topic_id"
        " WHERE t.name = ? AND p.number = ?",
        tuple(partition),
    ).first()
    return (row[0], row[1], row[2]) if row is not None else None
