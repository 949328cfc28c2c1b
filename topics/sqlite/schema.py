"""The tables of the embedded log, and the connections to them.

The id of a record is ``partition id << 40 | offset``: one B-tree that holds every partition in order, so that a read is
a range scan and nothing needs a second index. Ids of partitions are never used twice.
"""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Engine,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    create_engine,
    event,
    insert,
    text,
)
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError

from topics.errors import LogUnavailable, SettingsError
from topics.sqlite import versions
from topics.sqlite.errors import explain, is_busy

APPLICATION_ID = 0x57424C47
"""``WBLG``: by it we, and the tool ``file``, recognise a log."""

OFFSET_BITS = 40
OFFSET_MASK = (1 << OFFSET_BITS) - 1

BUSY_SECONDS = 30.0
RETRY_SECONDS = 0.001

metadata = MetaData()

topics = Table(
    "topics",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("partitions", Integer, nullable=False),
    Column("retention_ms", BigInteger, nullable=False),
    Column("max_record_bytes", BigInteger, nullable=False),
    sqlite_autoincrement=True,
)
partitions = Table(
    "partitions",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("topic_id", Integer, nullable=False),
    Column("number", Integer, nullable=False),
    Column("first", BigInteger, nullable=False, server_default=text("0")),
    Column("next", BigInteger, nullable=False, server_default=text("0")),
    Column("changed", BigInteger, nullable=False, server_default=text("0"), index=True),  # rises with every append
    UniqueConstraint("topic_id", "number"),
    sqlite_autoincrement=True,
)
changes = Table("changes", metadata, Column("last", BigInteger, nullable=False))
"""One row: the highest ``partitions.changed`` ever, which must not sink when a topic is deleted."""

records = Table(
    "records",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("timestamp_ms", BigInteger, nullable=False),
    Column("key", LargeBinary),
    Column("value", LargeBinary),
    Column("headers", LargeBinary),
)
commits = Table(
    "commits",
    metadata,
    Column("group_name", Text, primary_key=True),
    Column("partition_id", Integer, primary_key=True),
    Column("offset", BigInteger, nullable=False),
    Column("metadata", Text, nullable=False),
    sqlite_with_rowid=False,
)
leases = Table(
    "leases",
    metadata,
    Column("group_name", Text, primary_key=True),
    Column("epoch", BigInteger, nullable=False),
    Column("beats", BigInteger, nullable=False),
    Column("owner", Text),  # NULL: released, free for the next
    sqlite_with_rowid=False,
)
leftovers = Table(
    "leftovers",  # partitions of deleted topics whose records are still to be deleted, a slice at a time
    metadata,
    Column("partition_id", Integer, primary_key=True),
)


def make_engine(path: Path) -> Engine:
    """An engine whose transactions begin with ``begin``, not when the driver chooses to."""
    engine = create_engine(
        URL.create("sqlite", database=str(path)),
        connect_args={"isolation_level": None, "check_same_thread": False, "timeout": 5.0},
        hide_parameters=True,  # an error message must not carry a record
    )

    @event.listens_for(engine, "connect")
    def _prepare(connection: sqlite3.Connection, _: Any) -> None:
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA wal_autocheckpoint=4000")

    return engine


def begin(connection: Connection, seconds: float = BUSY_SECONDS) -> None:
    """Take the write lock now. Asks often: SQLite's own wait backs off to 100 ms, and a busy writer starves it."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        except DBAPIError as error:
            connection.rollback()
            if not is_busy(error) or time.monotonic() > deadline:
                raise
            time.sleep(RETRY_SECONDS)  # noqa: TID251 - waits for another process, which tells nobody when it is done
        else:
            return


def empty_wal(connection: Connection, seconds: float) -> None:
    """Move the WAL into the database and start it over. Asks often, like ``begin``; gives up when the time is up."""
    deadline = time.monotonic() + seconds
    while connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").scalar() and time.monotonic() < deadline:
        connection.rollback()
        time.sleep(RETRY_SECONDS)  # noqa: TID251 - as above
    connection.rollback()


def connect_to_write(engine: Engine, *, durable: bool = True) -> Connection:
    """A connection outside the pool, for ``begin``, which waits for the lock itself.

    ``durable=False``: commits cost no fsync; they survive kill -9, but not a power cut.
    """
    connection = engine.connect()
    connection.detach()
    connection.exec_driver_sql("PRAGMA busy_timeout=0")
    if not durable:
        connection.exec_driver_sql("PRAGMA synchronous=NORMAL")
    connection.rollback()
    return connection


def prepare(engine: Engine, path: Path) -> None:
    """Make the file a log, or check that it is one, and bring it up to date. Several processes may do this at once.

    Raises ``SettingsError`` for another program's file or a newer release's, ``LogUnavailable`` when it does not open.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with engine.connect() as connection:
            if _pragma(connection, "application_id") != APPLICATION_ID:
                _create(connection, path)
            _bring_up_to_date(connection, path)
            _use_wal(connection, path)
    except OSError as error:
        raise LogUnavailable(f"the folder of the log {path} cannot be made: {error.strerror}") from error
    except DBAPIError as error:
        raise explain(error, path) from error


def _create(connection: Connection, path: Path) -> None:
    if not _pragma(connection, "schema_version"):
        connection.exec_driver_sql(
            "PRAGMA auto_vacuum=INCREMENTAL"
        )  # only possible before there is a table; see space.py
    connection.rollback()
    begin(connection)
    if _pragma(connection, "application_id") != APPLICATION_ID:
        if _pragma(connection, "application_id") or _pragma(connection, "schema_version"):
            connection.rollback()
            raise SettingsError(f"WRITEBACK_LOG: {path} is a database of something else; name another file")
        metadata.create_all(connection)
        connection.execute(insert(changes).values(last=0))
        connection.exec_driver_sql(f"PRAGMA application_id={APPLICATION_ID}")
        connection.exec_driver_sql(f"PRAGMA user_version={versions.latest()}")
    connection.commit()


def _bring_up_to_date(connection: Connection, path: Path) -> None:
    if _version(connection, path) == versions.latest():
        return
    connection.rollback()
    begin(connection)
    versions.upgrade(connection, _version(connection, path))  # read again: another process may have been quicker
    connection.exec_driver_sql(f"PRAGMA user_version={versions.latest()}")
    connection.commit()


def _version(connection: Connection, path: Path) -> int:
    """Raises ``SettingsError`` when a newer release has made or changed the file."""
    version = _pragma(connection, "user_version")
    if version > versions.latest():
        from importlib.metadata import version as release  # noqa: PLC0415 - slow, and seldom needed

        raise SettingsError(
            f"WRITEBACK_LOG: {path} has schema version {version}, made by a newer release; this one "
            f"(writeback {release('writeback')}) works with versions up to {versions.latest()}: "
            "run the newer release, or name another log"
        )
    return version


def _use_wal(connection: Connection, path: Path) -> None:
    """Switch the file to WAL, for good; the switch needs a moment without other connections."""
    deadline = time.monotonic() + BUSY_SECONDS
    mode = ""
    while mode != "wal" and time.monotonic() < deadline:
        try:
            mode = str(connection.exec_driver_sql("PRAGMA journal_mode=WAL").scalar())
        except DBAPIError as error:
            if not is_busy(error):
                raise
        connection.rollback()
    if mode != "wal":
        raise LogUnavailable(
            f"the log {path} cannot use SQLite's WAL on this file system; choose a file on a local disk"
        )


def _pragma(connection: Connection, name: str) -> int:
    return int(connection.exec_driver_sql(f"PRAGMA {name}").scalar() or 0)
