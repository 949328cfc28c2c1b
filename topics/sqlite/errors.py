"""Turns SQLite's errors into ours, which say what to do."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from sqlalchemy.exc import DBAPIError

from topics.errors import LogUnavailable, SettingsError, WritebackError

_ADVICE = {
    "SQLITE_FULL": "its disk is full: free some space; what was acknowledged is safe, sends then work again",
    "SQLITE_CORRUPT": "it is damaged: stop every process that uses it, keep a copy, and restore it from a backup or "
    "with `sqlite3 FILE .recover`",
    "SQLITE_READONLY": "it is read-only: give this user write permission on the file and its folder",
    "SQLITE_CANTOPEN": "it cannot be opened: check that its folder exists and that this user may write there",
    "SQLITE_PERM": "this user may not use it: check the permissions of the file and its folder",
    "SQLITE_BUSY": "another process holds its write lock (is one stopped with Ctrl-Z, or a database tool left open?)",
    "SQLITE_LOCKED": "another process holds its write lock (is a database tool left open?)",
    "SQLITE_IOERR": "its disk answers with errors: check the disk and the system's log",
}


def name_of(error: DBAPIError) -> str:
    """SQLite's primary name of the error: SQLITE_IOERR for SQLITE_IOERR_FSYNC."""
    name = getattr(error.orig, "sqlite_errorname", "")
    return "_".join(name.split("_")[:2])


def is_busy(error: DBAPIError) -> bool:
    return name_of(error) in {"SQLITE_BUSY", "SQLITE_LOCKED"}


def explain(error: DBAPIError, path: Path) -> WritebackError:
    """The error to raise ``from`` this one."""
    name = name_of(error)
    if name == "SQLITE_NOTADB":
        return SettingsError(f"WRITEBACK_LOG: {path} is not a SQLite database; name another file")
    if isinstance(error.orig, sqlite3.Error) and name in _ADVICE:
        return LogUnavailable(f"the log {path} did not answer ({error.orig}): {_ADVICE[name]}")
    return LogUnavailable(f"the log {path} did not answer: {error.orig}")
