"""Finds a table of the warehouse, with its columns and its key; what is not there is named with what is."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import Column, Connection, MetaData, Table, inspect, text
from sqlalchemy.exc import NoSuchTableError
from sqlalchemy.sql import quoted_name

from pq.errors import UnknownColumn, UnknownTable
from pq.warehouse.failures import nearest
from topics.warehouse import STAGING, schema_files

_INTERNAL = ("information_schema", "pg_catalog", "pg_toast")
_DUCKDB_COLUMNS = text(
    "SELECT column_name FROM information_schema.columns "
    "WHERE table_schema = :schema AND table_name = :name AND table_catalog = current_database() "
    "ORDER BY ordinal_position"
)
_DUCKDB_KEYS = text(
    "SELECT constraint_type, constraint_column_names FROM duckdb_constraints() WHERE schema_name = :schema "
    "AND table_name = :name AND constraint_type IN ('PRIMARY KEY', 'UNIQUE')"
)
_DUCKDB_TABLES = text(
    "SELECT table_name FROM information_schema.tables WHERE table_schema = :schema "
    "AND table_catalog = current_database()"
)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a table is. ``schema`` is None for the database's own default."""

    schema: str | None
    table: str

    def __str__(self) -> str:
        return f"{self.schema}.{self.table}" if self.schema else self.table


@dataclass(frozen=True, slots=True)
class Found:
    """``key``: the columns of the primary key; ``unique``: every set of columns whose values no two rows share."""

    place: Place
    table: Table
    key: tuple[str, ...]
    unique: tuple[frozenset[str], ...]

    def check(self, columns: Iterable[str]) -> None:
        """Raises ``UnknownColumn``."""
        known = self.table.c.keys()
        for column in columns:
            if column not in known:
                raise UnknownColumn(f"{self.place} has no column {column!r}; {nearest(str(column), known)}")


def find(connection: Connection, place: Place) -> Found:
    """Raises ``UnknownTable``, whose message lists the schemas or the tables that there are."""
    if connection.dialect.name == "duckdb":
        found = _duckdb(connection, place)
    elif connection.dialect.name == "sqlite" and (place.schema or "main") not in schemas(connection):
        found = None
    else:
        found = _reflected(connection, place)
    if found is None:
        raise _unknown(connection, place)
    return found


def schemas(connection: Connection) -> list[str]:
    """Without the database's own, and those in which a refresh makes its tables ready."""
    if connection.dialect.name == "sqlite":
        return ["main", *schema_files(connection.engine.url)]
    if connection.dialect.name == "duckdb":
        found = connection.scalars(text("SELECT schema_name FROM duckdb_schemas() WHERE NOT internal"))
        names = sorted(str(name) for name in found)
    else:
        names = [name for name in inspect(connection).get_schema_names() if not name.startswith(_INTERNAL)]
    return [name for name in names if name.removesuffix(STAGING) not in names or not name.endswith(STAGING)]


def tables(connection: Connection, schema: str | None) -> list[str]:
    """Tables and views of a schema, without the ones in which dlt keeps its own state."""
    if connection.dialect.name == "duckdb":
        names = list(connection.scalars(_DUCKDB_TABLES, {"schema": schema or "main"}))
    else:
        inspector = inspect(connection)
        names = [*inspector.get_table_names(schema), *inspector.get_view_names(schema)]
    return sorted(name for name in names if not name.startswith("_dlt_"))


def _reflected(connection: Connection, place: Place) -> Found | None:
    try:
        table = Table(place.table, MetaData(), schema=place.schema, autoload_with=connection, resolve_fks=False)
    except NoSuchTableError:
        return None
    inspector = inspect(connection)
    key = tuple(column.name for column in table.primary_key)
    constraints = [one["column_names"] for one in inspector.get_unique_constraints(place.table, place.schema)]
    indexes = [one["column_names"] for one in inspector.get_indexes(place.table, place.schema) if one["unique"]]
    return Found(place, table, key, _sets(key, constraints, indexes))


def _duckdb(connection: Connection, place: Place) -> Found | None:
    """duckdb-engine cannot reflect under SQLAlchemy 2.1; DuckDB's own views say what is needed."""
    asked = {"schema": place.schema or "main", "name": place.table}
    columns = list(connection.scalars(_DUCKDB_COLUMNS, asked))
    if not columns:
        return None
    constraints = [(kind, list(names)) for kind, names in connection.execute(_DUCKDB_KEYS, asked)]
    key = next((tuple(names) for kind, names in constraints if kind == "PRIMARY KEY"), ())
    table = Table(
        quoted_name(place.table, quote=True),
        MetaData(),
        *[Column(quoted_name(name, quote=True)) for name in columns],  # its reserved words are not PostgreSQL's
        schema=place.schema and quoted_name(place.schema, quote=True),
    )
    return Found(place, table, key, _sets(key, [names for _, names in constraints]))


def _sets(key: tuple[str, ...], *lists: Sequence[Sequence[str | None]]) -> tuple[frozenset[str], ...]:
    known = [key, *(names for some in lists for names in some)]
    return tuple(frozenset(str(name) for name in names) for names in known if names and None not in names)


def _unknown(connection: Connection, place: Place) -> UnknownTable:
    known = schemas(connection)
    if place.schema is not None and place.schema not in known:
        hint = nearest(place.schema, known)
        return UnknownTable(f"no schema {place.schema!r}: {hint} (a connection's schema comes with its first refresh)")
    return UnknownTable(f"no table {str(place)!r}: {nearest(place.table, tables(connection, place.schema))}")
