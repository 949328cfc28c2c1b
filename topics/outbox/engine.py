"""Connects to a warehouse as its triggers and their relay need it: PostgreSQL or SQLite."""

from __future__ import annotations

import sqlite3
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL, ExceptionContext
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.pool import NullPool

from topics.errors import SettingsError
from topics.outbox.errors import WarehouseUnavailable
from topics.warehouse import BUSY_TIMEOUT_S, explained

SUPPORTED = ("postgresql", "sqlite")
_WRONG_STATEMENT = sqlite3.SQLITE_ERROR
"""SQLite's driver calls both a wrong statement and a full disk an operational error."""


def open_engine(url: URL) -> Engine:
    """An engine without a pool, so that a closed connection's locks are gone with it.

    On SQLite a transaction takes the write lock when it begins. Whatever is done with the engine raises
    ``WarehouseUnavailable`` while the warehouse cannot be reached, or is locked, full or read-only. Raises
    ``SettingsError`` for a database that cannot have our triggers, and when the driver is missing.
    """
    name = url.get_backend_name()
    if name not in SUPPORTED:
        raise SettingsError(
            f"{name} has no triggers of ours: they are for PostgreSQL (postgresql://...) and SQLite (sqlite:///...)"
        )
    try:
        options: dict[str, Any] = {"connect_args": {"timeout": BUSY_TIMEOUT_S}} if name == "sqlite" else {}
        engine = create_engine(url, poolclass=NullPool, **options)
    except ModuleNotFoundError as error:
        raise SettingsError("the warehouse needs a driver: pip install 'writeback[postgres]'") from error
    event.listen(engine, "handle_error", _name_the_warehouse)
    if name == "sqlite":
        event.listen(engine, "connect", _without_implicit_transactions)
        event.listen(engine, "begin", _begin_as_writer)
    return engine


def _name_the_warehouse(context: ExceptionContext) -> None:
    original = context.original_exception
    if isinstance(original, sqlite3.OperationalError):
        down = original.sqlite_errorcode & 0xFF != _WRONG_STATEMENT
    else:
        down = isinstance(context.sqlalchemy_exception, OperationalError | InterfaceError)
    if down:
        where = context.engine.url.render_as_string() if context.engine else "the warehouse"
        raise WarehouseUnavailable(f"{where}: {explained(original)}") from original


def _without_implicit_transactions(connection: Any, _record: Any) -> None:
    connection.isolation_level = None


def _begin_as_writer(connection: Connection) -> None:
    if connection.get_execution_options().get("isolation_level") != "AUTOCOMMIT":
        connection.exec_driver_sql("BEGIN IMMEDIATE")
