"""Remembers what was sent last for each record, as hashes of its fields, in two tables beside the outbox.

``sent`` belongs to the relay. ``loaded`` is where triggers note that a refresh, or another load for which they are
silent, has written to their table. After that it is unknown what the destination has, and the relay forgets what was
sent. Triggers only append there, so they never wait for a relay, nor does a relay wait for a long load.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from pydantic_core import to_json
from sqlalchemy import Connection, text

from topics.outbox.tables import tables


class Record(NamedTuple):
    """A record as the outbox names it: the connection's slug, and object/key."""

    aggregatetype: str
    aggregateid: str


Fields = Mapping[str, str]
"""Field → the day on which it was sent (days since 1970, UTC), a blank, and a hash of its value."""

COMPARED = "drop"
"""The value of ``unchanged`` in a trigger's definition when its events are compared with what was sent last."""


class Sent:
    """Uses the relay's connection, which commits each statement unless the caller has begun a transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._postgres = connection.dialect.name == "postgresql"
        known = tables(connection.engine)
        self._sent, self._loaded, self._triggers = (
            known.sent.fullname,
            known.loaded.fullname,
            known.triggers.fullname,
        )

    def comparing(self) -> frozenset[str]:
        """The triggers whose events are compared."""
        said = "definition->>'unchanged'" if self._postgres else "json_extract(definition, '$.unchanged')"
        found = self._connection.execute(text(f"SELECT name FROM {self._triggers} WHERE {said} = '{COMPARED}'"))  # noqa: S608
        return frozenset(name for (name,) in found)

    def forget_loaded(self) -> Collection[tuple[str, str]]:
        """Forget what was sent for the tables that triggers have noted as loaded.

        Returns pairs of a slug and an object with a slash, for which nothing is known any more. Must be called after
        the rows to compare were read, never before.
        """
        marks = self._connection.execute(text(f"SELECT position, aggregatetype, object FROM {self._loaded}")).all()  # noqa: S608
        forgotten = {(mark.aggregatetype, f"{mark.object}/") for mark in marks}
        for slug, prefix in forgotten:
            self._connection.execute(
                text(
                    f"DELETE FROM {self._sent} WHERE aggregatetype = :slug"  # noqa: S608
                    " AND substr(aggregateid, 1, :length) = :prefix"
                ),
                {"slug": slug, "length": len(prefix), "prefix": prefix},
            )
        if marks:
            positions = [{"position": mark.position} for mark in marks]
            self._connection.execute(text(f"DELETE FROM {self._loaded} WHERE position = :position"), positions)  # noqa: S608
        return forgotten

    def note(self, states: Mapping[Record, Fields | None], day: int) -> None:
        """Note what was sent for each record; None: it is unknown now."""
        key = Record._fields
        gone = [record for record, fields in states.items() if not fields]
        if gone:
            rows, given = self._rows(key, gone)
            same = " AND ".join(f"sent.{name} = one.{name}" for name in key)
            self._connection.execute(
                text(f"DELETE FROM {self._sent} AS sent WHERE EXISTS (SELECT 1 FROM {rows} WHERE {same})"),  # noqa: S608
                given,
            )
        kept = [(*record, _json(fields)) for record, fields in states.items() if fields]
        if kept:
            rows, given = self._rows((*key, "hashes"), kept)
            self._connection.execute(
                text(
                    f"INSERT INTO {self._sent} ({', '.join(key)}, hashes, day)"  # noqa: S608
                    f" SELECT {', '.join(key)}, hashes, :day FROM {rows} WHERE true"
                    f" ON CONFLICT ({', '.join(key)}) DO UPDATE SET hashes = excluded.hashes, day = excluded.day"
                ),
                {**given, "day": day},
            )

    def purge(self, before: int) -> None:
        """Forget the records for which nothing was sent since that day."""
        self._connection.execute(text(f"DELETE FROM {self._sent} WHERE day < :day"), {"day": before})  # noqa: S608

    def _rows(self, names: Sequence[str], rows: Sequence[Sequence[str]]) -> tuple[str, dict[str, str]]:
        """Texts as a table ``one`` of these columns: the SQL, and what it is given.

        PostgreSQL takes a list for each column: half of what a list for each row costs it, and a driver's array costs
        the relay ten times as much.
        """
        if self._postgres:
            each = ", ".join(f"json_array_elements_text(CAST(:{name} AS json))" for name in names)
            columns = zip(names, zip(*rows, strict=True), strict=True)
            return f"ROWS FROM ({each}) AS one({', '.join(names)})", {name: _json(column) for name, column in columns}
        members = ", ".join(f"json_extract(value, '$[{number}]') AS {name}" for number, name in enumerate(names))
        return f"(SELECT {members} FROM json_each(:rows)) AS one", {"rows": _json(rows)}  # noqa: S608


def _json(value: object) -> str:
    return to_json(value).decode()
