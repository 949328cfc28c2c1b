"""What ``pq.dbconnect`` gives: one warehouse."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any, Literal

from sqlalchemy import Connection, CursorResult, Engine, select, text
from sqlalchemy.sql import Executable

from pq.errors import BadField, UnknownWarehouse, WarehouseError
from pq.warehouse import frames, writes
from pq.warehouse.create import matching
from pq.warehouse.failures import named, nearest
from pq.warehouse.rows import CHUNK, Opened, Rows
from pq.warehouse.tables import Place, find, schemas, tables
from topics.settings import load_settings
from topics.warehouse import MAIN, attached, open_warehouse, schema_files, warehouse_url

_WRITES = re.compile(
    r"\s*(insert|update|delete|merge|replace|create|drop|alter|truncate|copy|grant|revoke)\b", re.IGNORECASE
)
_ONLY_READS = "fetch only reads; statements that write go into execute"

Params = Mapping[str, Any] | Sequence[Mapping[str, Any]]


class Database:
    """One warehouse. Safe to use from several threads; each call is one transaction.

    A table is said as ``"table"``, ``"schema", "table"``, or as in the seed ``pq.DW_NAME, "schema", "table"``.
    Values go in as parameters and names are quoted, whatever is in them. Raises ``UnknownTable`` and ``UnknownColumn``
    with the nearest names, ``WarehouseUnavailable`` where another try may help, else ``WarehouseError``.
    """

    def __init__(self, name: str, engine: Engine) -> None:
        self.name = name
        self._engine = engine
        self._title = f"the warehouse {name} ({engine.url.render_as_string(hide_password=True)})"

    def __repr__(self) -> str:
        return f"<pq warehouse {self.name}>"

    def fetch(
        self,
        *place: str,
        query: str | None = None,
        params: Mapping[str, Any] | None = None,
        df: bool | Literal["pandas", "polars"] = False,
    ) -> Any:
        """The rows of a table, or of a ``query`` with its ``:name`` parameters: dicts by column name (``Rows``).

        Only reads; a loop over a million rows keeps a thousand of them in memory. ``df``: a pandas DataFrame, or polars
        where that is installed and pandas is not; "pandas" or "polars" says which.
        """
        if query is not None:
            self._only_database(place)
            if _WRITES.match(query):
                raise WarehouseError(f"{self._title}: {_ONLY_READS}")
            rows = self._rows(text(query), params, "fetch", schemas_in=query)
        elif params is not None:
            raise BadField("params belong to a query; give query='SELECT ... WHERE id = :id' as well")
        else:
            where = self._place(place)
            with self._connected(str(where), where.schema) as connection:
                found = find(connection, where)
            rows = self._rows(select(found.table), None, f"fetch {where}", schema=where.schema)
        return frames.frame(rows, df) if df else rows

    def execute(self, statement: str, params: Params | None = None, *, query: str | None = None) -> int | list[Any]:
        """Run any statement, with its ``:name`` parameters; a list of them runs it once for each.

        Returns how many rows it changed, or the rows that it gives back. ``execute(pq.DW_NAME, query=...)`` is the
        same.
        """
        if query is not None:
            self._only_database((statement,))
            statement = query
        with self._connected("execute", mentioned=statement) as connection:
            result = connection.execute(text(statement), params or {})
            given = _given(result)
            connection.commit()
            return given

    def insert(self, *place_and_records: Any) -> int:
        """Add a record (a dict), or a list of them: ``insert("shop", "product", {"id": 1, "name": "x"})``."""
        place, records = self._split(place_and_records)
        return self._change(place, "insert", partial(writes.insert, records=records))

    def update(self, *place_and_records: Any, where: Mapping[str, Any] | None = None) -> int:
        """Change the rows whose primary key is in the records, or all that match ``where``; says how many."""
        place, records = self._split(place_and_records)
        return self._change(place, "update", partial(writes.update, records=records, where=where))

    def upsert(self, *place_and_records: Any, pk: str | Sequence[str] | None = None) -> int:
        """Change the rows that have the record's key, add the others. ``pk``: other columns than the primary key."""
        place, records = self._split(place_and_records)
        return self._change(place, "upsert", partial(writes.upsert, records=records, pk=pk))

    def delete(self, *place: str, where: Mapping[str, Any] | None = None, **columns: Any) -> int:
        """Delete the rows that have these values: ``delete("shop", "product", id=1)``; says how many there were."""
        return self._change(self._place(place), "delete", partial(writes.delete, where={**(where or {}), **columns}))

    def write(self, *place_and_records: Any, records: Any = None, pk: str | Sequence[str] | None = None) -> int:
        """Put records (a list of dicts, or a DataFrame) into a table; it is made, and given new columns, as needed.

        With ``pk`` (or where the table has a primary key) rows are changed or added, else they are added.
        """
        given = place_and_records if records is None else (*place_and_records, records)
        place, rows = self._split(given)
        with self._connected(f"write {place}", place.schema) as connection:
            found = matching(connection, place, rows, pk)
            count = (
                writes.upsert(connection, found, rows, pk)
                if found.key or pk
                else writes.insert(connection, found, rows)
            )
            connection.commit()
            return count

    def list_tables(self, schema: str | None = None) -> list[str]:
        """``schema.table`` of every table and view, or the tables of one schema."""
        with self._connected("list_tables", schema) as connection:
            if schema is not None:
                return tables(connection, schema)
            known = schemas(connection)
        found = []
        for each in known:
            with self._connected("list_tables", each) as connection:
                found += [f"{each}.{table}" for table in tables(connection, each)]
        return found

    def close(self) -> None:
        """Let go of the connections; the next call opens one again."""
        self._engine.dispose()

    def _rows(
        self,
        statement: Executable,
        params: Mapping[str, Any] | None,
        what: str,
        *,
        schema: str | None = None,
        schemas_in: str = "",
    ) -> Rows:
        def ask() -> Opened:
            with ExitStack() as stack:
                connection = stack.enter_context(self._connected(what, schema, mentioned=schemas_in))
                _only_read(connection)
                streaming = connection.execution_options(stream_results=True, max_row_buffer=CHUNK)
                result = streaming.execute(statement, dict(params or {}))
                stack.callback(result.close)
                if not result.returns_rows:
                    raise WarehouseError(f"{self._title}: {_ONLY_READS}")
                return stack.pop_all(), result

        return Rows(ask, partial(named, self._title, what))

    def _change(self, place: Place, what: str, change: Any) -> int:
        with self._connected(f"{what} {place}", place.schema) as connection:
            count: int = change(connection, find(connection, place))
            connection.commit()
            return count

    @contextmanager
    def _connected(self, what: str, schema: str | None = None, *, mentioned: str = "") -> Iterator[Connection]:
        """A connection to this warehouse, on which the schema is there, or those whose names are in a statement."""
        wanted = [schema] if schema else [name for name in schema_files(self._engine.url) if name in mentioned]
        with named(self._title, what), attached(self._engine, wanted) as connection:
            yield connection

    def _split(self, given: tuple[Any, ...]) -> tuple[Place, list[dict[str, Any]]]:
        *place, records = given or ("",)
        if isinstance(records, str):
            raise BadField("the records are missing: a dict, a list of dicts or a DataFrame, after the table's name")
        return self._place(tuple(place)), frames.records(records)

    def _place(self, place: tuple[Any, ...]) -> Place:
        for part in place:
            if not isinstance(part, str) or not part:
                raise BadField(f"{part!r} is no name of a schema or a table; give text")
        match place:
            case (table,):
                return Place(None, table)
            case (schema, table):
                return Place(schema, table)
            case (database, schema, table):
                self._only_database((database,))
                return Place(schema, table)
        raise BadField('say which table: "table", or "schema", "table", or pq.DW_NAME, "schema", "table"')

    def _only_database(self, place: tuple[Any, ...]) -> None:
        known = {self.name, self._engine.url.database or self.name}
        if place and (len(place) > 1 or place[0] not in known):
            raise UnknownWarehouse(
                f"this is the warehouse {self.name!r}; for another one use pq.dbconnect({place[0]!r}), or leave the "
                "name out"
            )


