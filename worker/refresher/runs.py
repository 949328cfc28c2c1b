"""The history of runs, for ``writeback refreshes`` and for counting attempts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal

from sqlalchemy import Connection as Transaction
from sqlalchemy import Engine, Row, delete, desc, insert, select, update

from topics.store import reading
from worker.refresher.leases import Lease
from worker.refresher.tables import RUNS

State = Literal["running", "ok", "failed", "dead", "cancelled", "lost"]
"""``failed``: tried again. ``dead``: given up, its requests are dead letters. ``cancelled``: the refresher stopped, or
another one took the connection. ``lost``: the refresher died. The last two are run again, and count as no attempt."""

KEEP_SECONDS = 30 * 86_400.0
ASKERS = 20
"""How many of those who asked are named."""


@dataclass(frozen=True, slots=True)
class Run:
    """``requests``: how many it answers. ``asked_by``: who asked, each once. ``objects``: None for everything.

    ``pending_writes``: how many of the askers' own writes were not delivered when it started. ``rows``: loaded so far,
    by object. ``started``, ``ended``: seconds since the epoch. ``error``: why it failed.
    """

    id: str
    connection: str
    epoch: int
    state: State
    attempt: int
    requests: int
    asked_by: list[str]
    objects: list[str] | None
    is_full: bool
    pending_writes: int
    rows: dict[str, int]
    started: float
    ended: float | None
    error: str

    @property
    def seconds(self) -> float | None:
        return None if self.ended is None else self.ended - self.started


class Runs:
    """In the store. Raises ``StoreUnavailable``."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def begin(
        self,
        run: str,
        lease: Lease,
        *,
        asked_by: Sequence[str],
        requests: int,
        objects: Sequence[str] | None,
        full: bool,
        pending_writes: int,
        now: float,
    ) -> Run:
        """Note that a run starts. An earlier run of the connection that is still ``running`` is marked as lost."""
        with self._writing() as transaction:
            mine = RUNS.c.connection == lease.connection
            lost = {"state": "lost", "ended": now, "error": "the refresher that ran it died"}
            transaction.execute(update(RUNS).where(mine, RUNS.c.state == "running").values(lost))
            transaction.execute(delete(RUNS).where(mine, RUNS.c.started < now - KEEP_SECONDS))
            row = {
                "id": run,
                "connection": lease.connection,
                "epoch": lease.epoch,
                "state": "running",
                "attempt": 1 + len(_failures(transaction, lease.connection)),
                "requests": requests,
                "asked_by": list(dict.fromkeys(asked_by))[:ASKERS],
                "objects": None if objects is None else list(objects),
                "is_full": full,
                "pending_writes": pending_writes,
                "rows": {},
                "started": now,
                "error": "",
            }
            return _run(transaction.execute(insert(RUNS).values(row).returning(RUNS)).one())

    def progress(self, run: str, rows: Mapping[str, int]) -> None:
        with self._writing() as transaction:
            transaction.execute(update(RUNS).where(RUNS.c.id == run).values(rows=dict(rows)))

    def end(self, run: str, state: State, *, rows: Mapping[str, int], error: str, now: float) -> None:
        """Note how the run ended. One that was marked as lost meanwhile stays lost."""
        with self._writing() as transaction:
            ended = {"state": state, "rows": dict(rows), "error": error, "ended": now}
            transaction.execute(update(RUNS).where(RUNS.c.id == run, RUNS.c.state == "running").values(ended))

    def failures(self, connection: str) -> list[Run]:
        """The failed attempts since the last run that succeeded or was given up, the oldest first."""
        with self._reading() as transaction:
            return _failures(transaction, connection)

    def get(self, run: str) -> Run | None:
        with self._reading() as transaction:
            found = transaction.execute(select(RUNS).where(RUNS.c.id == run)).one_or_none()
            return found and _run(found)

    def list(self, connection: str | None = None, *, state: State | None = None, limit: int = 50) -> list[Run]:
        """The newest first."""
        query = select(RUNS).order_by(desc(RUNS.c.started), desc(RUNS.c.id)).limit(limit)
        if connection is not None:
            query = query.where(RUNS.c.connection == connection)
        if state is not None:
            query = query.where(RUNS.c.state == state)
        with self._reading() as transaction:
            return [_run(row) for row in transaction.execute(query)]

    def _writing(self) -> Any:
        return self._engine.begin()

    def _reading(self) -> Any:
        return reading(self._engine)


def _failures(transaction: Transaction, connection: str) -> list[Run]:
    mine = RUNS.c.connection == connection
    over = select(RUNS.c.started).where(mine, RUNS.c.state.in_(["ok", "dead"]))
    last = transaction.scalar(over.order_by(desc(RUNS.c.started)).limit(1))
    failed = select(RUNS).where(mine, RUNS.c.state == "failed").order_by(RUNS.c.started)
    if last is not None:
        failed = failed.where(RUNS.c.started > last)
    return [_run(row) for row in transaction.execute(failed)]


def _run(row: Row[Any]) -> Run:
    return Run(**{field.name: getattr(row, field.name) for field in fields(Run)})
