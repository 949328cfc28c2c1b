"""Rows of another database. A batch is one transaction: all of it is there, or nothing.

A row that the database refuses takes its batch along; the worker then halves the batch until the row is alone. Updates
of rows that are not there are refused one by one. Whether a lost ``add`` has happened is asked by the row's key.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import date, datetime, time
from decimal import Decimal
from itertools import groupby
from typing import Any, ClassVar

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from connectors.contract import (
    Absent,
    CannotTell,
    Delivered,
    Down,
    Evidence,
    Finding,
    Found,
    Page,
    Rejected,
    Retry,
    Throttled,
    Unknown,
    UnknownPolicy,
    Verdict,
)
from connectors.engine.manifest.model import Manifest
from connectors.engine.native import NativeConnector
from connectors.engine.template.keys import short_key
from connectors.engine.template.text import as_text
from connectors.errors import BadConnection, CallFailed, Unreachable
from connectors.saas.sql.answers import verdict_of, words
from connectors.saas.sql.database import open_database
from connectors.saas.sql.table import Table
from topics.event.event import Event, Operation

PAGE = 100
DEFAULT_KEY = ("id",)


class SqlConnector(NativeConnector):
    """One database."""

    finds: ClassVar = frozenset({Operation.ADD})

    def __init__(
        self,
        manifest: Manifest,
        settings: Mapping[str, Any],
        secrets: Mapping[str, str],
        limits: Mapping[str, Any] | None = None,
        *,
        on_unknown: Mapping[str, UnknownPolicy] | None = None,
        newest: Manifest | None = None,
    ) -> None:
        super().__init__(manifest, settings, secrets, limits, on_unknown=on_unknown, newest=newest)
        self._keys = {table: _names(table, names) for table, names in self.values["keys"].items()}
        self._schema = self.values.get("schema")
        self._engine = open_database(
            self.values["url"],
            self.values.get("password"),
            self.guard,
            timeout_seconds=self.timeout_seconds,
            connections=self.limits.concurrency,
        )

    def record_key(self, object_name: str, operation: Operation, fields: Mapping[str, Any]) -> str | None:
        self.function(object_name, operation)
        values = [fields.get(name) for name in self._key(object_name)]
        if any(value is None or isinstance(value, dict | list) for value in values):
            return None
        return short_key("/".join(str(as_text(value)) for value in values))

    async def deliver(self, batch: Sequence[Event]) -> list[Verdict]:
        return await asyncio.to_thread(self._deliver, batch)

    async def find(self, events: Sequence[Event]) -> list[Finding]:
        return await asyncio.to_thread(self._find, events)

    async def read(self, object_name: str, query: Mapping[str, Any], bookmark: str | None = None) -> Page:
        return await asyncio.to_thread(self._read, object_name, query, bookmark)

    async def probe(self) -> Delivered | Down | Throttled:
        return await asyncio.to_thread(self._probe)

    async def close(self) -> None:
        await asyncio.to_thread(self._engine.dispose)

    def _key(self, table: str) -> tuple[str, ...]:
        return self._keys.get(table, DEFAULT_KEY)

    def _table(self, connection: sa.Connection, name: str) -> Table:
        return Table(connection, name, self._schema, self._key(name))

    def _deliver(self, batch: Sequence[Event]) -> list[Verdict]:
        connected, committing = False, False
        try:
            with self._engine.connect() as connection:
                connected = True
                verdicts = self._write(connection, batch)
                committing = True
                connection.commit()
        except (SQLAlchemyError, OSError) as error:
            return [self._failure(error, batch, connected=connected, committing=committing)] * len(batch)
        return verdicts

    def _failure(
        self, error: SQLAlchemyError | OSError, batch: Sequence[Event], *, connected: bool, committing: bool
    ) -> Verdict:
        broken = isinstance(error, OSError) or (isinstance(error, DBAPIError) and error.connection_invalidated)
        said = self.redact(words(error))
        if committing and broken:
            idempotent = self.function(batch[0].object, batch[0].operation).idempotent
            reason = f"the connection broke at the commit: {said}"
            return Retry(reason, kind="connection") if idempotent else Unknown(reason, Evidence(excerpt=said))
        if connected and broken:
            return Retry(f"rolled back: {said}", kind="connection")
        verdict = verdict_of(error, connected=connected)
        if isinstance(verdict, Rejected):
            return Rejected(said, Evidence(excerpt=said), conflict=verdict.conflict, whole=len(batch) > 1)
        return verdict

    def _write(self, connection: sa.Connection, batch: Sequence[Event]) -> list[Verdict]:
        operation = Operation.ADD if batch[0].operation is Operation.MESSAGE else batch[0].operation
        try:
            table = self._table(connection, batch[0].object)
        except ValueError as error:
            return [Rejected(str(error))] * len(batch)
        verdicts: dict[int, Verdict] = {}
        rows: list[tuple[tuple[str, ...], int]] = []
        for place, event in enumerate(batch):
            try:
                rows.append((_columns(table, operation, event.fields), place))
            except ValueError as error:
                verdicts[place] = Rejected(str(error))
        for names, several in groupby(sorted(rows), key=lambda row: row[0]):
            places = [place for _, place in several]
            fields = [batch[place].fields for place in places]
            verdicts.update(zip(places, _executed(connection, table, operation, names, fields), strict=True))
        return [verdicts[place] for place in range(len(batch))]

    def _find(self, events: Sequence[Event]) -> list[Finding]:
        try:
            with self._engine.connect() as connection:
                table = self._table(connection, events[0].object)
                return [self._found(connection, table, event.fields) for event in events]
        except (SQLAlchemyError, OSError) as error:
            raise Unreachable(self.redact(words(error))) from error
        except ValueError as error:
            return [CannotTell(str(error))] * len(events)

    @staticmethod
    def _found(connection: sa.Connection, table: Table, fields: Mapping[str, Any]) -> Finding:
        try:
            table.identified(fields)
        except ValueError:
            return CannotTell(f"a row of {table.name} can be looked for only by {', '.join(table.key)}")
        key = {name: fields[name] for name in table.key}
        there = connection.execute(table.one(), table.values(key)).first() is not None
        return Found(id=_id(table, fields)) if there else Absent()

    def _read(self, object_name: str, query: Mapping[str, Any], bookmark: str | None) -> Page:
        try:
            with self._engine.connect() as connection:
                table = self._table(connection, object_name)
                filters = _filters(table, query)
                table.check(filters)
                start = int(bookmark or 0)
                given = {name: value for name, value in filters.items() if value is not None}
                rows = connection.execute(table.page(filters, start, PAGE), table.values(given)).mappings().all()
        except (SQLAlchemyError, OSError) as error:
            raise CallFailed(self.redact(words(error))) from error
        except ValueError as error:
            raise CallFailed(str(error)) from error
        following = str(start + PAGE) if len(rows) == PAGE else None
        return Page([{str(name): _readable(value) for name, value in row.items()} for row in rows], following)

    def _probe(self) -> Delivered | Down | Throttled:
        try:
            with self._engine.connect() as connection:
                connection.execute(sa.select(1))
        except (SQLAlchemyError, OSError) as error:
            return Down(self.redact(words(error)))
        return Delivered({"database": self._engine.dialect.name})


def _names(table: str, given: object) -> tuple[str, ...]:
    names = [given] if isinstance(given, str) else given
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        raise BadConnection(f"a sql connection: keys.{table} is {given!r}; it is a column's name, or a list of them")
    return tuple(names)


def _columns(table: Table, operation: Operation, fields: Mapping[str, Any]) -> tuple[str, ...]:
    """The columns that an event writes. Raises ``ValueError``."""
    table.check(fields)
    if operation is Operation.ADD:
        if not fields:
            raise ValueError(f"it has no fields, and a row of {table.name} has columns")
        return tuple(sorted(fields))
    table.identified(fields)
    if operation is Operation.DELETE:
        return table.key
    names = tuple(sorted(fields))
    if operation is Operation.UPDATE and not set(names) - set(table.key):
        raise ValueError(f"it changes nothing: it has {', '.join(table.key)} and no other column")
    return names


def _executed(
    connection: sa.Connection,
    table: Table,
    operation: Operation,
    names: Sequence[str],
    several: Sequence[Mapping[str, Any]],
) -> list[Verdict]:
    rows = [table.values({name: fields[name] for name in names}) for fields in several]
    done: list[Verdict] = [Delivered(id=_id(table, fields)) for fields in several]
    match operation:
        case Operation.ADD:
            connection.execute(table.insert(names), rows)
        case Operation.UPSERT:
            connection.execute(table.upsert(names), rows)
        case Operation.DELETE:
            connection.execute(table.delete(), rows)
        case _:
            statement = table.update(names)  # one by one: how many rows there were says who was not there
            for place, row in enumerate(rows):
                if connection.execute(statement, row).rowcount == 0:
                    done[place] = Rejected(f"there is no row of {table.name} with {_said(table, several[place])}")
    return done


def _said(table: Table, fields: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {fields[name]!r}" for name in table.key)


def _id(table: Table, fields: Mapping[str, Any]) -> str | None:
    values = [fields.get(name) for name in table.key]
    return None if None in values else "/".join(str(as_text(value)) for value in values)


def _filters(table: Table, query: Mapping[str, Any]) -> dict[str, Any]:
    """``id``: the row of that key; ``searchfield`` and ``searchterm``; any other name is a column."""
    filters = dict(query)
    if "searchfield" in filters:
        name = str(filters.pop("searchfield"))
        if filters.get("searchterm") is None:
            raise ValueError(f"a search by {name} needs a searchterm")
        filters[name] = filters.pop("searchterm")
    if "id" in filters and "id" not in table.columns and len(table.key) == 1:
        filters[table.key[0]] = filters.pop("id")
    return filters


def _readable(value: Any) -> Any:
    if value is None or isinstance(value, str | int | float | bool | Decimal | dict | list):
        return value
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    return bytes(value).hex() if isinstance(value, bytes | memoryview) else str(value)
