"""What the database's errors mean for the events of a transaction."""

from __future__ import annotations

from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from connectors.contract import Down, Evidence, Rejected, Retry, Verdict

BUSY_S = 5.0
"""Before a database that has too many connections is asked again."""

# PostgreSQL's SQLSTATEs: https://www.postgresql.org/docs/current/errcodes-appendix.html
_CONFLICT = "23505"
_SILENT = "57014"
_AGAIN = ("40", "55")
"""Rolled back for the sake of another transaction (serialization, deadlock), or what it needs is locked."""
_DOWN = ("08", "28", "53", "57", "58", "3D", "F0", "XX")
"""No connection, no login, no resources, an operator, the system, no such database, its files, itself."""
_SQLITE_DOWN = ("SQLITE_CANTOPEN", "SQLITE_CORRUPT", "SQLITE_FULL", "SQLITE_IOERR", "SQLITE_NOTADB", "SQLITE_PERM",
                "SQLITE_READONLY")  # fmt: skip


def verdict_of(error: SQLAlchemyError | OSError, *, connected: bool) -> Verdict:
    """For a transaction that was rolled back. ``connected``: a connection stood; without one, nothing was asked."""
    said = words(error)
    evidence = Evidence(excerpt=said)
    if not connected:
        return Down(f"cannot connect: {said}", evidence=evidence)
    cause = error.orig if isinstance(error, DBAPIError) else None
    state = getattr(cause, "sqlstate", None)
    return _sqlite(cause, said, evidence) if state is None else _postgresql(state, said, evidence)


def _postgresql(state: str, said: str, evidence: Evidence) -> Verdict:
    if state == _SILENT:
        return Retry(said, evidence=evidence, kind="no_answer")
    if state.startswith(_AGAIN):
        return Retry(said, evidence=evidence)
    if state.startswith(_DOWN):
        return Down(said, BUSY_S if state.startswith("53") else None, evidence)
    return Rejected(said, evidence, conflict=state == _CONFLICT)


def _sqlite(cause: BaseException | None, said: str, evidence: Evidence) -> Verdict:
    """By SQLite's own result codes: https://www.sqlite.org/rescode.html."""
    name = str(getattr(cause, "sqlite_errorname", ""))
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return Retry(said, evidence=evidence)
    if name.startswith(_SQLITE_DOWN):
        return Down(said, evidence=evidence)
    return Rejected(said, evidence, conflict=name in {"SQLITE_CONSTRAINT_UNIQUE", "SQLITE_CONSTRAINT_PRIMARYKEY"})


def words(error: BaseException) -> str:
    """The database's own words on one line, without SQLAlchemy's SQL and parameters: those are people's data."""
    cause = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    return " ".join(str(cause).split()) or type(cause).__name__
