"""The state of each sync: whether it is paused, its cursor, its snapshot's version, when it was last due."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Engine, delete, select, update

from topics.store import inserting, reading
from worker.syncs.errors import SyncError
from worker.syncs.tables import BLOCKS, RUNS, SENT, SYNCS


class Fenced(SyncError):
    """Another process has the sync's lease now: whatever this one would write is refused."""


@dataclass(frozen=True, slots=True)
class Standing:
    """``rows``: how many the snapshot has. ``cursor``: kind and value. ``due``: seconds since the epoch."""

    name: str
    paused: bool = False
    version: int = 0
    rows: int = 0
    cursor: dict[str, Any] | None = None
    due: float | None = None


class Syncs:
    """In the store. Raises ``StoreUnavailable``."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def standing(self, name: str) -> Standing:
        """The state now; for a sync that has never run, the initial one."""
        row = SYNCS.c
        with reading(self._engine) as connection:
            found = connection.execute(
                select(row.name, row.paused, row.version, row.rows, row.cursor, row.due).where(row.name == name)
            ).one_or_none()
        return Standing(name) if found is None else Standing(*found)

    def pause(self, name: str, *, paused: bool) -> None:
        self._set(name, paused=paused)

    def set_due(self, name: str, due: float) -> None:
        self._set(name, due=due)

    def claim(self, name: str, epoch: int) -> None:
        """Let only the holder of this lease write from now on. Raises ``Fenced`` when there is a later lease."""
        first = {"name": name, "paused": False, "epoch": epoch, "version": 0, "rows": 0}
        with self._engine.begin() as connection:
            made = inserting(connection, SYNCS).values(first)
            later = made.on_conflict_do_update(
                index_elements=[SYNCS.c.name], set_={"epoch": epoch}, where=SYNCS.c.epoch <= epoch
            )
            if connection.scalar(later.returning(SYNCS.c.epoch)) is None:
                raise Fenced(_taken_over(name))

    def reset(self, name: str) -> None:
        """Forget what was sent, and what was being sent: the next run takes every row for new."""
        with self._engine.begin() as connection:
            connection.execute(delete(BLOCKS).where(BLOCKS.c.sync == name))
            connection.execute(delete(SENT).where(SENT.c.sync == name))
            connection.execute(
                update(SYNCS).where(SYNCS.c.name == name).values(rows=0, cursor=None, version=SYNCS.c.version + 1)
            )
            forgotten = {"open": False, "journal": None, "after": None}
            connection.execute(update(RUNS).where(RUNS.c.sync == name).values(forgotten))

    def _set(self, name: str, **values: Any) -> None:
        first = {"name": name, "paused": False, "epoch": 0, "version": 0, "rows": 0, **values}
        with self._engine.begin() as connection:
            made = inserting(connection, SYNCS).values(first)
            connection.execute(made.on_conflict_do_update(index_elements=[SYNCS.c.name], set_=values))


def fence(connection: Connection, name: str, epoch: int, **values: Any) -> None:
    """Check the lease, and set values; the first statement of each transaction of the holder. Raises ``Fenced``."""
    mine = update(SYNCS).where(SYNCS.c.name == name, SYNCS.c.epoch == epoch)
    if not connection.execute(mine.values(epoch=epoch, **values)).rowcount:
        raise Fenced(_taken_over(name))


def _taken_over(name: str) -> str:
    return f"sync {name}: another process has taken it over; what this one had sent is not sent again"
