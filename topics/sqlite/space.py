"""Gives the space of deleted records back to the disk, a slice at a time."""

from __future__ import annotations

import sqlite3
from typing import Any

from sqlalchemy import Connection

SLACK_PAGES = 1_024
SLACK_SHARE = 0.125
"""Free pages that the file keeps for what comes next: so many, and this share of it."""
PAGES_AT_ONCE = 500
"""Pages (of 4 kB) moved in one transaction: some 10 ms under the write lock."""
MAX_REWRITTEN_PAGES = 16_384
"""A file that was made without incremental vacuum is rewritten once, when no more than these are in use: 64 MB, a
second under the write lock. A larger one keeps its size, and uses its free pages again."""
WAIT_MS = 1_000

INCREMENTAL = 2


def give_back(connection: Connection) -> bool:
    """Outside a transaction. Whether there is more to give back at once."""
    driver: Any = connection.connection.dbapi_connection  # of a connection outside the pool, too
    pages, free = _pragma(driver, "page_count"), _pragma(driver, "freelist_count")
    if free <= max(SLACK_PAGES, pages * SLACK_SHARE):
        return False
    incremental = _pragma(driver, "auto_vacuum") == INCREMENTAL
    if not incremental and pages - free > MAX_REWRITTEN_PAGES:
        return False
    try:
        driver.execute(f"PRAGMA busy_timeout={WAIT_MS}")
        # a script, because ``execute`` takes a single step of it: one page
        slice_ = f"PRAGMA incremental_vacuum({PAGES_AT_ONCE})"
        driver.executescript(slice_ if incremental else "PRAGMA auto_vacuum=INCREMENTAL; VACUUM")
    except sqlite3.Error:
        return False  # somebody else is writing, or the disk is full: the next time
    finally:
        driver.execute("PRAGMA busy_timeout=0")
    return _pragma(driver, "freelist_count") < free


def _pragma(driver: Any, name: str) -> int:
    return int(driver.execute(f"PRAGMA {name}").fetchone()[0])
