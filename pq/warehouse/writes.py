"""INSERT, UPDATE, upsert and DELETE of records, each in the transaction of its caller."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any, Final

from sqlalchemy import Connection, and_, bindparam
from sqlalchemy import delete as sql_delete
from sqlalchemy import insert as sql_insert
from sqlalchemy import update as sql_update
from sqlalchemy.sql import ColumnElement

from pq.errors import BadField, WarehouseError
from pq.warehouse.tables import Found

Records = Sequence[dict[str, Any]]

_WITH_CONFLICT: Final = {"postgresql": "postgresql", "sqlite": "sqlite", "duckdb": "postgresql"}
"""Databases with INSERT ... ON CONFLICT, and the dialect of SQLAlchemy that writes it."""
_DUCKDB_VALUES: Final = 1_000
_OLD: Final = "__where_"


def insert(connection: Connection, found: Found, records: Records) -> int:
    """Records with the same columns go in one statement."""
    found.check(column for record in records for column in record)
    for group in _alike(records):
        _execute(connection, sql_insert(found.table), group)
    return len(records)


def update(connection: Connection, found: Found, records: Records, where: Mapping[str, Any] | None) -> int:
    """How many rows matched."""
    found.check((*(column for record in records for column in record), *(where or ())))
    if where is not None:
        if len(records) != 1:
            raise BadField(f"with where there is one dict of new values, not {len(records)}")
        if not where:
            raise BadField("where is empty: it would match every row; execute('UPDATE ...') does that on purpose")
        return _count(connection, sql_update(found.table).where(_matches(found, where)).values(records[0]))
    key = _key_of(found, None, "update")
    return sum(_update_one(connection, found, record, key) for record in records)


def upsert(connection: Connection, found: Found, records: Records, pk: str | Sequence[str] | None) -> int:
    """Where the key is unique in the database it decides which rows are there; else each row is looked for."""
    found.check(column for record in records for column in record)
    key = _key_of(found, pk, "upsert")
    found.check(key)
    dialect = _WITH_CONFLICT.get(connection.dialect.name)
    conflict = dialect is not None and frozenset(key) in found.unique
    for group in _alike(records):
        _keyed(found, group[0], key)
        if conflict:
            _on_conflict(connection, found, group, key, str(dialect))
        else:
            for record in group:
                if not _update_one(connection, found, record, key):
                    connection.execute(sql_insert(found.table), record)
    return len(records)


def delete(connection: Connection, found: Found, where: Mapping[str, Any]) -> int:
    found.check(where)
    if not where:
        raise BadField("say which rows: delete(..., id=1); execute('DELETE FROM ...') deletes all of them on purpose")
    return _count(connection, sql_delete(found.table).where(_matches(found, where)))


def _on_conflict(connection: Connection, found: Found, group: Records, key: Sequence[str], dialect: str) -> None:
    making = import_module(f"sqlalchemy.dialects.{dialect}").insert(found.table)
    others = [column for column in group[0] if column not in key]
    if others:
        making = making.on_conflict_do_update(
            index_elements=list(key), set_={column: making.excluded[column] for column in others}
        )
    else:
        making = making.on_conflict_do_nothing(index_elements=list(key))
    _execute(connection, making, group)


def _execute(connection: Connection, statement: Any, group: Records) -> None:
    """DuckDB takes a millisecond for each statement of many: there, many rows are one statement's values."""
    if connection.dialect.name != "duckdb":
        connection.execute(statement, group)
        return
    rows = max(1, _DUCKDB_VALUES // len(group[0]))
    for start in range(0, len(group), rows):
        connection.execute(statement.values(group[start : start + rows]))


def _update_one(connection: Connection, found: Found, record: dict[str, Any], key: Sequence[str]) -> int:
    _keyed(found, record, key)
    values = {column: value for column, value in record.items() if column not in key}
    same = and_(
        *(found.table.c[column] == bindparam(_OLD + column, type_=found.table.c[column].type) for column in key)
    )
    # an UPDATE that sets nothing is no statement: a record of nothing but its key sets that
    changing = sql_update(found.table).where(same).values(values or {column: record[column] for column in key})
    return connection.execute(changing, {_OLD + column: record[column] for column in key}).rowcount


def _matches(found: Found, where: Mapping[str, Any]) -> ColumnElement[bool]:
    """Equal to the value; one of a list of values; NULL for None."""
    columns = found.table.c
    return and_(
        *(
            columns[name].in_(value) if isinstance(value, list | tuple | set) else columns[name] == value
            for name, value in where.items()
        )
    )


def _count(connection: Connection, statement: Any) -> int:
    return max(connection.execute(statement).rowcount, 0)


def _key_of(found: Found, pk: str | Sequence[str] | None, what: str) -> tuple[str, ...]:
    key = (pk,) if isinstance(pk, str) else tuple(pk or found.key)
    if not key:
        way = 'say where={"id": 1}' if what == "update" else 'say which columns are the key: pk="id"'
        raise WarehouseError(f"{found.place} has no primary key: {way}")
    return key


def _keyed(found: Found, record: Mapping[str, Any], key: Sequence[str]) -> None:
    for column in key:
        if record.get(column) is None:
            raise BadField(f"a record for {found.place} has no {column!r}, which is part of the key: {dict(record)!r}")


def _alike(records: Records) -> list[list[dict[str, Any]]]:
    """Records with the same columns together, in the order in which each kind first comes."""
    groups: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for record in records:
        groups.setdefault(tuple(record), []).append(record)
    return list(groups.values())
