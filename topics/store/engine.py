"""Opens the store's database; the first connection to it brings the tables up to date."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, NullPool, Table, create_engine, event, make_url
from sqlalchemy.engine import URL, ExceptionContext
from sqlalchemy.exc import ArgumentError, InterfaceError, NoSuchModuleError, OperationalError

from topics.errors import SettingsError, StoreUnavailable
from topics.event import exact_json
from topics.store.migrate import is_current, migrate

BUSY_TIMEOUT_MS = 30_000
_TRANSIENT = {
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_READONLY,
}

_EXACT: dict[str, Any] = {
    "json_serializer": exact_json.stored,
    "json_deserializer": exact_json.loads_checked,
}
"""What is kept as JSON keeps every digit: an operator's edit of a letter holds the ``Decimal`` that came."""


def open_store(url: str) -> Engine:
    """The engine of a store; connects only when it is used, and makes the parent directory of a SQLite file.

    The first connection finds the tables as this release has them, or migrates them (``topics/store/migrate.py``);
    a store that a newer release has migrated raises ``SettingsError`` there.

    On SQLite a commit is on the disk when it returns (WAL, ``synchronous=FULL``), foreign keys hold, a writer waits up
    to 30 s for another, and every transaction begins as a writer (``BEGIN IMMEDIATE``): what it has read is still true
    when it writes. A long read belongs into ``reading(engine)``, which stops nobody. ``postgresql://`` means psycopg.
    Raises ``SettingsError`` for what is not a database URL or has no driver installed; whatever is done with it raises
    ``StoreUnavailable`` while the database cannot be reached, is locked, full or read-only.
    """
    try:
        parsed = _with_driver(make_url(url))
        engine = _make_engine(parsed)
    except (ArgumentError, NoSuchModuleError) as error:
        raise SettingsError(f"WRITEBACK_STORE is no database URL that SQLAlchemy knows: {error}") from error
    except ModuleNotFoundError as error:
        hint = "pip install 'writeback[postgres]'" if error.name == "psycopg" else f"pip install {error.name}"
        raise SettingsError(f"WRITEBACK_STORE needs a driver that is not installed: {hint}") from error

    @event.listens_for(engine, "first_connect")
    def _bring_up_to_date(connection: Any, _record: Any) -> None:
        try:
            if not is_current(engine, connection):
                migrate(_make_engine(parsed, poolclass=NullPool))  # on a connection of its own: this is the driver's
        except BaseException:
            connection.close()  # the pool drops it as it is
            raise

    return engine


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """A connection that sees one consistent state and stops no writer; writing on it is a bug."""
    options = {"begin": "DEFERRED"} if engine.dialect.name == "sqlite" else {"isolation_level": "REPEATABLE READ"}
    with engine.connect() as connection:
        yield connection.execution_options(**options)


def _with_driver(url: URL) -> URL:
    if url.drivername in {"postgresql", "postgres"}:
        return url.set(drivername="postgresql+psycopg")
    return url


def _make_engine(url: URL, **options: Any) -> Engine:
    if url.get_backend_name() == "sqlite":
        engine = _make_sqlite_engine(url, **options)
    else:
        engine = create_engine(url, pool_pre_ping=True, **_EXACT, **options)
    event.listen(engine, "handle_error", _name_the_store)
    return engine


def _make_sqlite_engine(url: URL, **options: Any) -> Engine:
    if url.database and url.database != ":memory:" and not url.database.startswith("file:"):
        path = Path(url.database).expanduser()
        path.parent.mkdir(parents=True, exist_ok=True)
        url = url.set(database=str(path))
    engine = create_engine(url, connect_args={"timeout": BUSY_TIMEOUT_MS / 1_000}, **_EXACT, **options)
    event.listen(engine, "connect", _prepare)
    event.listen(engine, "begin", _begin)
    return engine


def _prepare(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # the driver opens no transactions of its own: _begin does, and DDL is inside
    for pragma in (f"busy_timeout={BUSY_TIMEOUT_MS}", "journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")


def _begin(connection: Connection) -> None:
    connection.exec_driver_sql(f"BEGIN {connection.get_execution_options().get('begin', 'IMMEDIATE')}")


def _name_the_store(context: ExceptionContext) -> None:
    """What raises ``StoreUnavailable`` instead of the driver's error; a wrong statement of ours stays what it is."""
    original = context.original_exception
    if isinstance(original, sqlite3.OperationalError):
        down = original.sqlite_errorcode & 0xFF in _TRANSIENT
    else:
        # PostgreSQL also ends a connection by itself, as one whose transaction waits for too long: no OperationalError
        down = context.is_disconnect or isinstance(context.sqlalchemy_exception, OperationalError | InterfaceError)
    if down:
        where = context.engine.url.render_as_string() if context.engine else "the store"
        raise StoreUnavailable(f"the store {where} does not answer: {original}".strip()) from original


def inserting(bind: Engine | Connection, table: Table) -> Any:
    """An INSERT into ``table`` as this very database has it, with ``on_conflict_do_update`` and ``_do_nothing``.

    A dialect's module brings its drivers along, and a store has one of the two: only that one is loaded.
    """
    return import_module(f"sqlalchemy.dialects.{bind.dialect.name}").insert(table)
