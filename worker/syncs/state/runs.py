"""The runs of syncs and their counts: read, unchanged, sent, delivered, dead, pending."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal

from sqlalchemy import Connection as Transaction
from sqlalchemy import Engine, Row, delete, desc, func, insert, select, update

from topics.log import Partition
from topics.store import reading
from worker.syncs.state.syncs import fence
from worker.syncs.tables import RUNS, SENT

State = Literal["running", "ok", "failed", "stopped", "lost"]
"""``ok``: all changes are sent. ``failed``: the next run goes on where it was. ``stopped``: by a guard, nothing was
sent. ``lost``: its process died; the next run goes on where it was."""

KEEP_SECONDS = 90 * 86_400.0
COUNTS = ("read", "unchanged", "held", "added", "changed", "removed", "refused", "sent")


@dataclass(frozen=True, slots=True)
class Run:
    """``held``: unchanged rows whose event is a dead letter. ``refused``: rows that no event could be made of."""

    id: str
    sync: str
    connection: str
    mode: str
    state: str
    attempt: int
    asked_by: str
    started: float
    ended: float | None
    read: int
    unchanged: int
    held: int
    added: int
    changed: int
    removed: int
    refused: int
    sent: int
    delivered: int
    open: bool
    ends: dict[str, int]
    after: Any
    error: str
    dead: int = 0
    pending: int = 0


_COUNTED = ("dead", "pending")
_COLUMNS = [RUNS.c[one.name] for one in fields(Run) if one.name not in _COUNTED]


class Runs:
    """In the store. Raises ``StoreUnavailable``."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def unfinished(self, sync: str) -> list[Run]:
        """Runs that were cut off or failed before their end, the newest first."""
        row = RUNS.c
        cut_off = row.open | (row.state == "running") | row.after.is_not(None)
        query = select(*_COLUMNS).where(row.sync == sync, cut_off).order_by(desc(row.started), desc(row.id))
        with reading(self._engine) as transaction:
            return _counted(transaction, transaction.execute(query).all())

    def journal(self, run: str) -> bytes | None:
        """The batch that was being sent to the log, packed; None when there was none."""
        with reading(self._engine) as transaction:
            found: bytes | None = transaction.scalar(select(RUNS.c.journal).where(RUNS.c.id == run))
            return found

    def begin(self, sync: str, connection: str, mode: str, *, run: str, epoch: int, asked_by: str, now: float) -> Run:
        """Raises ``Fenced`` unless ``epoch`` is that of the newest lease."""
        row = _begun(sync, connection, mode, run=run, asked_by=asked_by, now=now)
        with self._engine.begin() as transaction:
            fence(transaction, sync, epoch)
            transaction.execute(delete(RUNS).where(RUNS.c.sync == sync, RUNS.c.started < now - KEEP_SECONDS))
            return _run(transaction.execute(insert(RUNS).values(row).returning(*_COLUMNS)).one())

    def not_begun(
        self, sync: str, connection: str, mode: str, *, run: str, asked_by: str, error: str, now: float
    ) -> None:
        """Note a run that failed before it could read. Failures in a row with the same error share one entry."""
        newest = next(iter(self.list(sync, limit=1)), None)
        ended = {"state": "failed", "error": error, "ended": now}
        with self._engine.begin() as transaction:
            if newest is not None and _same_again(newest, error):
                again = {"attempt": RUNS.c.attempt + 1, **ended}
                transaction.execute(update(RUNS).where(RUNS.c.id == newest.id).values(again))
            else:
                row = _begun(sync, connection, mode, run=run, asked_by=asked_by, now=now)
                transaction.execute(insert(RUNS).values(row | ended))

    def adopt(self, run: Run, epoch: int) -> None:
        """Continue a run of mode full that was cut off, under its id. Raises ``Fenced``."""
        with self._engine.begin() as transaction:
            fence(transaction, run.sync, epoch)
            going_on = {"state": "running", "attempt": RUNS.c.attempt + 1, "ended": None, "error": ""}
            transaction.execute(update(RUNS).where(RUNS.c.id == run.id).values(going_on))

    def leave(self, run: Run, epoch: int, *, now: float) -> None:
        """Close a run that was cut off: its batch is finished, and the next run finds the rest. Raises ``Fenced``."""
        died = {"state": "lost", "error": "its process died; the next run went on", "ended": now}
        with self._engine.begin() as transaction:
            fence(transaction, run.sync, epoch)
            over = {"open": False, "journal": None, "after": None, **(died if run.state == "running" else {})}
            transaction.execute(update(RUNS).where(RUNS.c.id == run.id).values(over))

    def planned(self, run: str, counts: Mapping[str, int]) -> None:
        """Note the counts of the plan, before anything is sent."""
        with self._engine.begin() as transaction:
            transaction.execute(update(RUNS).where(RUNS.c.id == run).values(dict(counts)))

    def end(self, run: str, state: State, *, error: str, now: float) -> None:
        with self._engine.begin() as transaction:
            ended = {"state": state, "error": error, "ended": now}
            transaction.execute(update(RUNS).where(RUNS.c.id == run, RUNS.c.state == "running").values(ended))

    def get(self, run: str) -> Run | None:
        with reading(self._engine) as transaction:
            found = transaction.execute(select(*_COLUMNS).where(RUNS.c.id == run)).all()
            return next(iter(_counted(transaction, found)), None)

    def list(self, sync: str | None = None, *, limit: int = 50) -> list[Run]:
        """The newest first."""
        query = select(*_COLUMNS).order_by(desc(RUNS.c.started), desc(RUNS.c.id)).limit(limit)
        if sync is not None:
            query = query.where(RUNS.c.sync == sync)
        with reading(self._engine) as transaction:
            return _counted(transaction, transaction.execute(query).all())


def note_sent(transaction: Transaction, run: str, counts: Mapping[str, int], values: Mapping[str, Any]) -> None:
    """Add to the counts of a run, and set other columns."""
    grown = {name: RUNS.c[name] + count for name, count in counts.items() if count}
    transaction.execute(update(RUNS).where(RUNS.c.id == run).values({**grown, **values}))


def _begun(sync: str, connection: str, mode: str, *, run: str, asked_by: str, now: float) -> dict[str, Any]:
    return dict.fromkeys((*COUNTS, "delivered"), 0) | {
        "id": run,
        "sync": sync,
        "connection": connection,
        "mode": mode,
        "state": "running",
        "attempt": 1,
        "asked_by": asked_by[:255],
        "started": now,
        "open": False,
        "ends": {},
        "error": "",
    }


def _same_again(run: Run, error: str) -> bool:
    return run.state == "failed" and run.error == error and not (run.read or run.sent or run.open or run.after)


def ends_of(run: Run) -> dict[Partition, int]:
    return {Partition.parse(name): offset for name, offset in run.ends.items()}


def _counted(transaction: Transaction, found: Sequence[Row[Any]]) -> list[Run]:
    states: dict[str, dict[str, int]] = {}
    query = select(SENT.c.run, SENT.c.state, func.count()).where(SENT.c.run.in_([row.id for row in found]))
    for run, state, count in transaction.execute(query.group_by(SENT.c.run, SENT.c.state)):
        states.setdefault(run, {})[state] = count
    return [_run(row, states.get(row.id, {})) for row in found]


def _run(row: Row[Any], states: Mapping[str, int] = {}) -> Run:
    kept = {field.name: getattr(row, field.name) for field in fields(Run) if field.name not in _COUNTED}
    return Run(**kept, dead=states.get("dead", 0), pending=states.get("pending", 0))
