"""Who may run a connection's refresh: one process in the whole cluster, whatever the log thinks of its partitions.

The owner of a partition changes within seconds, also while the owner before it is only slow. A run of it may still be
loading then, so it is not enough to own the partition: a run needs the connection's lease. The holder shows that it
lives by counting ``pulse`` up. Whoever waits times that with a clock of its own that never jumps; nobody's time of
day counts.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Engine, select, update

from topics.store import inserting, reading
from worker.refresher.tables import LEASES

PULSE_SECONDS = 1.0
"""Between two signs of life of a holder."""
SILENCE_SECONDS = 10.0
"""A holder that could not show a sign of life for so long ends its run, and a run that hears nothing ends itself."""
TAKEOVER_SECONDS = 15.0
"""A lease without a sign of life for so long is taken over: longer than the run of a holder that died can go on."""


@dataclass(frozen=True, slots=True)
class Lease:
    connection: str
    epoch: int


@dataclass(frozen=True, slots=True)
class Held:
    """Somebody else has it, and was seen like this; the same a while later means that nobody is there."""

    holder: str
    epoch: int
    pulse: int


class Leases:
    """In the store; any number of processes may use one. Raises ``StoreUnavailable``."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def take(self, connection: str, holder: str, *, dead: Held | None = None) -> Lease | Held:
        """The lease, when it is free, or when it still looks like ``dead``, whose holder shows no sign of life."""
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
        """A sign of life; False when the lease is another's now."""
        row = LEASES.c
        mine = update(LEASES).where(row.connection == lease.connection, row.epoch == lease.epoch)
        with self._engine.begin() as transaction:
            return transaction.execute(mine.values(pulse=row.pulse + 1)).rowcount == 1

    def release(self, lease: Lease) -> None:
        """Free at once for the next one; nothing when it is another's already."""
        row = LEASES.c
        mine = update(LEASES).where(row.connection == lease.connection, row.epoch == lease.epoch)
        with self._engine.begin() as transaction:
            transaction.execute(mine.values(pulse=row.pulse + 1, holder=""))


class Watch:
    """How long each lease that others hold has looked the same. Told the time, in seconds that never jump."""

    def __init__(self) -> None:
        self._seen: dict[str, tuple[Held, float]] = {}

    def dead(self, connection: str, held: Held, now: float) -> bool:
        """It has shown no sign of life for ``TAKEOVER_SECONDS``."""
        before = self._seen.get(connection)
        if before is None or before[0] != held:
            self._seen[connection] = (held, now)
            return False
        return now - before[1] >= TAKEOVER_SECONDS

    def forget(self, connection: str) -> None:
        self._seen.pop(connection, None)
