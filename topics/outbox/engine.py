"""Connects to a warehouse as its triggers and their relay need it: PostgreSQL or SQLite."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL
from sqlalchemy.pool import NullPool

from topics.errors import SettingsError
from topics.warehouse import BUSY_TIMEOUT_S

SUPPORTED = ("postgresql", "sqlite")


def open_engine(url: URL) -> Engine:
    """An engine without a pool: whoever uses it holds its connection, and locks are gone with it.

    On SQLite a transaction begins as a writer's. Raises ``SettingsError`` for a database that cannot have our triggers,
    and without a driver.
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
    if name == "sqlite":
        event.listen(engine, "connect", _without_implicit_transactions)
        event.listen(engine, "begin", _begin_as_writer)
    return engine


def _without_implicit_transactions(connection: Any, _record: Any) -> None:
    connection.isolation_level = None


def _begin_as_writer(connection: Connection) -> None:
    if connection.get_execution_options().get("isolation_level") != "AUTOCOMMIT":
        connection.exec_driver_sql("BEGIN IMMEDIATE")
