"""Keeps what was delivered, record by record, on disk: a million events take no more memory than a thousand.

It is an unnamed SQLite database: a file that nobody else sees, and that is gone when it is closed.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Final, NamedTuple

from pydantic_core import from_json

from topics.event import exact_json

CHUNK: Final = 500
"""How many records are compared at a time."""
NEVER: Final = -1

_TABLES: Final = """
CREATE TABLE delivery (
    turn INTEGER PRIMARY KEY, partition INTEGER, place INTEGER, event TEXT, object TEXT, operation TEXT, vendor_id TEXT,
    time REAL, kind TEXT, record TEXT, fields TEXT);
CREATE UNIQUE INDEX delivery_place ON delivery (partition, place);
CREATE INDEX delivery_record ON delivery (kind, record, turn) WHERE kind IS NOT NULL;
CREATE TABLE record (
    kind TEXT, record TEXT, turn INTEGER, time REAL, deleted INTEGER, unread INTEGER,
    PRIMARY KEY (kind, record)) WITHOUT ROWID;
CREATE TABLE field (
    kind TEXT, record TEXT, name TEXT, value TEXT, turn INTEGER, PRIMARY KEY (kind, record, name)) WITHOUT ROWID;
"""


class Delivery(NamedTuple):
    """An event that was delivered. ``turn``: its number, in the ledger's order. ``fields``: None if not in the log."""

    turn: int
    partition: int
    place: int
    event: str
    object: str
    operation: str
    vendor_id: str | None
    time: float
    kind: str | None = None
    record: str | None = None
    fields: Mapping[str, Any] | None = None


class Sent(NamedTuple):
    """The last value that a field was given, and the number of the event that did it."""

    value: Any
    turn: int


@dataclass(frozen=True, slots=True)
class Expected:
    """A record as its events have left it. ``turn``, ``time``: of the last event.

    ``deleted``: the turn of the last delete. ``unread``: the turn of the last event that the log has deleted. Both are
    ``NEVER`` when there is none.
    """

    kind: str
    record: str
    turn: int
    time: float
    deleted: int
    unread: int
    fields: Mapping[str, Sent]

    @property
    def is_gone(self) -> bool:
        return self.deleted == self.turn


class Scratch:
    """The database. Closing it deletes it."""

    def __init__(self) -> None:
        self._db = sqlite3.connect("", isolation_level=None)
        self._db.executescript(_TABLES)
        self._db.execute("BEGIN")

    def add(self, deliveries: Iterable[tuple[Any, ...]]) -> None:
        """Add deliveries (without a turn), in the ledger's order. Of two for the same offset, the last one counts."""
        self._db.executemany(
            "INSERT OR REPLACE INTO delivery (partition, place, event, object, operation, vendor_id, time) "
            "VALUES (?, ?, ?, ?, ?, ?, ?)",
            deliveries,
        )

    def spans(self) -> list[tuple[int, int, int, int]]:
        """For each partition: its number, the first and the last offset, and how many events."""
        return list(self._db.execute("SELECT partition, min(place), max(place), count(*) FROM delivery GROUP BY 1"))

    def at(self, partition: int, first: int, last: int) -> dict[int, Delivery]:
        """The events between two offsets of a partition, by offset."""
        where = "partition = ? AND place BETWEEN ? AND ?"
        return {one.place: one for one in self._deliveries(where, (partition, first, last))}

    def write(self, delivery: Delivery, kind: str, record: str, fields: Mapping[str, Any], values: Any) -> None:
        """Note an event's record and values. ``fields``: the event's. ``values``: what it wrote, None for a delete."""
        self._db.execute(
            "UPDATE delivery SET kind = ?, record = ?, fields = ? WHERE turn = ?",
            (kind, record, _json(fields), delivery.turn),
        )
        self._touch(delivery, kind, record, deleted=values is None)
        self._db.executemany(
            "INSERT INTO field VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET value = excluded.value, "
            "turn = excluded.turn WHERE excluded.turn > field.turn",
            [(kind, record, name, _json(value), delivery.turn) for name, value in (values or {}).items()],
        )

    def write_unread(self, delivery: Delivery, kind: str, record: str) -> None:
        """Note an event that the log has deleted: only that it was there, and its record, are known."""
        self._db.execute("UPDATE delivery SET kind = ?, record = ? WHERE turn = ?", (kind, record, delivery.turn))
        self._touch(delivery, kind, record, deleted=delivery.operation == "delete", unread=True)

    def unplaced(self) -> Iterator[Delivery]:
        """The events whose record is not known yet. The caller may write them while it iterates."""
        turn = NEVER
        while found := self._deliveries(f"kind IS NULL AND turn > ? ORDER BY turn LIMIT {CHUNK}", (turn,)):
            yield from found
            turn = found[-1].turn

    def count(self, kind: str) -> int:
        return int(self._db.execute("SELECT count(*) FROM record WHERE kind = ?", (kind,)).fetchone()[0])

    def kinds(self) -> list[str]:
        return [kind for (kind,) in self._db.execute("SELECT DISTINCT kind FROM record ORDER BY kind")]

    def expected(self, kind: str) -> Iterator[list[Expected]]:
        """Every record, in the order of their names, ``CHUNK`` at a time."""
        last = ""
        while True:
            rows = self._db.execute(
                "SELECT record, turn, time, deleted, unread FROM record WHERE kind = ? AND record > ? "
                "ORDER BY record LIMIT ?",
                (kind, last, CHUNK),
            ).fetchall()
            if not rows:
                return
            fields = self._fields(kind, rows[0][0], rows[-1][0])
            yield [
                Expected(kind, record, turn, time, deleted, unread, fields.get(record, {}))
                for record, turn, time, deleted, unread in rows
            ]
            last = rows[-1][0]

    def of_record(self, kind: str, record: str, since: int = NEVER) -> list[Delivery]:
        """The events of a record from a turn on, in their order."""
        return self._deliveries("kind = ? AND record = ? AND turn >= ? ORDER BY turn", (kind, record, since))

    def close(self) -> None:
        self._db.close()

    def _touch(self, delivery: Delivery, kind: str, record: str, *, deleted: bool, unread: bool = False) -> None:
        turn = delivery.turn
        self._db.execute(
            "INSERT INTO record VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET turn = max(turn, excluded.turn), "
            "time = max(time, excluded.time), deleted = max(deleted, excluded.deleted), "
            "unread = max(unread, excluded.unread)",
            (kind, record, turn, delivery.time, turn if deleted else NEVER, turn if unread else NEVER),
        )

    def _fields(self, kind: str, first: str, last: str) -> dict[str, dict[str, Sent]]:
        rows = self._db.execute(
            "SELECT record, name, value, turn FROM field WHERE kind = ? AND record BETWEEN ? AND ? ORDER BY record",
            (kind, first, last),
        )
        return {
            record: {name: Sent(_value(value), turn) for _, name, value, turn in group}
            for record, group in groupby(rows, key=lambda row: row[0])
        }

    def _deliveries(self, where: str, values: tuple[Any, ...]) -> list[Delivery]:
        columns = ", ".join(Delivery._fields)
        rows = self._db.execute(f"SELECT {columns} FROM delivery WHERE {where}", values).fetchall()  # noqa: S608 - ours
        return [Delivery._make([*row[:-1], row[-1] and _value(row[-1])]) for row in rows]


def _json(value: Any) -> str:
    return exact_json.dumps(value).decode()


def _value(text: str) -> Any:
    """The value with exactly the digits that were written."""
    written = text.encode()
    return exact_json.loads_checked(written) if exact_json.may_round(written) else from_json(written)
