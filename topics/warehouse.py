"""Opens a warehouse: the database that refreshes fill and ``pq.dbconnect`` reads, by its URL.

A schema of a SQLite warehouse is a file of its own, as dlt lays it out: ``warehouse__hubspot.db`` beside
``warehouse.db``. A connection attaches the schemas that it is asked for (SQLite attaches ten at most).
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, Engine, create_engine, event, make_url
from sqlalchemy.engine import URL
from sqlalchemy.exc import ArgumentError, NoSuchModuleError
from sqlalchemy.pool import NullPool

from topics.errors import SettingsError

MAIN: Final = "dw"
"""The name of the warehouse that ``WRITEBACK_WAREHOUSE`` names."""
REFERENCE: Final = "env:"
BUSY_TIMEOUT_S: Final = 30.0

_EXTRAS: Final = {
    "psycopg2": "redshift",
    "psycopg": "postgres",
    "pymysql": "mysql",
    "duckdb": "duckdb",
    "duckdb_engine": "duckdb",
    "snowflake": "snowflake",
    "bigquery": "bigquery",
    "sqlalchemy_bigquery": "bigquery",
    "redshift": "redshift",
    "databricks": "databricks",
    "pymssql": "mssql",
}
"""Our extra that brings a driver or a dialect: by how the module's name begins, the longer name first."""
STAGING: Final = "_staging"
"""What dlt adds to a schema's name for the one in which it makes the tables ready."""


def warehouse_url(url: str, environ: Mapping[str, str] = os.environ) -> URL:
    """The address of a setting, ``env:NAME`` resolved and the driver named. Raises ``SettingsError``."""
    if url.startswith(REFERENCE):
        name = url.removeprefix(REFERENCE)
        if not environ.get(name):
            raise SettingsError(f"the environment variable {name} is not set; the warehouse's URL is a reference to it")
        url = environ[name]
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise SettingsError(
            "the warehouse's URL is none that SQLAlchemy can read: dialect://user:password@host/db"
        ) from error
    if parsed.drivername in {"postgresql", "postgres"}:
        return parsed.set(drivername="postgresql+psycopg")
    if parsed.drivername in {"mysql", "mariadb"}:
        return parsed.set(drivername=f"{parsed.drivername}+pymysql")
    if parsed.drivername == "mssql":
        return parsed.set(drivername="mssql+pymssql")
    if parsed.get_backend_name() == "sqlite" and parsed.database:
        return parsed.set(database=str(Path(parsed.database).expanduser()))
    return parsed


def open_warehouse(url: URL) -> Engine:
    """The engine of a warehouse; connects only when it is used.

    Files keep no connection open between two statements: a DuckDB file belongs to one process at a time, and the
    refresh wants it too. Raises ``SettingsError`` for a dialect that is not known or whose driver is not installed.
    """
    try:
        if url.get_backend_name() == "sqlite":
            return _open_sqlite(url)
        if url.get_backend_name() == "duckdb":
            _make_folder(url)
            return create_engine(url, poolclass=NullPool)
        return create_engine(url, pool_pre_ping=True, pool_size=2)
    except NoSuchModuleError as error:
        name = url.get_backend_name()
        raise SettingsError(f"there is no database {name!r} that SQLAlchemy knows here; {_hint(name)}") from error
    except ImportError as error:
        missing = error.name or url.get_backend_name()
        raise SettingsError(f"the warehouse needs a driver that is not installed: {_hint(missing)}") from error
    except Exception as error:
        if not type(error).__module__.startswith("google.auth"):
            raise
        raise SettingsError(
            "BigQuery is not told who asks: set GOOGLE_APPLICATION_CREDENTIALS to the file of a service account, or "
            "put credentials_path=FILE into the warehouse's URL"
        ) from error


@contextmanager
def attached(engine: Engine, schemas: Iterable[str] = ()) -> Iterator[Connection]:
    """A connection on which these schemas are there; nothing is committed unless the caller does."""
    with engine.connect() as connection:
        if engine.dialect.name == "sqlite":
            files = schema_files(engine.url)
            for schema in dict.fromkeys(schemas):
                if schema in files:
                    _attach(connection, files[schema], schema)
        yield connection


def schema_files(url: URL) -> dict[str, Path]:
    """The schemas of a SQLite warehouse and their files; ``main`` is the file of the URL itself."""
    if not url.database or url.database == ":memory:":
        return {}
    path = Path(url.database)
    prefix = f"{path.stem}__"
    found = sorted(path.parent.glob(f"{prefix}*{path.suffix}"))
    named = {file.name.removeprefix(prefix).removesuffix(path.suffix): file for file in found}
    return {schema: file for schema, file in named.items() if not schema.endswith(STAGING)}


def add_schema_file(connection: Connection, schema: str) -> None:
    """A new schema of a SQLite warehouse: its file is made by the first table in it."""
    path = Path(connection.engine.url.database or "")
    _attach(connection, path.with_name(f"{path.stem}__{schema}{path.suffix}"), schema)


def _attach(connection: Connection, file: Path, schema: str) -> None:
    driver = connection.connection.driver_connection
    assert isinstance(driver, sqlite3.Connection)
    known = {row[1] for row in driver.execute("PRAGMA database_list")}
    if schema not in known:
        quoted = schema.replace('"', '""')
        driver.execute(f'ATTACH DATABASE ? AS "{quoted}"', (str(file),))
        if os.access(file.parent, os.W_OK):
            driver.execute(f'PRAGMA "{quoted}".journal_mode=WAL')


def _open_sqlite(url: URL) -> Engine:
    _make_folder(url)
    engine = create_engine(url, poolclass=NullPool, connect_args={"timeout": BUSY_TIMEOUT_S})
    if url.database and url.database != ":memory:" and os.access(Path(url.database).parent, os.W_OK):
        event.listen(engine, "connect", _write_ahead)
    return engine


def _write_ahead(driver: Any, _record: Any) -> None:
    """A long read stops no writer, and a loop over rows may write to their table."""
    driver.execute("PRAGMA journal_mode=WAL")


def _make_folder(url: URL) -> None:
    if url.database and url.database != ":memory:":
        Path(url.database).parent.mkdir(parents=True, exist_ok=True)


def _hint(module: str) -> str:
    name = next((extra for known, extra in _EXTRAS.items() if module.startswith(known)), None)
    return f"pip install 'writeback[{name}]'" if name else f"pip install the SQLAlchemy dialect or driver {module}"


def explained(error: Any) -> str:
    """The database's own words, in one line, without the statement and its values."""
    words = str(getattr(error, "orig", None) or error)
    return " ".join(words.split())
