"""One run of a sync at a time in the whole cluster: whoever runs it holds its lease."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from socket import gethostname

from sqlalchemy import Connection, Engine

from topics.errors import StoreUnavailable
from worker.log_events import logger
from worker.refresher.leases import PULSE_SECONDS, SILENCE_SECONDS, Held, Lease, Leases, Watch, beat
from worker.syncs.errors import SyncBusy
from worker.syncs.state.syncs import Fenced

PREFIX = "sync:"
"""Begins a sync's name in the table of leases. The leases of connections are there by slug, which has no colon."""
LOOK_S = 0.5

Now = Callable[[], float]


class HeldLease:
    """The lease of one sync. Every transaction of its holder is a heartbeat.

    SQLite lets one process write at a time and keeps no queue of those who wait: a holder that writes all the time may
    keep its own pulse out for longer than a lease lasts.
    """

    def __init__(self, store: Engine, lease: Lease, monotonic: Now) -> None:
        self.lease = lease
        self._store = store
        self._monotonic = monotonic
        self._heard = monotonic()
        self._taken = False

    @property
    def epoch(self) -> int:
        return self.lease.epoch

    @property
    def silent_for(self) -> float:
        """Seconds since the last heartbeat."""
        return self._monotonic() - self._heard

    @property
    def lost(self) -> bool:
        """Whether another process may have the lease.

        Asks the clock, so that a process which was suspended knows it as soon as it goes on.
        """
        return self._taken or self.silent_for >= SILENCE_SECONDS

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction. Raises ``Fenced``, and writes nothing, when the lease is another's; ``StoreUnavailable``."""
        with self._store.begin() as connection:
            yield connection
            if not beat(connection, self.lease):
                self._taken = True
                name = self.lease.connection.replace(":", " ")
                raise Fenced(f"{name}: another process has taken the lease, and goes on")
            at = self._monotonic()  # others see the heartbeat at the commit, which is later, however long it waited
        self._heard = max(self._heard, at)

    def keep(self) -> None:
        """Before anything is done outside the store. Raises ``Fenced`` and ``StoreUnavailable``.

        After a silence it asks the store: a lease that nobody has taken meanwhile is still ours, and the others begin
        to wait anew.
        """
        while self.lost:
            with self.writing():
                pass


@contextmanager
def held(
    store: Engine, sync: str, *, monotonic: Now, patience: float = 0.0, watch: Watch | None = None
) -> Iterator[HeldLease]:
    """Hold the lease of a sync. Raises ``SyncBusy`` when another process holds it for more than ``patience`` seconds.

    The lease of a process that died is taken over after 15 seconds without a heartbeat. A caller with less patience
    passes the same ``watch`` with each call: it remembers since when the lease has had no heartbeat.
    """
    leases, watch, name = Leases(store), watch or Watch(), _named(sync)
    me, stop, since = f"{gethostname()}:{os.getpid()}", threading.Event(), monotonic()
    while True:
        found = leases.take(name, me)
        if isinstance(found, Held) and watch.dead(name, found, monotonic()):
            found = leases.take(name, me, dead=found)
        if isinstance(found, Lease):
            break
        if monotonic() - since >= patience:
            raise SyncBusy(f"sync {sync} is run by {found.holder or 'another process'} now")
        stop.wait(LOOK_S)
    holding = HeldLease(store, found, monotonic)
    pulsing = threading.Thread(target=_pulse, args=(holding, stop), daemon=True, name="sync lease")
    pulsing.start()
    try:
        yield holding
    finally:
        stop.set()
        pulsing.join()
        try:
            leases.release(holding.lease)
        except StoreUnavailable as error:  # not released: the next process waits until it counts as dead
            logger().warning("store.unavailable", error=str(error))


def _pulse(holding: HeldLease, stop: threading.Event) -> None:
    """For the times in which the holder writes nothing: while it plans, and while the log does not answer."""
    while not stop.wait(PULSE_SECONDS):
        if holding.silent_for < PULSE_SECONDS:
            continue
        try:
            with holding.writing():
                pass
        except Fenced:
            return  # the holder hears of it when it goes on
        except StoreUnavailable as error:
            logger().warning("store.unavailable", error=str(error))


def _named(sync: str) -> str:
    return f"{PREFIX}{sync}"[:63]
