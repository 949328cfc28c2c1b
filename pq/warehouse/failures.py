"""The database's errors in words that name the warehouse and the table."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError, SQLAlchemyError

from pq.errors import WarehouseError, WarehouseUnavailable
from topics.warehouse import explained

_READ_ONLY = ("read-only", "readonly", "query_only")
_NOT_DOWN = ("no such", "syntax error", "near ", "has no column")
"""SQLite calls everything an OperationalError; these are about the statement."""


@contextmanager
def named(warehouse: str, what: str) -> Iterator[None]:
    """What the database says in this block becomes a ``WarehouseError``, the warehouse and ``what`` in front."""
    try:
        yield
    except DBAPIError as error:
        words = explained(error)
        down = isinstance(error, OperationalError | InterfaceError) and not any(one in words for one in _NOT_DOWN)
        if any(one in words.lower() for one in _READ_ONLY):
            hint = " (fetch only reads; statements that write go into execute)" if what == "fetch" else ""
            raise WarehouseError(f"{warehouse}: {what}: {words}{hint}") from error
        if down or error.connection_invalidated:
            raise WarehouseUnavailable(f"{warehouse} does not answer: {words}") from error
        raise WarehouseError(f"{warehouse}: {what}: {words}") from error
    except SQLAlchemyError as error:
        raise WarehouseError(f"{warehouse}: {what}: {explained(error)}") from error


def nearest(wanted: str, known: Iterable[str]) -> str:
    """``there are a, b; did you mean a?``, for the end of a message."""
    names = sorted(known)
    if not names:
        return "there are none"
    folded = {name.casefold(): name for name in names}
    near = difflib.get_close_matches(wanted.casefold(), folded, n=1)
    hint = f"; did you mean {folded[near[0]]!r}?" if near else ""
    shown = ", ".join(names[:40]) + (", ..." if len(names) > 40 else "")
    return f"there are {shown}{hint}"
