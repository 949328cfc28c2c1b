"""Sessions in which our triggers do nothing: what a refresh loads must not be sent back as a change.

In PostgreSQL a setting of the session tells the triggers. In SQLite they do nothing while ``writeback_loading`` has a
row: it is inserted before a transaction's first write into a file, and deleted before the commit. So no other session
ever sees it, and a killed process leaves none behind.
"""

from __future__ import annotations

import re
import sqlite3
from typing import Any, Final

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL
from sqlalchemy.pool import NullPool

from topics.outbox.postgres import LOADING

_WRITES: Final = ("INSERT", "UPDATE", "DELETE", "REPLACE")
"""The statements before which Python's sqlite3 begins a transaction."""
_GUARDED: Final = "writeback.guarded"


def silent_url(url: URL) -> URL:
    """The URL with the session's setting for PostgreSQL; any other URL unchanged."""
    if url.get_backend_name() != "postgresql":
        return url
    given = url.query.get("options", "")
    own = f"{given if isinstance(given, str) else ' '.join(given)} -c {LOADING}=on".strip()
    return url.update_query_dict({"options": own})


def silent_sqlite(url: URL) -> Engine:
    """An engine for SQLite whose transactions write without firing our triggers."""
    engine = create_engine(url, poolclass=NullPool)
    event.listen(engine, "before_cursor_execute", _guard)
    event.listen(engine, "commit", _release)
    event.listen(engine, "rollback", _forget)
    return engine


def _guard(connection: Connection, _cursor: Any, statement: str, *_: Any) -> None:
    if not statement.lstrip().upper().startswith(_WRITES):
        return
    driver, guarded = _driver(connection), connection.info.setdefault(_GUARDED, set())
    for _number, schema, _file in driver.execute("PRAGMA database_list").fetchall():
        if (
            schema not in guarded
            and re.search(rf"\b{re.escape(schema)}\b", statement)
            and _has_triggers(driver, schema)
        ):
            driver.execute(f"INSERT INTO \"{schema}\".writeback_loading VALUES ('a refresh')")  # noqa: S608
            guarded.add(schema)


def _has_triggers(driver: sqlite3.Connection, schema: str) -> bool:
    found = driver.execute(f"SELECT 1 FROM \"{schema}\".sqlite_master WHERE name = 'writeback_loading'")  # noqa: S608
    return found.fetchone() is not None


def _release(connection: Connection) -> None:
    for schema in connection.info.pop(_GUARDED, ()):
        _driver(connection).execute(f'DELETE FROM "{schema}".writeback_loading')  # noqa: S608 - as it was attached


def _forget(connection: Connection) -> None:
    connection.info.pop(_GUARDED, None)


def _driver(connection: Connection) -> sqlite3.Connection:
    driver = connection.connection.driver_connection
    assert isinstance(driver, sqlite3.Connection)
    return driver
