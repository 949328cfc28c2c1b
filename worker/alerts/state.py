"""The state of every alert, and what it has told: in the store, so that any process can go on from there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass

from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    Engine,
    Float,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    delete,
    insert,
    select,
)

from topics.store import inserting, reading
from worker.alerts.decide import Told

METADATA = MetaData()

ALERTS = Table(
    "alerts",
    METADATA,
    Column("name", String(63), primary_key=True),
    Column("paused", Boolean, nullable=False),
    Column("looked", Float(53)),
    Column("error", Text, nullable=False),
)
"""``looked``: when the alert was last checked, in seconds since the epoch. ``error``: why a message was not sent."""

TOLD = Table(
    "alert_told",
    METADATA,
    Column("alert", String(63), primary_key=True),
    Column("key", String(255), primary_key=True),
    Column("since", Float(53), nullable=False),
    Column("told_at", Float(53), nullable=False),
    Column("times", Integer, nullable=False),
    Column("reason", Text, nullable=False),
)
"""The findings that were told and still hold; a row is deleted when its finding is over."""

THREADS = Table(
    "alert_threads",
    METADATA,
    Column("id", String(36), primary_key=True),
    Column("alert", String(63), nullable=False),
    Column("connection", String(63), nullable=False),
    Column("object", String(255), nullable=False),
    Column("operation", String(15), nullable=False),
    Column("channel", Text, nullable=False),
    Column("texts", JSON, nullable=False),
    Column("after", JSON, nullable=False),
    Column("told_at", Float(53), nullable=False),
)
"""Messages (by the ``id`` of their event) that are not yet known to be delivered, and the texts for their threads.
``after``: the ledger's end offsets before the message was sent (partition: offset)."""


@dataclass(frozen=True, slots=True)
class Thread:
    """A row of ``THREADS``."""

    id: str
    alert: str
    connection: str
    object: str
    operation: str
    channel: str
    texts: list[str]
    after: dict[str, int]
    told_at: float


@dataclass(frozen=True, slots=True)
class Standing:
    """``told``: the findings that still hold, by their key."""

    paused: bool
    looked: float | None
    error: str
    told: Mapping[str, Told]


class AlertStates:
    """In the store. Raises ``StoreUnavailable``."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def standing(self, name: str) -> Standing:
        """The state now; for an alert that was never checked, the initial one."""
        with reading(self._engine) as connection:
            row = connection.execute(select(ALERTS).where(ALERTS.c.name == name)).one_or_none()
            told = connection.execute(select(TOLD).where(TOLD.c.alert == name)).all()
        holding = {one.key: Told(one.key, one.since, one.told_at, one.times, one.reason) for one in told}
        if row is None:
            return Standing(paused=False, looked=None, error="", told=holding)
        return Standing(row.paused, row.looked, row.error, holding)

    def pause(self, name: str, *, paused: bool) -> None:
        """A paused alert is not checked. What it has told is forgotten, and told anew when it is resumed."""
        with self._engine.begin() as connection:
            if paused:
                connection.execute(delete(TOLD).where(TOLD.c.alert == name))
            made = inserting(connection, ALERTS).values(name=name, paused=paused, looked=None, error="")
            connection.execute(made.on_conflict_do_update(index_elements=[ALERTS.c.name], set_={"paused": paused}))

    def looked(self, name: str, *, now: float, error: str) -> None:
        with self._engine.begin() as connection:
            values = {"looked": now, "error": error}
            made = inserting(connection, ALERTS).values(name=name, paused=False, **values)
            connection.execute(made.on_conflict_do_update(index_elements=[ALERTS.c.name], set_=values))

    def tell(self, name: str, told: Told, threads: Sequence[Thread] = ()) -> None:
        """Note that a finding was told. Called when the log has the message: a crash in between tells it twice."""
        values = {"since": told.since, "told_at": told.told_at, "times": told.times, "reason": told.reason}
        with self._engine.begin() as connection:
            made = inserting(connection, TOLD).values(alert=name, key=told.key, **values)
            connection.execute(made.on_conflict_do_update(index_elements=[TOLD.c.alert, TOLD.c.key], set_=values))
            if threads:
                connection.execute(insert(THREADS), [asdict(one) for one in threads])

    def threads(self) -> list[Thread]:
        """The oldest first."""
        with reading(self._engine) as connection:
            rows = connection.execute(select(THREADS).order_by(THREADS.c.told_at)).all()
        return [Thread(*row) for row in rows]

    def thread_over(self, event: str) -> None:
        with self._engine.begin() as connection:
            connection.execute(delete(THREADS).where(THREADS.c.id == event))

    def over(self, name: str, keys: Iterable[str]) -> None:
        with self._engine.begin() as connection:
            connection.execute(delete(TOLD).where(TOLD.c.alert == name, TOLD.c.key.in_([*keys])))
