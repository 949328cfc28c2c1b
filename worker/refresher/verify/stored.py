"""Reads rows of the warehouse by their keys, with the warehouse's types."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Engine, MetaData, String, Table, cast, column, select, table, text
from sqlalchemy.exc import NoSuchTableError, SQLAlchemyError
from sqlalchemy.sql import quoted_name

from topics.errors import WritebackError
from topics.warehouse import attached, explained
from worker.refresher.naming import in_warehouse

Row = Mapping[str, Any]


class WarehouseFailed(WritebackError):
    """The warehouse could not be asked."""


class Stored:
    """The tables of one connection's schema. Raises ``WarehouseFailed``."""

    def __init__(self, engine: Engine, schema: str) -> None:
        self._engine = engine
        self._schema = schema

    @contextmanager
    def opened(self, kind: str, key: str) -> Iterator[StoredTable]:
        address = self._engine.url.render_as_string(hide_password=True)
        try:
            with attached(self._engine, [self._schema]) as connection:
                yield StoredTable(connection, self._schema, in_warehouse(kind), in_warehouse(key))
        except NoSuchTableError as error:
            raise WarehouseFailed(
                f"the warehouse {address} has no table {self._schema}.{kind}, though a refresh brought it; "
                "a full refresh (--full) makes it anew"
            ) from error
        except SQLAlchemyError as error:
            raise WarehouseFailed(f"the warehouse {address}: {explained(error)}") from error


class StoredTable:
    """One table, while its connection is open."""

    def __init__(self, connection: Connection, schema: str, kind: str, key: str) -> None:
        self._connection = connection
        self._key = key
        self._is_number = False
        if connection.dialect.name == "duckdb":  # its dialect cannot reflect under SQLAlchemy 2.1
            named = table(quoted_name(kind, quote=True), schema=quoted_name(schema, quote=True))
            known: Any = column(quoted_name(key, quote=True))
            self._query = select(text("*")).select_from(named)
            self._compared: Any = cast(known, String)
        else:
            found = Table(kind, MetaData(), schema=schema, autoload_with=connection, resolve_fks=False)
            self._query = select(found)
            self._compared = found.c[key]
            self._is_number = issubclass(found.c[key].type.python_type, int)

    def rows(self, keys: Sequence[str]) -> dict[str, Row]:
        """The rows that exist, by their keys as text."""
        wanted = [int(key) for key in keys if key.isdecimal()] if self._is_number else list(keys)
        found = self._connection.execute(self._query.where(self._compared.in_(wanted))).mappings()
        return {str(row[self._key]): dict(row) for row in found}
