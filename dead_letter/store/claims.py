"""Who is replaying which letters: a letter is one replay's at a time, and nobody else's to change meanwhile.

A replay has a row with an epoch, and its letters name that epoch. The row says until when it holds; the replay moves
that on for as long as it lives, and deletes the row at its end. A replay that was killed holds its letters until the
time is up. That time is the database's: the clocks of two machines need not agree.

Whatever changes a letter's state compares it in the same statement that changes it (``is_free``), in a transaction of
``changing``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, delete, exists, func, insert, select, update

from dead_letter.store.inserts import parts
from dead_letter.store.tables import LETTERS, REPLAYS

TTL_SECONDS = 30.0
"""For so long a replay holds its letters after its last sign of life."""

_LOCK = 5_714_290_114
"""Any number, the same in every process: PostgreSQL's advisory lock of whoever changes the state of letters."""


@dataclass(frozen=True, slots=True)
class Holder:
    """The replay that has a letter; ``left``: seconds until it is free, if nobody moves that on."""

    epoch: int
    who: str
    host: str
    process: int
    started: float
    left: float

    def __str__(self) -> str:
        return f"{self.who} is replaying it (process {self.process} on {self.host})"


@contextmanager
def changing(engine: Engine) -> Iterator[Connection]:
    """A transaction that changes letters, one at a time in the whole store: what it compares is true until its end.

    On SQLite every transaction is (``BEGIN IMMEDIATE``). On PostgreSQL a statement that waited for another's row
    would see that row anew and all other tables as they were before: also the one that says who holds it. There a
    process that is stopped in the middle of it keeps the others waiting no longer than a claim would.
    """
    with engine.begin() as connection:
        if connection.dialect.name == "postgresql":
            patience = f"SET LOCAL idle_in_transaction_session_timeout = {TTL_SECONDS * 1_000:.0f}"
            connection.exec_driver_sql(patience)
            connection.execute(select(func.pg_advisory_xact_lock(_LOCK)))
        yield connection


def is_free(connection: Connection) -> ColumnElement[bool]:
    """No replay has the letter now."""
    return ~exists().where(REPLAYS.c.epoch == LETTERS.c.claimed_by, REPLAYS.c.expires > _clock(connection))


def is_held(connection: Connection, epoch: int) -> ColumnElement[bool]:
    """The replay of this epoch has the letter, and its time is not up."""
    lives = exists().where(REPLAYS.c.epoch == epoch, REPLAYS.c.expires > _clock(connection))
    return (LETTERS.c.claimed_by == epoch) & lives


class Claims:
    """Synchronous and thread-safe. Raises ``topics.errors.StoreUnavailable``."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def begin(self, who: str, host: str, process: int) -> int:
        """A replay that has no letters yet; its epoch, which no other replay ever had."""
        with changing(self._engine) as connection:
            now = _clock(connection)
            connection.execute(delete(REPLAYS).where(REPLAYS.c.expires <= now))
            row = {"who": who, "host": host, "process": process, "started": now, "expires": now + TTL_SECONDS}
            return int(connection.execute(insert(REPLAYS).values(row).returning(REPLAYS.c.epoch)).scalar_one())

    def take(self, epoch: int, letters: Sequence[str]) -> None:
        """Those of these that are open and nobody else's are this replay's from now on."""
        with changing(self._engine) as connection:
            for part in parts(letters):
                free = (LETTERS.c.state == "open") & is_free(connection)
                connection.execute(update(LETTERS).where(LETTERS.c.id.in_(part), free).values(claimed_by=epoch))

    def give_back(self, epoch: int, letters: Sequence[str]) -> None:
        """These are anybody's again, as far as they were this replay's."""
        with changing(self._engine) as connection:
            for part in parts(letters):
                mine = LETTERS.c.id.in_(part) & (LETTERS.c.claimed_by == epoch)
                connection.execute(update(LETTERS).where(mine).values(claimed_by=None))

    def renew(self, epoch: int) -> bool:
        """A sign of life; False when the time was up, and the letters may be another's."""
        with changing(self._engine) as connection:
            now = _clock(connection)
            mine = (REPLAYS.c.epoch == epoch) & (REPLAYS.c.expires > now)
            return connection.execute(update(REPLAYS).where(mine).values(expires=now + TTL_SECONDS)).rowcount == 1

    def end(self, epoch: int) -> None:
        """All its letters are anybody's again."""
        with changing(self._engine) as connection:
            connection.execute(delete(REPLAYS).where(REPLAYS.c.epoch == epoch))

    def holders(self, letters: Sequence[str]) -> dict[str, Holder]:
        """Which of these are some replay's now, and whose."""
        with changing(self._engine) as connection:
            return holders(connection, letters)


def holders(connection: Connection, letters: Sequence[str]) -> dict[str, Holder]:
    found: dict[str, Holder] = {}
    columns = REPLAYS.c
    left = (columns.expires - _clock(connection)).label("left")
    for part in parts(letters):
        query = select(
            LETTERS.c.id, columns.epoch, columns.who, columns.host, columns.process, columns.started, left
        ).where(LETTERS.c.id.in_(part), columns.epoch == LETTERS.c.claimed_by, columns.expires > _clock(connection))
        found.update((row[0], Holder(*row[1:])) for row in connection.execute(query))
    return found


def _clock(connection: Connection) -> Any:
    """Seconds since the epoch, by the one clock that all replays share."""
    if connection.dialect.name == "postgresql":
        return func.extract("epoch", func.clock_timestamp()).cast(REPLAYS.c.expires.type)
    return (func.julianday("now") - 2_440_587.5) * 86_400.0
