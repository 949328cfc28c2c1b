"""Explains to people why a run failed, and decides whether another try may succeed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from sqlalchemy.exc import DBAPIError

from connectors.errors import Unreachable
from topics.errors import StoreUnavailable, WritebackError
from topics.warehouse import explained

_FULL: Final = ("disk is full", "no space left", "disk full", "quota", "out of disk")
_READ_ONLY: Final = ("read-only", "readonly", "read only", "permission denied", "attempt to write")
_DOWN: Final = (
    "connection", "could not connect", "unable to open", "locked", "lock on file", "timeout", "terminating",
    "starting up", "shutting down", "server closed", "does not answer", "i/o error",
)  # fmt: skip
_KINDS: Final = (
    (_FULL, "is full", True),
    (_READ_ONLY, "cannot be written to by this user", False),
    (_DOWN, "does not answer", True),
)
_DRIVERS: Final = frozenset(
    {"sqlalchemy", "dlt", "psycopg", "psycopg2", "sqlite3", "duckdb", "_duckdb", "google", "snowflake"}
)
"""Modules whose exceptions carry the warehouse's own message; dlt quotes it where it does not chain the exception."""
_REBUILD: Final = "a full refresh (--full) makes the table anew"


class Altered(WritebackError):
    """The warehouse's table was changed since the last run."""


def explain(error: BaseException, warehouse: str) -> tuple[str, bool]:
    """The detail of a result, and ``retry``. ``warehouse`` is its address without the password."""
    causes = list(_causes(error))
    for cause in causes:
        if isinstance(cause, WritebackError):
            return str(cause), isinstance(cause, Unreachable | StoreUnavailable)
        if type(cause).__name__ == "DataValidationError":
            return _another_type(cause), False
    root = next((cause for cause in causes if isinstance(cause, DBAPIError)), causes[-1])
    words = explained(root)
    if not _of_the_warehouse(root):
        return f"a bug: {type(root).__name__}: {words}; please report it with the refresher's log", False
    for signs, said, retry in _KINDS:
        if any(sign in words.lower() for sign in signs):
            return f"the warehouse {warehouse} {said}: {words}", retry
    return f"the warehouse {warehouse} refused what was read: {words}", False


def expected(error: BaseException) -> bool:
    """Whether it is a known kind of failure, and no bug of ours. The traceback of a bug goes to the log."""
    return any(
        isinstance(cause, WritebackError) or type(cause).__name__ == "DataValidationError" or _of_the_warehouse(cause)
        for cause in _causes(error)
    )


def _of_the_warehouse(error: BaseException) -> bool:
    return isinstance(error, OSError) or type(error).__module__.partition(".")[0] in _DRIVERS


def is_another_type(error: BaseException) -> bool:
    return any(type(cause).__name__ == "DataValidationError" for cause in _causes(error))


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _another_type(error: BaseException) -> str:
    table = getattr(error, "table_name", "?")
    column = str(getattr(error, "column_name", "?")).partition("__v_")[0]
    kind = str(getattr(error, "column_name", "")).partition("__v_")[2] or "another type"
    return (
        f"the column {column} of {getattr(error, 'schema_name', '?')}.{table} has changed its type: a value came that "
        f"is {kind}, which the column cannot hold. What is there stays as it is; {_REBUILD}"
    )


def altered(schema: str, table: str, missing: list[str]) -> Altered:
    what = f"the column {', '.join(missing)} is" if missing else "the table is"
    return Altered(f"{schema}.{table} was altered by hand: {what} missing; {_REBUILD}")
