"""The table that ``write`` puts its records into: made, and given the columns that it lacks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any, Final

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Connection,
    Date,
    DateTime,
    Double,
    LargeBinary,
    MetaData,
    Numeric,
    String,
    Table,
    Text,
    Time,
)
from sqlalchemy.schema import CreateColumn, CreateSchema
from sqlalchemy.sql import quoted_name
from sqlalchemy.types import TypeEngine

from pq.errors import BadField, UnknownTable
from pq.warehouse.tables import Found, Place, find, schemas, tables
from topics.warehouse import add_schema_file

_TYPES: Final[tuple[tuple[type | tuple[type, ...], str, Callable[[], TypeEngine[Any]]], ...]] = (
    (bool, "yes or no", Boolean),
    (int, "whole numbers", BigInteger),
    (float, "numbers", Double),
    (Decimal, "numbers", lambda: Numeric(38, 9)),
    (datetime, "times", lambda: DateTime(timezone=True)),
    (date, "dates", Date),
    (time, "times of day", Time),
    (str, "text", Text),
    (bytes, "bytes", LargeBinary),
    ((dict, list), "JSON", JSON),
)
"""Kinds of values, and the column of each. The first that fits: True is an ``int`` to Python, and no number here."""
_KEY_TEXT: Final = 255
"""Characters of a text that is a key: some databases index no text without a bound."""
_NUMBERS: Final = ("whole numbers", "numbers")


def matching(
    connection: Connection, place: Place, records: Sequence[dict[str, Any]], pk: str | Sequence[str] | None
) -> Found:
    """The table at this place, with a column for every field of the records."""
    key = (pk,) if isinstance(pk, str) else tuple(pk or ())
    if place.schema is not None and place.schema not in schemas(connection):
        _add_schema(connection, place.schema)
    try:
        found = find(connection, place)
    except UnknownTable:
        if place.table in tables(connection, place.schema):
            raise
        _make(connection, place, records, key)
        return find(connection, place)
    missing = [name for name in _names(records) if name not in found.table.c]
    for column in _columns(connection, missing, records, ()):
        _add(connection, found.table, column)
    return find(connection, place) if missing else found


def _add_schema(connection: Connection, schema: str) -> None:
    if connection.dialect.name == "sqlite":
        add_schema_file(connection, schema)
    else:
        connection.execute(CreateSchema(schema, if_not_exists=True))


def _make(connection: Connection, place: Place, records: Sequence[dict[str, Any]], key: Sequence[str]) -> None:
    names = list(_names(records))
    for column in key:
        if column not in names:
            raise BadField(f"pk is {column!r}, and no record has that column; they have {', '.join(names)}")
    if not names:
        raise BadField(f"there is no table {place}, and without records there is nothing to make it of")
    Table(place.table, MetaData(), *_columns(connection, names, records, key), schema=place.schema).create(connection)


def _columns(
    connection: Connection, names: Sequence[str], records: Sequence[dict[str, Any]], key: Sequence[str]
) -> list[Column[Any]]:
    made = []
    quote = True if connection.dialect.name == "duckdb" else None  # duckdb-engine knows PostgreSQL's reserved words
    for name in names:
        kind = _type([record.get(name) for record in records], name)
        if name in key and isinstance(kind, Text):
            kind = String(_KEY_TEXT)
        made.append(Column(quoted_name(name, quote=quote), kind, primary_key=name in key, autoincrement=False))
    return made


def _add(connection: Connection, table: Table, column: Column[Any]) -> None:
    """SQLAlchemy has no ALTER TABLE of its own; the names and the type are its, quoted by the dialect."""
    Table("column_of", MetaData(), column)
    definition = CreateColumn(column).compile(dialect=connection.dialect)
    connection.exec_driver_sql(
        f"ALTER TABLE {connection.dialect.identifier_preparer.format_table(table)} ADD COLUMN {definition}"
    )


def _names(records: Sequence[dict[str, Any]]) -> dict[str, None]:
    return dict.fromkeys(name for record in records for name in record)


def _type(values: Sequence[Any], name: str) -> TypeEngine[Any]:
    """Raises ``BadField`` for values of several kinds: one column cannot hold them as they are."""
    kinds: dict[str, Callable[[], TypeEngine[Any]]] = {}
    for value in values:
        if value is not None:
            said, make = _kind(value, name)
            kinds[said] = make if said not in kinds or isinstance(value, Decimal) else kinds[said]
    if len(kinds) > 1 and not set(kinds).issubset(_NUMBERS):
        raise BadField(f"the column {name!r} would hold {' and '.join(kinds)}: make the values of one kind")
    if not kinds:
        return Text()
    return kinds.get("numbers", next(iter(kinds.values())))()


def _kind(value: Any, name: str) -> tuple[str, Callable[[], TypeEngine[Any]]]:
    for types, said, make in _TYPES:
        if isinstance(value, types):
            return said, make
    raise BadField(f"the column {name!r} would hold {type(value).__name__}, which databases do not have: {value!r}")