def _given(result: CursorResult[Any]) -> int | list[Any]:
    if not result.returns_rows:
        return max(result.rowcount, 0)
    rows = [dict(row) for row in result.mappings()]
    if result.dialect.name == "duckdb" and result.keys() == ["Count"]:  # how DuckDB says how many rows it changed
        return int(rows[0]["Count"])
    return rows


def _only_read(connection: Connection) -> None:
    """A statement that writes is refused by the database, instead of being undone without a word."""
    match connection.dialect.name:
        case "postgresql":
            connection.execution_options(postgresql_readonly=True)
        case "sqlite":
            connection.exec_driver_sql("PRAGMA query_only=ON")


_lock = threading.Lock()
_open: dict[str, Database] = {}


def connect(name: str) -> Database:
    """Raises ``UnknownWarehouse``, which lists the names, and ``SettingsError``."""
    settings = load_settings()
    urls = {MAIN: settings.warehouse, **settings.warehouses}
    url = urls.get(name.lower())
    if url is None:
        raise UnknownWarehouse(
            f"no warehouse {name!r}; {nearest(name, urls)}. Another one is WRITEBACK_WAREHOUSE_{name.upper()}=<its URL>"
        )
    address = warehouse_url(url)
    key = address.render_as_string(hide_password=False)
    with _lock:
        if key not in _open:
            _open[key] = Database(name.lower(), open_warehouse(address))
        return _open[key]
