"""Gives the space of deleted records back to the file system, a slice at a time."""

from __future__ import annotations

import sqlite3
from typing import Any

from sqlalchemy import Connection

SLACK_PAGES = 1_024
SLACK_SHARE = 0.125
"""Free pages that the file keeps for new records: this many, or this share of the file, whichever is more."""
PAGES_AT_ONCE = 500
"""Pages (of 4 kB) moved in one transaction: some 10 ms under the write lock."""
MAX_REWRITTEN_PAGES = 16_384
"""A file that was made without incremental vacuum is rewritten once, if at most this many pages are in use: 64 MB, a
second under the write lock. A larger file keeps its size, and reuses its free pages."""
WAIT_MS = 1_000

INCREMENTAL = 2


def give_back(connection: Connection) -> bool:
    """Give a slice back; to be called outside a transaction. Returns whether there is more."""
    driver: Any = (
        connection.connection.dbapi_connection
    )  # unlike ``driver_connection`` it is there for a connection outside the pool
    pages, free = _pragma(driver, "page_count"), _pragma(driver, "freelist_count")
    if free <= max(SLACK_PAGES, pages * SLACK_SHARE):
        return False
    incremental = _pragma(driver, "auto_vacuum") == INCREMENTAL
    if not incremental and pages - free > MAX_REWRITTEN_PAGES:
        return False
    try:
        driver.execute(f"PRAGMA busy_timeout={WAIT_MS}")
        # ``executescript``, because ``execute`` makes only one step of the statement: one page
        slice_ = f"PRAGMA incremental_vacuum({PAGES_AT_ONCE})"
        driver.executescript(slice_ if incremental else "PRAGMA auto_vacuum=INCREMENTAL; VACUUM")
    except sqlite3.Error:
        return False  # somebody else is writing, or the disk is full: tried again next time
    finally:
        driver.execute("PRAGMA busy_timeout=0")
    return _pragma(driver, "freelist_count") < free


def _pragma(driver: Any, name: str) -> int:
    return int(driver.execute(f"PRAGMA {name}").fetchone()[0])
