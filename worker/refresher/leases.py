"""Who may run a connection's refresh: one process in the whole cluster, whatever the log thinks of its partitions.

A partition changes its owner within seconds, even when the previous owner is only slow and a run of it is still
loading. So owning the partition is not enough: a run needs the connection's lease. The holder shows that it lives by
counting ``pulse`` up. Whoever waits for the lease measures how long ``pulse`` has stood still, with its own monotonic
clock: no two clocks are ever compared.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, Engine, select, update

from topics.store import inserting, reading
from worker.refresher.tables import LEASES

PULSE_SECONDS = 1.0
"""Seconds between two heartbeats of a holder."""
SILENCE_SECONDS = 10.0
"""A holder whose heartbeats fail for this long ends its run, and a run that hears nothing this long ends itself."""
TAKEOVER_SECONDS = 15.0
"""A lease without a heartbeat for this long is taken over: longer than the run of a dead holder can go on."""


@dataclass(frozen=True, slots=True)
class Lease:
    connection: str
    epoch: int


@dataclass(frozen=True, slots=True)
class Held:
    """Somebody else's lease as it was seen. If it looks the same ``TAKEOVER_SECONDS`` later, the holder is dead."""

    holder: str
    epoch: int
    pulse: int


class Leases:
    """In the store; any number of processes may use one. Raises ``StoreUnavailable``."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def take(self, connection: str, holder: str, *, dead: Held | None = None) -> Lease | Held:
        """Take the lease if it is free, or if it still looks like ``dead``, the lease of a holder without heartbeat."""
        row = LEASES.c
        with self._engine.begin() as transaction:
            found = transaction.execute(select(LEASES).where(row.connection == connection)).one_or_none()
            if found is not None and found.holder and Held(found.holder, found.epoch, found.pulse) != dead:
                return Held(found.holder, found.epoch, found.pulse)
            if found is None:
                first = {"connection": connection, "epoch": 1, "pulse": 0, "holder": holder}
                made = inserting(transaction, LEASES).values(first).on_conflict_do_nothing().returning(row.epoch)
                return Held("", 0, 0) if transaction.scalar(made) is None else Lease(connection, 1)
            taken = (
                update(LEASES)
                .where(row.connection == connection, row.epoch == found.epoch, row.pulse == found.pulse)
                .values(epoch=found.epoch + 1, pulse=0, holder=holder)
            )
            if transaction.execute(taken).rowcount:
                return Lease(connection, found.epoch + 1)
            return Held("", found.epoch, found.pulse)  # another was quicker: look again

    def held(self) -> dict[str, Held]:
        """The leases that somebody holds, by connection."""
        row = LEASES.c
        with reading(self._engine) as transaction:
            found = transaction.execute(select(LEASES).where(row.holder != "")).all()
        return {one.connection: Held(one.holder, one.epoch, one.pulse) for one in found}

    def pulse(self, lease: Lease) -> bool:
        """Send a heartbeat; False when the lease is another's now."""
        with self._engine.begin() as transaction:
            return beat(transaction, lease)

    def release(self, lease: Lease) -> None:
        """Free the lease at once; does nothing when it is another's already."""
        row = LEASES.c
        mine = update(LEASES).where(row.connection == lease.connection, row.epoch == lease.epoch)
        with self._engine.begin() as transaction:
            transaction.execute(mine.values(pulse=row.pulse + 1, holder=""))


def beat(transaction: Connection, lease: Lease) -> bool:
    """Send a heartbeat as part of a transaction; False when the lease is another's now."""
    row = LEASES.c
    mine = update(LEASES).where(row.connection == lease.connection, row.epoch == lease.epoch)
    return transaction.execute(mine.values(pulse=row.pulse + 1)).rowcount == 1


class Watch:
    """Remembers for how long each lease of others has looked the same. It is told the time, in monotonic seconds."""

    def __init__(self) -> None:
        self._seen: dict[str, tuple[Held, float]] = {}

    def dead(self, connection: str, held: Held, now: float) -> bool:
        """Whether the lease has had no heartbeat for ``TAKEOVER_SECONDS``."""
        before = self._seen.get(connection)
        if before is None or before[0] != held:
            self._seen[connection] = (held, now)
            return False
        return now - before[1] >= TAKEOVER_SECONDS

    def forget(self, connection: str) -> None:
        self._seen.pop(connection, None)
