"""Reads a warehouse for a sync: read-only, streaming, with a time limit where the database has one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Engine, Select
from sqlalchemy.exc import SQLAlchemyError

from topics.settings import Settings
from topics.warehouse import MAIN, attached, explained, open_warehouse, schema_files, warehouse_url
from worker.syncs.errors import BadSync, SourceFailed
from worker.syncs.source.statement import Rows

CHUNK = 1_000
_PG_TEXTS = {18, 19, 25, 1042, 1043}
"""PostgreSQL's type numbers of char, name, text, bpchar and varchar."""


def engine_of(settings: Settings, name: str) -> Engine:
    """The warehouse of that name. Raises ``BadSync``, which lists the names, and ``SettingsError``."""
    known = {MAIN: settings.warehouse, **settings.warehouses}
    url = name if name.startswith("env:") or "://" in name else known.get(name.lower())
    if url is None:
        raise BadSync(
            f"there is no warehouse {name!r}; there are {', '.join(known)}. Another one is "
            f"WRITEBACK_WAREHOUSE_{name.upper()}=<its URL>"
        )
    return open_warehouse(warehouse_url(url))


class Warehouse:
    """``timeout``: seconds a statement may take. Reading raises ``SourceFailed`` with the database's words."""

    def __init__(self, engine: Engine, *, timeout: float) -> None:
        self._engine = engine
        self._timeout = timeout
        self.dialect = engine.dialect.name
        self.title = f"the warehouse {engine.url.render_as_string(hide_password=True)}"

    def columns(self, rows: Rows) -> dict[str, bool]:
        """The columns of a query or a table: name → whether PostgreSQL orders it by a language's rules."""
        with self._connected(rows) as connection:
            result = connection.execute(rows.look())
            described = result.cursor.description if result.cursor is not None else ()
            texts = [self.dialect == "postgresql" and one[1] in _PG_TEXTS for one in described]
            return dict(zip(result.keys(), texts, strict=True))

    def chunks(self, rows: Rows, statement: Select[Any]) -> Iterator[Sequence[tuple[Any, ...]]]:
        """The rows, a thousand at a time; memory holds no more. Closing the iterator ends the query."""
        with self._connected(rows) as connection:
            streaming = connection.execution_options(stream_results=True, max_row_buffer=CHUNK)
            result = streaming.execute(statement)
            try:
                while chunk := result.fetchmany(CHUNK):
                    yield list(map(tuple, chunk))
            finally:
                result.close()

    def close(self) -> None:
        self._engine.dispose()

    @contextmanager
    def _connected(self, rows: Rows) -> Iterator[Connection]:
        mentioned = rows.query or str(rows.table or "")
        schemas = [name for name in schema_files(self._engine.url) if name in mentioned]
        try:
            with attached(self._engine, schemas) as connection:
                self._only_read(connection)
                yield connection
        except SQLAlchemyError as error:
            raise SourceFailed(f"{self.title}: {explained(error)}") from error

    def _only_read(self, connection: Connection) -> None:
        match self.dialect:
            case "postgresql":
                connection.execution_options(postgresql_readonly=True)
                connection.exec_driver_sql(f"SET statement_timeout = {int(self._timeout * 1_000)}")
            case "sqlite":
                connection.exec_driver_sql("PRAGMA query_only=ON")
            case "mysql" | "mariadb":
                limit = f"max_execution_time = {int(self._timeout * 1_000)}"
                if getattr(connection.dialect, "is_mariadb", False):
                    limit = f"max_statement_time = {self._timeout:g}"
                connection.exec_driver_sql(f"SET SESSION {limit}")
                connection.rollback()
                connection.exec_driver_sql("SET TRANSACTION READ ONLY")
            case _:
                return
